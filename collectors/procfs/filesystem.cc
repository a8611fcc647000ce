// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/filesystem.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <unordered_set>
#include <vector>

#include "collectors/core/text.h"
#include "collectors/procfs/default_filter.h"
#include "collectors/procfs/mountinfo.h"

namespace tidegauge {

namespace {

// Real numbers, because a file system may claim more bytes than 64 bits hold.
struct FilesystemStats {
  std::uint64_t device_error = 0;
  std::uint64_t read_only = 0;
  std::optional<double> size_bytes;
  std::optional<double> free_bytes;
  std::optional<double> avail_bytes;
  std::optional<std::uint64_t> files;
  std::optional<std::uint64_t> files_free;
  std::optional<std::uint64_t> purgeable_bytes;
};

constexpr Column<FilesystemStats> kColumns[] = {
    {"node_filesystem_size_bytes", "Size of the file system.", MetricKind::kGauge, kUnit,
     &FilesystemStats::size_bytes},
    {"node_filesystem_free_bytes", "Free space, root's reserve included.", MetricKind::kGauge,
     kUnit, &FilesystemStats::free_bytes},
    {"node_filesystem_avail_bytes", "Space that users other than root can fill.",
     MetricKind::kGauge, kUnit, &FilesystemStats::avail_bytes},
    {"node_filesystem_files", "Inodes of the file system.", MetricKind::kGauge, kUnit,
     &FilesystemStats::files},
    {"node_filesystem_files_free", "Free inodes.", MetricKind::kGauge, kUnit,
     &FilesystemStats::files_free},
    {"node_filesystem_readonly", "Whether the file system is mounted read-only.",
     MetricKind::kGauge, kUnit, &FilesystemStats::read_only},
    {"node_filesystem_device_error", "Whether asking the file system for its size failed.",
     MetricKind::kGauge, kUnit, &FilesystemStats::device_error},
    {"node_filesystem_purgeable_bytes", "Always 0 on Linux; node_exporter shows it, too.",
     MetricKind::kGauge, kUnit, &FilesystemStats::purgeable_bytes},
};

// Whether the kernel answers for this type without asking a server or a process.
bool is_local(std::string_view fs_type) {
  constexpr std::string_view kRemote[] = {
      "nfs", "nfs4", "cifs",  "smb3",     "smbfs",  "ceph", "9p",    "glusterfs", "lustre",
      "afs", "gfs2", "ocfs2", "virtiofs", "beegfs", "gpfs", "pvfs2", "orangefs"};
  return !fs_type.starts_with("fuse") &&
         std::find(std::begin(kRemote), std::end(kRemote), fs_type) == std::end(kRemote);
}

const std::vector<std::string>& stats_labels() {
  static const std::vector<std::string> kLabels{"device", "mountpoint", "fstype", "device_error"};
  return kLabels;
}
constexpr std::string_view kMountInfo = "node_filesystem_mount_info";
constexpr std::string_view kMountInfoHelp = "Device number of the mounted file system; always 1.";
const std::vector<std::string>& mount_info_labels() {
  static const std::vector<std::string> kLabels{"device", "major", "minor", "mountpoint"};
  return kLabels;
}
constexpr std::string_view kStuck = "tidegauge_filesystem_stuck_mounts";
constexpr std::string_view kStuckHelp = "Mounts that have not answered a request for their size.";

constexpr std::string_view kDefaultMountPointsExclude =
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
constexpr std::string_view kDefaultFsTypesExclude =
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|"
    "mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|"
    "tracefs)$";

constexpr OptionSpec kOptions[] = {
    {"mount_points_include", "mount-points-include", OptionType::kRegex, "",
     "Mount points to show; without it all that are not excluded."},
    {"mount_points_exclude", "mount-points-exclude", OptionType::kRegex, kDefaultMountPointsExclude,
     "Mount points to leave out."},
    {"fs_types_include", "fs-types-include", OptionType::kRegex, "",
     "File system types to show; without it all that are not excluded."},
    {"fs_types_exclude", "fs-types-exclude", OptionType::kRegex, kDefaultFsTypesExclude,
     "File system types to leave out: by default those without storage of their own."},
    {"mount_timeout", "mount-timeout", OptionType::kDuration, "3s",
     "How long a mount may take to answer before it counts as stuck.", 1'000'000, 300'000'000'000},
};

struct Mount {
  std::string device;
  std::string mount_point;  // the label
  std::string fs_type;
  std::string major;
  std::string minor;
  bool read_only = false;
};

// Joined by a byte that no path or device name of the kernel holds.
std::string key_of(std::initializer_list<std::string_view> parts) {
  std::string key;
  for (const std::string_view part : parts) {
    key.append(part).push_back('\0');
  }
  return key;
}

class FilesystemCollector final : public Collector {
 public:
  FilesystemCollector(const KernelFiles& files, NameFilter mount_points, NameFilter fs_types,
                      std::chrono::nanoseconds timeout, StatfsFunction function)
      : files_(files),
        init_file_(files.proc_file("1/mountinfo")),
        self_file_(files.proc_file("self/mountinfo")),
        mount_point_filter_(std::move(mount_points)),
        fs_type_filter_(std::move(fs_types)),
        pool_(timeout, std::move(function)) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    if (auto found = find_mounts(*context.buffer); !found) {
      return found;
    }
    pool_.run(jobs_);
    fill(out);
    return {};
  }

 private:
  // The host's mounts as init sees them. hidepid hides that file or forbids it.
  Result<std::string_view> read_mountinfo(ReadBuffer& buffer) {
    auto text = init_file_.read_lines(buffer);
    if (!text &&
        (text.error().kind == ErrorKind::kMissing || text.error().kind == ErrorKind::kDenied)) {
      return self_file_.read_lines(buffer);
    }
    return text;
  }

  Result<void> find_mounts(ReadBuffer& buffer) {
    const auto text = read_mountinfo(buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_mountinfo(*text, infos_); !parsed) {
      return parsed;
    }
    mounts_.clear();
    jobs_.clear();
    for (const MountInfo& info : infos_) {
      std::string label = files_.strip_root(mount_point_label(info.mount_point));
      if (mount_point_filter_.ignores(label) || fs_type_filter_.ignores(info.fs_type)) {
        continue;
      }
      StatfsJob& job = jobs_.emplace_back();
      job.id = info.mount_id;
      job.path = files_.root(files_.strip_root(unescape_octal(info.mount_point)));
      job.local = is_local(info.fs_type);
      mounts_.push_back({std::string(info.source), std::move(label), std::string(info.fs_type),
                         std::to_string(info.major), std::to_string(info.minor), info.read_only()});
    }
    return {};
  }

  // A mount point that is mounted over appears once for each mount, all with the numbers of the
  // topmost: equal labels are shown once.
  void fill(Section& out) {
    table_.begin();
    mount_info_.begin();
    seen_.clear();
    for (std::size_t i = 0; i < mounts_.size(); ++i) {
      const Mount& mount = mounts_[i];
      const StatfsJob& job = jobs_[i];
      const std::string error = error_label(job);
      if (seen_.insert(key_of({mount.device, mount.mount_point, mount.fs_type, error})).second) {
        table_.add({mount.device, mount.mount_point, mount.fs_type, error}, stats_of(mount, job));
      }
      if (error.empty() &&
          seen_.insert(key_of({"", mount.device, mount.major, mount.minor, mount.mount_point}))
              .second) {
        mount_info_.add({mount.device, mount.major, mount.minor, mount.mount_point}, 1);
      }
    }
    out.tables.push_back(table_.take());
    out.tables.push_back(mount_info_.take());
    stuck_.begin();
    stuck_.add({}, pool_.stuck());
    out.tables.push_back(stuck_.take());
  }

  static std::string error_label(const StatfsJob& job) {
    switch (job.outcome) {
      case StatfsJob::Outcome::kAnswered:
        return job.error == 0 ? std::string() : device_error_label(job.error);
      case StatfsJob::Outcome::kStuck:
        return "mountpoint timeout";
      case StatfsJob::Outcome::kExhausted:
        break;
    }
    return "mountpoint timeout: too many stuck mounts";
  }

  static FilesystemStats stats_of(const Mount& mount, const StatfsJob& job) {
    FilesystemStats stats;
    // node_exporter says nothing better of a stuck mount than that it is writable.
    const bool answered = job.outcome == StatfsJob::Outcome::kAnswered;
    stats.read_only = answered && mount.read_only ? 1 : 0;
    if (!answered || job.error != 0) {
      stats.device_error = 1;
      return stats;
    }
    // f_bsize, not f_frsize: node_exporter's choice, and equal wherever it matters.
    const auto block_bytes = static_cast<double>(job.result.f_bsize);
    stats.size_bytes = static_cast<double>(job.result.f_blocks) * block_bytes;
    stats.free_bytes = static_cast<double>(job.result.f_bfree) * block_bytes;
    stats.avail_bytes = static_cast<double>(job.result.f_bavail) * block_bytes;
    stats.files = job.result.f_files;
    stats.files_free = job.result.f_ffree;
    stats.purgeable_bytes = 0;
    return stats;
  }

  KernelFiles files_;
  KernelFile init_file_;
  KernelFile self_file_;
  NameFilter mount_point_filter_;
  NameFilter fs_type_filter_;
  StatfsPool pool_;
  std::vector<MountInfo> infos_;
  std::vector<Mount> mounts_;
  std::vector<StatfsJob> jobs_;  // parallel to mounts_
  std::unordered_set<std::string> seen_;
  StructTable<FilesystemStats> table_{kColumns, stats_labels()};
  ValueTable mount_info_{std::string(kMountInfo), std::string(kMountInfoHelp), MetricKind::kGauge,
                         mount_info_labels()};
  ValueTable stuck_{std::string(kStuck), std::string(kStuckHelp), MetricKind::kGauge, {}};
};

std::vector<MetricDoc> documentation() {
  std::vector<MetricDoc> docs;
  document<FilesystemStats>(docs, kColumns, stats_labels());
  docs.push_back({std::string(kMountInfo), MetricKind::kGauge, mount_info_labels(),
                  std::string(kMountInfoHelp)});
  docs.push_back({std::string(kStuck), MetricKind::kGauge, {}, std::string(kStuckHelp)});
  return docs;
}

}  // namespace

std::string mount_point_label(std::string_view escaped) {
  std::string out;
  out.reserve(escaped.size());
  while (!escaped.empty()) {
    const bool blank = escaped.starts_with("\\040");
    if (blank || escaped.starts_with("\\011")) {
      out.push_back(blank ? ' ' : '\t');
      escaped.remove_prefix(4);
    } else {
      out.push_back(escaped.front());
      escaped.remove_prefix(1);
    }
  }
  return out;
}

std::string device_error_label(int errno_value) {
  const char* const text = ::strerrordesc_np(errno_value);
  std::string out = text != nullptr ? text : "errno " + std::to_string(errno_value);
  const auto is_upper = [&](std::size_t i) {
    return i < out.size() && out[i] >= 'A' && out[i] <= 'Z';
  };
  if (is_upper(0) && !is_upper(1)) {
    out[0] = static_cast<char>(out[0] - 'A' + 'a');
  }
  return out;
}

Result<std::unique_ptr<Collector>> make_filesystem_collector(const KernelFiles& files,
                                                             const Options& options,
                                                             StatfsFunction function) {
  auto mount_points = filter_with_default(options.text("mount_points_include"),
                                          options.text("mount_points_exclude"),
                                          kDefaultMountPointsExclude, "mount_points_");
  if (!mount_points) {
    return tl::make_unexpected(mount_points.error());
  }
  auto fs_types =
      filter_with_default(options.text("fs_types_include"), options.text("fs_types_exclude"),
                          kDefaultFsTypesExclude, "fs_types_");
  if (!fs_types) {
    return tl::make_unexpected(fs_types.error());
  }
  return std::make_unique<FilesystemCollector>(
      files, std::move(*mount_points), std::move(*fs_types),
      std::chrono::nanoseconds(options.integer("mount_timeout")), std::move(function));
}

const CollectorInfo kFilesystemCollector{
    .name = "filesystem",
    .help = "Space and inodes of mounted file systems (mountinfo, statfs).",
    .lane = Lane::kWorker,
    .refresh = false,  // a thread and a call into every file system: not cheap
    .options = kOptions,
    .make =
        [](const KernelFiles& files, const Options& options) {
          return make_filesystem_collector(files, options, ::statfs);
        },
    .metrics = documentation,
};

}  // namespace tidegauge
