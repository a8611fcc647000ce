// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_tables.h"

#include <map>
#include <span>
#include <string>
#include <utility>

#include "collectors/ebpf/file_programs.h"

namespace tidegauge {

namespace {

constexpr BucketStep kStep = BucketStep::kCoarse;

constexpr std::string_view kSyncFamily = "tidegauge_file_sync_duration_seconds";
constexpr std::string_view kSyncHelp =
    "How long callers waited for a synchronisation of a file (fsync, fdatasync, msync, "
    "sync_file_range), of file systems (syncfs, sync), or within a write to a file opened with "
    "O_SYNC or "
    "O_DSYNC (sync_write). Where the kernel has no trampolines for us, io_uring's and sync_write "
    "are "
    "seen on ext4 alone, and what is not ext4's own only with sync_calls.";

ColumnInfo column(std::string family, std::string help, MetricKind kind, Scale scale = kUnit) {
  ColumnInfo info;
  info.family = std::move(family);
  info.help = std::move(help);
  info.kind = kind;
  info.scale = scale;
  return info;
}

std::vector<ColumnInfo> sync_columns() {
  std::vector<ColumnInfo> out = time_histogram_columns(kSyncFamily, kSyncHelp, kStep);
  out.push_back(column("tidegauge_file_sync_errors_total", "Synchronisations that failed.",
                       MetricKind::kCounter));
  out.push_back(
      column("tidegauge_file_sync_written_bytes_total",
             "Bytes that had been written to files since they were synchronised before; not "
             "through mappings. On ext4, and what is written directly.",
             MetricKind::kCounter));
  return out;
}

std::vector<ColumnInfo> other_columns() {
  std::vector<ColumnInfo> out = time_histogram_columns(
      "tidegauge_file_operation_duration_seconds",
      "How long calls on files took: read and write, in all forms, of regular files; open, create "
      "(an open that made "
      "the file), unlink, rename. Not io_uring's. fstype is empty where the call does not tell. "
      "With the "
      "option operations, by default where the kernel has trampolines for us.",
      kStep);
  out.push_back(column("tidegauge_file_operation_errors_total",
                       "Of these calls, those that failed.", MetricKind::kCounter));
  out.push_back(column("tidegauge_file_operation_bytes_total", "Bytes read or written by them.",
                       MetricKind::kCounter));
  return out;
}

std::vector<ColumnInfo> churn_columns() {
  std::vector<ColumnInfo> out = {
      column("tidegauge_files_created_total",
             "Regular files created, by the group that created them. On file systems that have a "
             "device, and on tmpfs; ext2 and ext3 where ext4 serves them. `tidegauge ebpf` says "
             "which tell it where there are neither trampolines nor kprobes.",
             MetricKind::kCounter),
      column("tidegauge_files_deleted_total",
             "Regular files that ended with their last name and user, as above, by the group that "
             "created them; of those created before the daemon came, that deleted them.",
             MetricKind::kCounter)};
  for (ColumnInfo& info : time_histogram_columns(
           "tidegauge_file_lifetime_seconds",
           "How long deleted files had lived, of those whose creation was seen.", kStep)) {
    out.push_back(std::move(info));
  }
  return out;
}

std::vector<ColumnInfo> directory_columns() {
  return {
      column("tidegauge_directory_files_created_total",
             "Regular files created, by directory, in whose name ids (numbers, UUIDs, hexadecimal "
             "digits) are folded; \"other\" is what had no place among the busiest.",
             MetricKind::kCounter),
      column("tidegauge_directory_files_deleted_total", "Regular files deleted, as above.",
             MetricKind::kCounter),
      column("tidegauge_deleted_file_bytes_total", "Size of the files deleted, by directory.",
             MetricKind::kCounter),
      column("tidegauge_deleted_file_unstored_bytes_total",
             "Of these, the size of files that had no block on a disk, as all of tmpfs. xfs does "
             "not tell.",
             MetricKind::kCounter)};
}

constexpr Column<ShownFile> kTopColumns[] = {
    {"tidegauge_top_file_syncs_total",
     "Synchronisations of one of the busiest files, since it was first seen under this path.",
     MetricKind::kCounter, kUnit, &ShownFile::syncs},
    {"tidegauge_top_file_sync_seconds_total",
     "Time that callers waited for synchronisations of one of the busiest files.",
     MetricKind::kCounter, kNanoseconds, &ShownFile::sync_ns},
    {"tidegauge_top_file_sync_longest_seconds",
     "The longest synchronisation of one of the busiest files within the last minute, about.",
     MetricKind::kGauge, kNanoseconds, &ShownFile::worst_sync_ns},
    {"tidegauge_top_file_written_bytes_total",
     "Bytes written to one of the busiest files, not through mappings. On ext4, and what is "
     "written directly.",
     MetricKind::kCounter, kUnit, &ShownFile::written_bytes},
    {"tidegauge_top_file_read_bytes_total",
     "Bytes read from one of the busiest files; through the page cache in whole pages. Linux 6.12 "
     "and later.",
     MetricKind::kCounter, kUnit, &ShownFile::read_bytes},
};

constexpr std::string_view kUsersFamily = "tidegauge_top_file_user_info";
constexpr std::string_view kUsersHelp =
    "Which thread used one of the busiest files last, by its own name (thread); always 1.";
constexpr std::string_view kSlowFamily = "tidegauge_slow_file_operation_seconds";
constexpr std::string_view kSlowHelp =
    "How long an operation took that took longer than slow_operation; the last 16 of the last five "
    "minutes.";
constexpr std::string_view kSlowCountFamily = "tidegauge_slow_file_operations_total";
constexpr std::string_view kSlowCountHelp = "Operations that took longer than slow_operation.";
constexpr std::string_view kLossFamily = "tidegauge_file_events_lost_total";
constexpr std::string_view kLossHelp =
    "What the eBPF programs on files could not tell: operations, files_churned (in no sum: a table "
    "was full), unpaired (of which the begin was forgotten), paths, slow_operations (not shown one "
    "by one: too many at once; paths are told later), files (forgotten because there were too "
    "many: their part in tables of single ones may be missing, sums by group are not).";

const std::vector<std::string> kFileLabels = {"path", "fstype", "device", "root"};
const std::vector<std::string> kUserLabels = {"path",  "fstype", "device", "root",
                                              "group", "thread", "pid",    "tid"};
const std::vector<std::string> kSlowLabels = {"operation", "path", "fstype",
                                              "thread",    "pid",  "tid"};

bool is_seen(std::uint32_t operation, const FileViews& views) {
  switch (operation) {
    case TG_FILE_SYNC_FILE_RANGE:
    case TG_FILE_SYNCFS:
    case TG_FILE_SYNC:
      return views.sync_calls;
    default:
      return operation > TG_FILE_LAST_SYNC ? views.operations : views.syncs || views.sync_calls;
  }
}

ShownFile shown_file(const FileTotals& file, const FileViews& views) {
  ShownFile out;
  if (views.syncs || views.sync_calls) {
    out.syncs = file.syncs;
    out.sync_ns = file.sync_ns;
    out.worst_sync_ns = file.worst_sync_ns;
  }
  if (views.writes) {
    out.written_bytes = file.written_bytes;
  }
  if (views.reads) {
    out.read_bytes = file.read_bytes;
  }
  return out;
}

}  // namespace

FileTables::FileTables()
    : syncs_({"group", "fstype", "operation"}, sync_columns()),
      others_({"group", "fstype", "operation"}, other_columns()),
      top_(kTopColumns, kFileLabels),
      users_(std::string(kUsersFamily), std::string(kUsersHelp), MetricKind::kGauge, kUserLabels),
      churn_({"group", "fstype"}, churn_columns()),
      directories_({"group", "directory"}, directory_columns()),
      slow_(std::string(kSlowFamily), std::string(kSlowHelp), MetricKind::kGauge, kSlowLabels,
            kNanoseconds),
      slow_counts_(std::string(kSlowCountFamily), std::string(kSlowCountHelp), MetricKind::kCounter,
                   {"group", "operation"}),
      losses_(std::string(kLossFamily), std::string(kLossHelp), MetricKind::kCounter, {"what"}) {}

void FileTables::add_operations(const OperationSums& sums, const FileViews& views,
                                const GroupNameOf& group, Section& out) {
  syncs_.begin();
  others_.begin();
  for (const auto& [key, sum] : sums) {
    const auto& [number, fstype, operation] = key;
    if (!is_seen(operation, views)) {
      continue;
    }
    RowTable& table = operation <= TG_FILE_LAST_SYNC ? syncs_ : others_;
    table.row({group(number), fstype, file_operation_name(operation)});
    const std::size_t next = set_time_histogram(table, 0, sum.durations, kStep);
    table.set(next, sum.errors);
    table.set(next + 1, sum.bytes);
  }
  out.tables.push_back(syncs_.take());
  out.tables.push_back(others_.take());
}

void FileTables::add_top(const FileLedger& ledger, const FileViews& views, const GroupNameOf& owner,
                         Section& out) {
  top_.begin();
  users_.begin();
  ledger.for_each_top([&](const FileTotals& file) {
    top_.add({file.path, file.fstype, file.device, file.root}, shown_file(file, views));
    users_.add({file.path, file.fstype, file.device, file.root, owner(file.owner), file.thread,
                std::to_string(file.pid), std::to_string(file.tid)},
               1);
  });
  out.tables.push_back(top_.take());
  out.tables.push_back(users_.take());
}

void FileTables::add_churn(const ChurnSums& sums, const DirectorySums& directories,
                           const GroupNameOf& group, Section& out) {
  churn_.begin();
  for (const auto& [key, sum] : sums) {
    churn_.row({group(std::get<0>(key)), std::get<1>(key)});
    churn_.set(0, sum.created);
    churn_.set(1, sum.deleted);
    set_time_histogram(churn_, 2, sum.lifetimes, kStep);
  }
  out.tables.push_back(churn_.take());
  directories_.begin();
  directories.for_each(
      [&](std::uint32_t number, const std::string& pattern, const DirectorySum& sum) {
        directories_.row({group(number), pattern});
        directories_.set(0, sum.created);
        directories_.set(1, sum.deleted);
        directories_.set(2, sum.bytes);
        if (sum.untold == 0 || sum.untold < sum.deleted) {
          directories_.set(3, sum.unstored_bytes);
        }
      });
  out.tables.push_back(directories_.take());
}

void FileTables::add_slow(const SlowOperations& slow, const OperationSums& sums,
                          const FileViews& views, const GroupNameOf& group, Section& out) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> counts;  // by group, operation
  for (const auto& [key, sum] : sums) {
    const auto& [number, fstype, operation] = key;
    if (sum.slow != 0 && is_seen(operation, views)) {
      counts[{number, operation}] += sum.slow;
    }
  }
  slow_.begin();
  for (const SlowOperation& one : slow.kept()) {
    slow_.add({one.operation, one.path, one.fstype, one.thread, std::to_string(one.pid),
               std::to_string(one.tid)},
              one.ns);
  }
  out.tables.push_back(slow_.take());
  slow_counts_.begin();
  for (const auto& [key, count] : counts) {
    slow_counts_.add({group(key.first), file_operation_name(key.second)}, count);
  }
  out.tables.push_back(slow_counts_.take());
}

void FileTables::add_losses(const std::vector<LossCount>& losses, Section& out) {
  losses_.begin();
  for (const LossCount& loss : losses) {
    losses_.add({loss.what}, loss.count);
  }
  out.tables.push_back(losses_.take());
}

std::vector<MetricDoc> FileTables::metrics() {
  std::vector<MetricDoc> docs;
  const auto columns = [&](const std::vector<ColumnInfo>& infos,
                           const std::vector<std::string>& labels) {
    for (const ColumnInfo& info : infos) {
      if (docs.empty() || docs.back().name != info.family) {
        docs.push_back({info.family, info.kind, labels, info.help});
      }
    }
  };
  columns(sync_columns(), {"group", "fstype", "operation"});
  columns(other_columns(), {"group", "fstype", "operation"});
  document<ShownFile>(docs, kTopColumns, kFileLabels);
  docs.push_back(
      {std::string(kUsersFamily), MetricKind::kGauge, kUserLabels, std::string(kUsersHelp)});
  columns(churn_columns(), {"group", "fstype"});
  columns(directory_columns(), {"group", "directory"});
  docs.push_back(
      {std::string(kSlowFamily), MetricKind::kGauge, kSlowLabels, std::string(kSlowHelp)});
  docs.push_back({std::string(kSlowCountFamily),
                  MetricKind::kCounter,
                  {"group", "operation"},
                  std::string(kSlowCountHelp)});
  docs.push_back(
      {std::string(kLossFamily), MetricKind::kCounter, {"what"}, std::string(kLossHelp)});
  return docs;
}

}  // namespace tidegauge
