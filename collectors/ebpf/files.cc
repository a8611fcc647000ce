// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/files.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collectors/core/text.h"
#include "collectors/ebpf/file_ledger.h"
#include "collectors/ebpf/file_paths.h"
#include "collectors/ebpf/file_programs.h"
#include "collectors/ebpf/file_sums.h"
#include "collectors/ebpf/file_tables.h"
#include "collectors/ebpf/map_reader.h"
#include "collectors/ebpf/owner_groups.h"
#include "collectors/ebpf/slow_operations.h"
#include "collectors/procfs/mountinfo.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxGroups = 200;
constexpr std::size_t kMaxPatterns = 200;
constexpr std::string_view kUnknownDirectory = "unknown";
constexpr std::int64_t kRetryNs = 60'000'000'000;
constexpr std::int64_t kMaxRetryNs = 3'600'000'000'000;

template <std::size_t N>
std::string label_of(const char (&field)[N]) {
  const std::string_view whole(field, N);
  return sanitize_label(whole.substr(0, std::min(whole.find('\0'), N)));
}

class FilesCollector final : public Collector {
 public:
  FilesCollector(const KernelFiles& files, const FileProgramSettings& settings, std::size_t top)
      : files_(files),
        settings_(settings),
        groups_(files, kMaxGroups,
                [this](std::uint32_t group) {
                  forget_group(operation_sums_, group);
                  forget_group(churn_sums_, group);
                  directory_sums_.forget_group(group);
                }),
        ledger_(top) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    if (!loaded(context.boottime_ns)) {
      return {};
    }
    groups_.begin_pass(context, programs_->runtime().owners_fd());
    ledger_.begin_pass(context.boottime_ns);
    if (auto read = read_directories(context.boottime_ns); !read) {
      return read;
    }
    read_events(context.boottime_ns);
    add_directories(context.boottime_ns);
    if (auto read = read_maps(context.boottime_ns); !read) {
      return read;
    }
    fill(out);
    return {};
  }

 private:
  // What is not to be had now may be later. Until then the programs that failed are kept: collector `ebpf` shows why. Each try
  // costs the verifier's time.
  bool loaded(std::int64_t now_ns) {
    if (now_ns < next_try_ns_) {
      return is_loaded_;
    }
    if (is_loaded_) {
      next_try_ns_ = now_ns + kRetryNs;
      programs_->attach_waiting();
      return true;
    }
    programs_.reset();
    auto runtime = shared_ebpf_runtime(files_);
    if (!runtime) {
      next_try_ns_ = now_ns + kRetryNs;
      return false;
    }
    programs_ = FilePrograms::make(std::move(*runtime), settings_);
    is_loaded_ = programs_->load().has_value();
    next_try_ns_ = now_ns + (is_loaded_ ? kRetryNs : retry_ns_);
    retry_ns_ = std::min(2 * retry_ns_, kMaxRetryNs);
    if (is_loaded_) {
      home_device_ = home_device();
    }
    return is_loaded_;
  }

  // Of the root that paths without a label `root` begin on. As mounts tell it: stat() has others on btrfs.
  std::uint32_t home_device() const {
    for (const std::string_view of : {"1/mountinfo", "self/mountinfo"}) {
      ReadBuffer buffer;
      std::vector<MountInfo> mounts;
      const auto text = read_file(files_.proc(of), buffer);
      if (!text || !parse_mountinfo(*text, mounts)) {
        continue;
      }
      const auto root = std::find_if(mounts.rbegin(), mounts.rend(),
                                     [](const MountInfo& m) { return m.mount_point == "/"; });
      if (root != mounts.rend()) {
        return static_cast<std::uint32_t>(root->major << 20U | root->minor);
      }
    }
    return 0;
  }

  std::uint32_t foreign_root(std::uint32_t device) const {
    return home_device_ == 0 || device == home_device_ ? 0 : device;
  }

  std::string shown(std::string_view names, std::uint32_t flags) const {
    return files_.privacy().path(shorten_path(path_of_names(names, flags)));
  }

  void read_events(std::int64_t now_ns) {
    programs_->drain(
        [&](const tg_path_event& event, std::string_view names) {
          if ((event.flags & TG_PATH_FILE) != 0) {
            ledger_.set_path(event.file, shown(names, event.flags), event.before,
                             foreign_root(event.root_device));
          }
          if ((event.flags & TG_PATH_DIRECTORY) != 0) {
            set_directory(event.file, directory_pattern(path_of_names(names, event.flags)));
          }
        },
        [&](const tg_slow_event& event) {
          slow_.add({.operation = std::string(file_operation_name(event.operation)),
                     .path = std::string(ledger_.path_of(event.file)),
                     .fstype = label_of(event.fstype),
                     .thread = label_of(event.comm),
                     .pid = event.tgid,
                     .tid = event.tid,
                     .ns = event.ns,
                     .seen_ns = now_ns});
        });
    slow_.forget(now_ns);
  }

  void set_directory(const tg_file_key& key, std::string pattern) {
    directory_patterns_.find_or_add(key) = files_.privacy().path(shorten_path(std::move(pattern)));
  }

  // Before the events: every directory that is seen here has been told of by then.
  Result<void> read_directories(std::int64_t now_ns) {
    grown_directories_.clear();
    if (!settings_.churn) {
      return {};
    }
    auto read = directories_.fold(
        programs_->directories_fd(), now_ns,
        [&](const tg_directory_key& key, const tg_directory& added, const tg_directory&) {
          grown_directories_.emplace_back(key, added);
        });
    return read && directory_patterns_.size() >= 2 * directory_entries_ ? forget_directories()
                                                                        : read;
  }

  // The kernel tells a name once, as long as it has an entry of the directory's.
  Result<void> forget_directories() {
    FileMap<std::string> kept;
    const auto read = read_map(programs_->directories_fd(), sizeof(tg_directory_key),
                               sizeof(tg_directory), [&](const char* key_bytes, const char*) {
                                 tg_directory_key key;
                                 std::memcpy(&key, key_bytes, sizeof(key));
                                 const std::string* pattern =
                                     directory_patterns_.find(key.directory);
                                 if (pattern != nullptr) {
                                   kept.find_or_add(key.directory) = *pattern;
                                 }
                               });
    if (!read) {
      return tl::make_unexpected(read.error());
    }
    directory_patterns_ = std::move(kept);
    return {};
  }

  void add_directories(std::int64_t now_ns) {
    for (const auto& [key, added] : grown_directories_) {
      const std::string* pattern = directory_patterns_.find(key.directory);
      directory_sums_.add(groups_.group_of(key.owner),
                          pattern != nullptr ? *pattern : std::string(kUnknownDirectory), added,
                          now_ns);
    }
  }

  Result<void> read_maps(std::int64_t now_ns) {
    auto read = operations_.fold(
        programs_->operations_fd(), now_ns,
        [&](const tg_operation_key& key, const tg_operation& added, const tg_operation&) {
          add_operations(operation_sums_, groups_.group_of(key.owner), key, added);
        });
    if (read && settings_.churn) {
      read = churn_.fold(programs_->churn_fd(), now_ns,
                         [&](const tg_churn_key& key, const tg_churn& added, const tg_churn&) {
                           add_churn(churn_sums_, groups_.group_of(key.owner), key, added);
                         });
    }
    return read ? read_files() : read;
  }

  Result<void> read_files() {
    added_ = programs_->losses().files_added;  // before: whatever comes meanwhile is no eviction
    const int fd = programs_->files_fd();
    const auto read = read_map(fd, sizeof(tg_file_key), sizeof(tg_file),
                               [&](const char* key_bytes, const char* value_bytes) {
                                 tg_file_key key;
                                 tg_file file;
                                 std::memcpy(&key, key_bytes, sizeof(key));
                                 std::memcpy(&file, value_bytes, sizeof(file));
                                 ledger_.add(key, file);
                               });
    if (!read) {
      return tl::make_unexpected(read.error());
    }
    present_ = ledger_.present();
    for (const tg_file_key& key : ledger_.end_pass()) {
      if (::bpf_map_delete_elem(fd, &key) == 0) {
        ++forgotten_;
        --present_;
      }
    }
    return {};
  }

  // What left the kernel's table by itself is what came, less what we took out and what is there.
  std::uint64_t evicted_files() {
    const std::uint64_t accounted = forgotten_ + present_;
    evicted_ = std::max(evicted_, added_ > accounted ? added_ - accounted : 0);
    return evicted_;
  }

  void fill(Section& out) {
    const auto group = [this](std::uint32_t number) { return groups_.name(number); };
    const auto owner = [this](std::uint32_t number) {
      return groups_.name(groups_.group_of(number));
    };
    const bool bytes = programs_->active(kFileBytesFeature);
    const FileViews views{.syncs = programs_->active(kSyncFeature),
                          .sync_calls = programs_->active(kSyncCallsFeature),
                          .operations = programs_->active(kOperationsFeature),
                          .writes = bytes,
                          .reads = bytes && programs_->sees_reads()};
    tables_.add_operations(operation_sums_, views, group, out);
    tables_.add_top(ledger_, views, owner, out);
    if (settings_.churn &&
        (programs_->active(kChurnFeature) || programs_->active(kOtherChurnFeature))) {
      tables_.add_churn(churn_sums_, directory_sums_, group, out);
    }
    if (settings_.slow_ns != 0) {
      tables_.add_slow(slow_, operation_sums_, views, group, out);
    }
    const tg_file_losses losses = programs_->losses();
    tables_.add_losses({{"operations", losses.operations},
                        {"files_churned", losses.churn},
                        {"unpaired", losses.unpaired},
                        {"paths", losses.paths},
                        {"slow_operations", losses.slow},
                        {"files", evicted_files()}},
                       out);
  }

  KernelFiles files_;
  FileProgramSettings settings_;
  std::unique_ptr<FilePrograms> programs_;
  bool is_loaded_ = false;
  std::int64_t retry_ns_ = kRetryNs;
  std::uint32_t home_device_ = 0;
  std::int64_t next_try_ns_ = 0;
  OwnerGroups groups_;

  MapFolder<tg_operation_key, tg_operation> operations_{TG_OPERATION_ENTRIES, false};
  MapFolder<tg_churn_key, tg_churn> churn_{TG_CHURN_ENTRIES, false};
  const std::uint32_t directory_entries_ = least_recently_used_entries(TG_DIRECTORY_ENTRIES);
  MapFolder<tg_directory_key, tg_directory> directories_{directory_entries_, false};
  std::vector<std::pair<tg_directory_key, tg_directory>> grown_directories_;
  OperationSums operation_sums_;
  ChurnSums churn_sums_;
  DirectorySums directory_sums_{kMaxPatterns};
  FileMap<std::string> directory_patterns_;
  FileLedger ledger_;
  SlowOperations slow_;
  std::size_t present_ = 0;
  std::uint64_t added_ = 0;
  std::uint64_t forgotten_ = 0;
  std::uint64_t evicted_ = 0;
  FileTables tables_;
};

constexpr std::string_view kOperationWords[] = {"auto", "on", "off"};

constexpr OptionSpec kOptions[] = {
    {.key = "top",
     .flag = "top",
     .type = OptionType::kInteger,
     .default_text = "10",
     .help = "How many files have series of their own, by each of: time in synchronisation, bytes "
             "written, "
             "bytes read.",
     .min = 0,
     .max = 100},
    {
        .key = "sync_calls",
        .flag = "sync-calls",
        .type = OptionType::kBool,
        .default_text = "true",
        .help = "Whether to see sync, syncfs, sync_file_range, and synchronisations on file "
                "systems other than "
                "ext4. Where the kernel refuses trampolines this costs every system call of the "
                "host some 50 ns.",
    },
    {.key = "churn",
     .flag = "churn",
     .type = OptionType::kBool,
     .default_text = "true",
     .help = "Whether to count files that are created and deleted. Without trampolines and kprobes "
             "those of xfs and tmpfs are only seen with sync_calls."},
    {.key = "operations",
     .flag = "operations",
     .type = OptionType::kChoice,
     .default_text = "auto",
     .help =
         "Whether to count and time reads, writes, open, create, unlink and rename, too. auto: "
         "where the kernel has trampolines for us; with kprobes each of these costs some 400 ns "
         "more, without either each read or write some 300 ns and every other system call some "
         "60.",
     .words = kOperationWords},
    {.key = "slow_operation",
     .flag = "slow-operation",
     .type = OptionType::kDuration,
     .default_text = "1s",
     .help = "Synchronisations that take longer are shown one by one. 0s: none.",
     .min = 0,
     .max = 3'600'000'000'000},
};

Result<std::unique_ptr<Collector>> make_files(const KernelFiles& files, const Options& options) {
  const std::string& operations = options.text("operations");
  const FileProgramSettings settings{
      .sync_calls = options.boolean("sync_calls"),
      .churn = options.boolean("churn"),
      .operations = operations == "on"    ? OperationChoice::kOn
                    : operations == "off" ? OperationChoice::kOff
                                          : OperationChoice::kAuto,
      .slow_ns = static_cast<std::uint64_t>(options.integer("slow_operation"))};
  FilePrograms::open_kprobes(files, settings);
  return std::make_unique<FilesCollector>(files, settings,
                                          static_cast<std::size_t>(options.integer("top")));
}

}  // namespace

const CollectorInfo kEbpfFilesCollector{
    .name = "ebpf_files",
    .help =
        "Synchronisations of files, the busiest files, and files created and deleted, seen by "
        "eBPF.",
    .interval_ms = 1000,
    .lane = Lane::kWorker,
    .refresh = false,
    .stretch = true,
    .options = kOptions,
    .make = make_files,
    .metrics = FileTables::metrics,
};

}  // namespace tidegauge
