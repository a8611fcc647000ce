// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup.h"

#include <algorithm>
#include <unordered_set>

#include "collectors/core/filter.h"
#include "collectors/core/text.h"
#include "collectors/process/cgroup_devices.h"
#include "collectors/process/cgroup_directory.h"
#include "collectors/process/cgroup_files_parse.h"
#include "collectors/process/cgroup_identity.h"
#include "collectors/process/cgroup_mounts.h"
#include "collectors/process/cgroup_walk.h"
#include "collectors/process/shown_identity.h"
#include "collectors/procfs/refresh_timer.h"

namespace tidegauge {

namespace {

constexpr std::string_view kInfo = "tidegauge_cgroup_info";
constexpr std::string_view kInfoHelp =
    "What the cgroup's path says about who lives there; always 1. Paths are no proof of identity.";
const std::vector<std::string>& info_labels() {
  static const std::vector<std::string> kLabels{"cgroup", "unit", "container", "runtime", "pod"};
  return kLabels;
}

struct CgroupTotals {
  std::uint64_t beyond_limits = 0;
  std::uint64_t nameless = 0;
  std::uint64_t same_label = 0;
  std::uint64_t devices_left_out = 0;
  std::uint64_t read_errors = 0;
};

constexpr std::string_view kLeftOut = "tidegauge_cgroup_left_out";
constexpr std::string_view kLeftOutHelp =
    "Cgroups met and not shown: limits (max_cgroups or max_depth; those below them are not "
    "counted), privacy (drop leaves no name to show them under; the root, which has everything in "
    "it, stays), label (their names look like another's once they are a label).";

constexpr Column<CgroupTotals> kTotalsColumns[] = {
    {kLeftOut,
     kLeftOutHelp,
     MetricKind::kGauge,
     kUnit,
     &CgroupTotals::beyond_limits,
     {"reason", "limits"}},
    {kLeftOut,
     kLeftOutHelp,
     MetricKind::kGauge,
     kUnit,
     &CgroupTotals::nameless,
     {"reason", "privacy"}},
    {kLeftOut,
     kLeftOutHelp,
     MetricKind::kGauge,
     kUnit,
     &CgroupTotals::same_label,
     {"reason", "label"}},
    {"tidegauge_cgroup_devices_left_out", "Devices not shown, summed over cgroups.",
     MetricKind::kGauge, kUnit, &CgroupTotals::devices_left_out},
    {"tidegauge_cgroup_read_errors_total",
     "Files of cgroups that could not be read or understood; their series are missing.",
     MetricKind::kCounter, kUnit, &CgroupTotals::read_errors},
};

constexpr OptionSpec kOptions[] = {
    {"include", "include", OptionType::kRegex, "",
     "Paths of cgroups to show; without it all that are not excluded."},
    {"exclude", "exclude", OptionType::kRegex, "",
     "Paths of cgroups to leave out; those below are judged by their own paths."},
    {"max_cgroups", "max-cgroups", OptionType::kInteger, "500",
     "How many cgroups to show, those near the root first.", 1, 100'000},
    // Fifteen names of 255 bytes are a path that the kernel still opens.
    {"max_depth", "max-depth", OptionType::kInteger, "8",
     "How deep below the root to look; the root is 0.", 0, 15},
};

// Mounts change with containers of containers, hardly ever otherwise.
constexpr std::int64_t kLookForMountsNs = 300 * kNsPerSecond;

// Labels are cut and made valid where tables are made, so that two paths could become one series. Such
// paths alone can: every other is shown byte for byte and holds neither a replacement character nor
// as many bytes as a cut one. Under privacy every label may: hashes are short.
bool may_collide(std::string_view label) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  return label.size() >= kMaxLabelBytes - kReplacement.size() ||
         label.find(kReplacement) != std::string_view::npos || sanitize_label(label) != label;
}

class CgroupCollector final : public Collector {
 public:
  CgroupCollector(const KernelFiles& files, CgroupLimits limits, NameFilter filter)
      : files_(files), walk_(limits, std::move(filter)), devices_(files) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    if (auto opened = open_roots(context); !opened) {
      return opened;
    }
    begin();
    const auto counts = walk_.run(roots_, [&](const std::string& path, auto directories) {
      show(path, directories, *context.buffer);
    });
    totals_.beyond_limits = counts.left_out;
    totals_.read_errors += counts.unreadable;
    residents_.resize(shown_);
    totals_table_.add({}, totals_);
    out.tables.push_back(stats_.take());
    out.tables.push_back(io_.take());
    out.tables.push_back(info_.take());
    out.tables.push_back(totals_table_.take());
    return {};
  }

 private:
  struct Source {
    const CgroupFile* file;
    std::size_t hierarchy;
  };
  // Who lived at this place of the walk last time; nearly always who lives there now.
  struct Resident {
    std::string path;
    std::string label;
    CgroupIdentity identity;
    bool may_collide = false;
    bool nameless = false;
  };

  Result<void> open_roots(CollectContext& context) {
    if (!mounts_due_.due(context.boottime_ns) && try_open_roots()) {
      return {};
    }
    auto found = find_cgroup_hierarchies(files_, *context.buffer);
    if (found) {
      hierarchies_ = std::move(*found);
      find_sources();
      if (try_open_roots()) {
        return {};
      }
    }
    mounts_due_.expire();
    return found ? system_error(ENOENT, hierarchies_.front().path)
                 : Result<void>(tl::make_unexpected(std::move(found.error())));
  }

  bool try_open_roots() {
    roots_.clear();
    for (const CgroupHierarchy& hierarchy : hierarchies_) {
      roots_.push_back(CgroupDirectory::open_root(hierarchy.path.c_str()));
    }
    return !roots_.empty() &&
           std::all_of(roots_.begin(), roots_.end(), [](const auto& root) { return root.valid(); });
  }

  void find_sources() {
    sources_.clear();
    unsigned controllers = 0;
    for (const CgroupHierarchy& hierarchy : hierarchies_) {
      controllers |= hierarchy.controllers;
    }
    for (const auto& files : {cgroup_v2_files(), cgroup_v1_files()}) {
      for (const CgroupFile& file : files) {
        for (std::size_t i = 0; i < hierarchies_.size(); ++i) {
          if ((hierarchies_[i].controllers & file.controller) != 0 &&
              (controllers & file.v1_controllers) == 0) {
            sources_.push_back({&file, i});
          }
        }
      }
    }
  }

  void begin() {
    shown_ = 0;
    labels_.clear();
    devices_.begin();
    stats_.begin();
    io_.begin();
    info_.begin();
    totals_table_.begin();
    totals_.nameless = 0;
    totals_.same_label = 0;
    totals_.devices_left_out = 0;
  }

  void show(const std::string& path, std::span<const CgroupDirectory> directories,
            ReadBuffer& buffer) {
    const Resident& resident = settle(path);
    if (resident.nameless) {
      ++totals_.nameless;
      return;
    }
    bool alive = false;
    sample_.clear();
    for (const Source& source : sources_) {
      const CgroupDirectory& directory = directories[source.hierarchy];
      alive = (directory.valid() && read(*source.file, directory, buffer)) || alive;
    }
    if (!alive) {
      return;  // gone since it was opened
    }
    if (resident.may_collide && !labels_.insert(sanitize_label(resident.label)).second) {
      ++totals_.same_label;
      return;
    }
    stats_.add({resident.label}, sample_.stats);
    for (const CgroupIo& io : sample_.io) {
      io_.add({resident.label, devices_.name(io.device)}, io);
    }
    const CgroupIdentity& who = resident.identity;
    info_.add({resident.label, who.unit, who.container, who.runtime, who.pod}, 1);
    totals_.devices_left_out += sample_.devices_left_out;
  }

  // Whether the file is there. One that is malformed leaves no trace in the sample but is counted.
  bool read(const CgroupFile& file, const CgroupDirectory& directory, ReadBuffer& buffer) {
    CgroupText text = directory.read(file.name, buffer);
    if (text.state == CgroupText::State::kAbsent && file.instead != nullptr) {
      text = directory.read(file.instead, buffer);
    }
    if (text.state == CgroupText::State::kRead) {
      before_ = sample_;
      if (file.parse(text.text, sample_)) {
        return true;
      }
      std::swap(sample_, before_);
    }
    const bool there = text.state != CgroupText::State::kAbsent;
    totals_.read_errors += there ? 1 : 0;
    return there;
  }

  const Resident& settle(const std::string& path) {
    if (shown_ == residents_.size()) {
      residents_.emplace_back();
    }
    Resident& resident = residents_[shown_++];
    if (resident.path != path) {
      resident.path = path;
      resident.label = cgroup_label(files_.privacy(), path);
      resident.identity = shown_identity(files_.privacy(), identify_cgroup(path));
      resident.nameless = resident.label == kDroppedName;
      resident.may_collide =
          files_.privacy().privacy() != Privacy::kKeep || may_collide(resident.label);
    }
    return resident;
  }

  KernelFiles files_;
  RefreshTimer mounts_due_{kLookForMountsNs};
  std::vector<CgroupHierarchy> hierarchies_;
  std::vector<CgroupDirectory> roots_;
  std::vector<Source> sources_;
  CgroupWalk walk_;
  CgroupDeviceNames devices_;
  CgroupSample sample_;
  CgroupSample before_;
  std::vector<Resident> residents_;
  std::size_t shown_ = 0;
  std::unordered_set<std::string> labels_;  // of paths that may collide
  CgroupTotals totals_;
  StructTable<CgroupStats> stats_{kCgroupStatsColumns, {"cgroup"}};
  StructTable<CgroupIo> io_{kCgroupIoColumns, {"cgroup", "device"}};
  ValueTable info_{std::string(kInfo), std::string(kInfoHelp), MetricKind::kGauge, info_labels()};
  StructTable<CgroupTotals> totals_table_{kTotalsColumns};
};

Result<std::unique_ptr<Collector>> make_cgroup(const KernelFiles& files, const Options& options) {
  auto filter = NameFilter::make(options.text("include"), options.text("exclude"), "");
  if (!filter) {
    return tl::make_unexpected(filter.error());
  }
  const CgroupLimits limits{static_cast<std::size_t>(options.integer("max_cgroups")),
                            static_cast<std::size_t>(options.integer("max_depth"))};
  return std::make_unique<CgroupCollector>(files, limits, std::move(*filter));
}

}  // namespace

std::string cgroup_label(const PrivacyFilter& privacy, std::string_view path) {
  return path == "/" ? "/" : privacy.path(path);
}

const CollectorInfo kCgroupCollector{
    .name = "cgroup",
    .help =
        "Usage of systemd units, containers and other cgroups. cgroup v1 knows less than v2: no "
        "slab, refaults, reclaim or pressure, of memory events only max and oom_kill.",
    .interval_ms = 15'000,
    // Thousands of small files, some of which the kernel adds up over all CPUs when they are read.
    .lane = Lane::kWorker,
    .refresh = false,
    // Counters are the kernel's own: a longer interval loses resolution and nothing else.
    .stretch = true,
    .options = kOptions,
    .make = make_cgroup,
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<CgroupStats>(docs, kCgroupStatsColumns, {"cgroup"});
          document<CgroupIo>(docs, kCgroupIoColumns, {"cgroup", "device"});
          docs.push_back(
              {std::string(kInfo), MetricKind::kGauge, info_labels(), std::string(kInfoHelp)});
          document<CgroupTotals>(docs, kTotalsColumns, {});
          return docs;
        },
};

}  // namespace tidegauge
