// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_tables.h"

#include <algorithm>
#include <map>
#include <utility>

#include "collectors/process/shown_identity.h"

namespace tidegauge {

namespace {

constexpr Column<PassFacts> kFacts[] = {
    {"tidegauge_processes", "Processes seen in the last pass.", MetricKind::kGauge, kUnit,
     &PassFacts::processes},
    {"tidegauge_process_threads_seen", "Threads seen in the last pass.", MetricKind::kGauge, kUnit,
     &PassFacts::threads},
    {"tidegauge_uninterruptible_threads",
     "Threads in uninterruptible sleep (state D) at the moment of the last pass.",
     MetricKind::kGauge, kUnit, &PassFacts::stuck_threads},
    {"tidegauge_zombie_processes",
     "Processes that ended and that their parent has not waited for; those that were never seen "
     "alive "
     "are in no group and not in tidegauge_processes.",
     MetricKind::kGauge, kUnit, &PassFacts::zombies},
    {"tidegauge_process_lost_exits_total",
     "Ends of processes whose last doings, since the pass before, were not seen.",
     MetricKind::kCounter, kUnit, &PassFacts::lost_exits},
    {"tidegauge_process_unseen_starts_total",
     "Threads and processes that the kernel says were started and that no pass has seen: at most "
     "so many "
     "came and went unseen. Only where passes come from /proc; BPF sees them all.",
     MetricKind::kCounter, kUnit, &PassFacts::unseen_starts},
    {"tidegauge_process_group_overflows_total",
     "Processes that counted for the group \"other\" because there were too many groups.",
     MetricKind::kCounter, kUnit, &PassFacts::group_overflows},
};

constexpr std::string_view kSourceFamily = "tidegauge_process_source_info";
constexpr std::string_view kSourceHelp =
    "Where passes over processes come from (iterator: BPF, complete for short-lived processes; "
    "procfs), and why; always 1.";
constexpr std::string_view kMissingFamily = "tidegauge_process_missing";
constexpr std::string_view kMissingHelp =
    "Processes of which a field could not be told in the last pass, and why.";
constexpr std::string_view kStuckFamily = "tidegauge_stuck_threads";
constexpr std::string_view kStuckHelp =
    "Threads that have been in one uninterruptible sleep since the pass before last or longer, by "
    "the kernel function they wait in.";
constexpr std::string_view kStuckLongestFamily = "tidegauge_stuck_threads_longest_seconds";
constexpr std::string_view kStuckLongestHelp =
    "How long the longest of these sleeps has lasted at least.";
constexpr std::string_view kDescriptorsFamily = "tidegauge_process_open_fds";
constexpr std::string_view kDescriptorsHelp =
    "Open descriptors of one of the busiest processes, as last looked at.";
constexpr std::string_view kCpusFamily = "tidegauge_process_allowed_cpus";
constexpr std::string_view kCpusHelp =
    "How many CPUs one of the busiest processes may run on (affinity); the label names them.";
constexpr std::string_view kMappingsFamily = "tidegauge_process_mappings_bytes";
constexpr std::string_view kMappingsHelp =
    "Memory of a process's mappings by kind (smaps_rollup), as last looked at. Only looked at when "
    "the host waits for memory or I/O or a verdict of memory begins, once a minute at most, of the "
    "process that is suspected or else whose memory grows most.";
constexpr std::string_view kThreadFamily = "tidegauge_process_thread_cpu_seconds_total";
constexpr std::string_view kThreadHelp =
    "CPU time of a process's threads by the name they gave themselves, since the process was first "
    "looked at, as last looked at; names that were among the five busiest of one of the busiest "
    "processes.";
// More kinds of sleep than this at once are one incident, not so many series.
constexpr std::size_t kMaxStuckRows = 32;

std::vector<ColumnInfo> stuck_columns() {
  return {ColumnInfo{std::string(kStuckFamily),
                     {},
                     std::string(kStuckHelp),
                     MetricKind::kGauge,
                     NumberType::kUnsigned,
                     kUnit,
                     {}},
          ColumnInfo{std::string(kStuckLongestFamily),
                     {},
                     std::string(kStuckLongestHelp),
                     MetricKind::kGauge,
                     NumberType::kUnsigned,
                     kNanoseconds,
                     {}}};
}

using Cell = std::optional<std::uint64_t>;

void set_counters(ProcessRow& row, const TaskCounters& counters) {
  const auto cell = [&](TaskCounter field) {
    return counters.present(field) ? Cell(counters[field]) : Cell();
  };
  row.user_ns = cell(TaskCounter::kUserNs);
  row.system_ns = cell(TaskCounter::kSystemNs);
  row.minor_faults = cell(TaskCounter::kMinorFaults);
  row.major_faults = cell(TaskCounter::kMajorFaults);
  row.storage_read_bytes = cell(TaskCounter::kStorageReadBytes);
  row.storage_written_bytes = cell(TaskCounter::kStorageWriteBytes);
  row.storage_cancelled_bytes = cell(TaskCounter::kStorageCancelledBytes);
  row.syscall_read_bytes = cell(TaskCounter::kSyscallReadBytes);
  row.syscall_written_bytes = cell(TaskCounter::kSyscallWriteBytes);
  row.read_syscalls = cell(TaskCounter::kReadSyscalls);
  row.write_syscalls = cell(TaskCounter::kWriteSyscalls);
  row.block_delay_ns = cell(TaskCounter::kBlockDelayNs);
  row.voluntary_switches = cell(TaskCounter::kVoluntarySwitches);
  row.involuntary_switches = cell(TaskCounter::kInvoluntarySwitches);
  row.run_delay_ns = cell(TaskCounter::kRunDelayNs);
  row.sync_calls = cell(TaskCounter::kSyncCalls);
  row.sync_ns = cell(TaskCounter::kSyncNs);
}

void set_gauges(ProcessRow& row, const TaskGauges& gauges) {
  const auto cell = [&](TaskGauge field) {
    return gauges.present(field) ? Cell(gauges[field]) : Cell();
  };
  row.threads = cell(TaskGauge::kThreads);
  row.anon_bytes = cell(TaskGauge::kAnonBytes);
  row.file_bytes = cell(TaskGauge::kFileBytes);
  row.shmem_bytes = cell(TaskGauge::kShmemBytes);
  row.swap_bytes = cell(TaskGauge::kSwapBytes);
}

const std::vector<std::string> kTopLabels{"pid", "comm", "group", "unit", "container"};

}  // namespace

ProcessTables::ProcessTables(PrivacyFilter privacy)
    : privacy_(std::move(privacy)),
      groups_(group_columns(), {"group"}),
      top_(top_process_columns(), kTopLabels),
      facts_(kFacts),
      source_(std::string(kSourceFamily), std::string(kSourceHelp), MetricKind::kGauge,
              {"source", "reason"}),
      missing_(std::string(kMissingFamily), std::string(kMissingHelp), MetricKind::kGauge,
               {"field", "reason"}),
      stuck_({"group", "wchan"}, stuck_columns()),
      descriptors_(std::string(kDescriptorsFamily), std::string(kDescriptorsHelp),
                   MetricKind::kGauge, {"pid", "comm"}),
      cpus_(std::string(kCpusFamily), std::string(kCpusHelp), MetricKind::kGauge,
            {"pid", "comm", "cpus"}),
      mappings_(std::string(kMappingsFamily), std::string(kMappingsHelp), MetricKind::kGauge,
                {"pid", "comm", "kind"}, kKibibytes),
      threads_(std::string(kThreadFamily), std::string(kThreadHelp), MetricKind::kCounter,
               {"pid", "comm", "thread"}, kTicks) {}

void ProcessTables::fill_mappings(std::string_view pid, const ProcessDetail& detail) {
  struct Kind {
    std::string_view name;
    std::optional<std::uint64_t> PidSmapsRollup::*member;
  };
  constexpr Kind kKinds[] = {
      {"pss", &PidSmapsRollup::pss_kib},
      {"private_clean", &PidSmapsRollup::private_clean_kib},
      {"private_dirty", &PidSmapsRollup::private_dirty_kib},
      {"shared_clean", &PidSmapsRollup::shared_clean_kib},
      {"shared_dirty", &PidSmapsRollup::shared_dirty_kib},
      {"anonymous", &PidSmapsRollup::anonymous_kib},
      {"swap", &PidSmapsRollup::swap_kib},
  };
  for (const Kind& kind : kKinds) {
    if (const auto& kib = (*detail.mappings).*kind.member) {
      mappings_.add({pid, detail.comm.view(), kind.name}, *kib);
    }
  }
}

void ProcessTables::fill_details(const std::vector<ProcessDetail>& details) {
  descriptors_.begin();
  cpus_.begin();
  mappings_.begin();
  threads_.begin();
  for (const ProcessDetail& detail : details) {
    const std::string pid = std::to_string(detail.key.pid);
    if (detail.open_descriptors) {
      descriptors_.add({pid, detail.comm.view()}, *detail.open_descriptors);
    }
    if (detail.allowed_cpu_count) {
      cpus_.add({pid, detail.comm.view(), detail.allowed_cpus}, *detail.allowed_cpu_count);
    }
    if (detail.mappings) {
      fill_mappings(pid, detail);
    }
    for (const ThreadGroupTime& thread : detail.threads) {
      if (thread.is_shown) {
        threads_.add({pid, detail.comm.view(), thread.name}, thread.cpu_ticks);
      }
    }
  }
}

void ProcessTables::fill_top(const ProcessTracker& tracker, std::int64_t boot_realtime_ns) {
  top_.begin();
  for (const TrackedProcess* process : tracker.top()) {
    const ProcessSample& sample = process->sample;
    ProcessRow row;
    set_counters(row, sample.counters);
    if (sample.alive) {
      set_gauges(row, sample.gauges);
    }
    row.start_realtime_ns = static_cast<std::uint64_t>(boot_realtime_ns) + sample.key.start_ns;
    const CgroupIdentity owner =
        process->owner ? shown_identity(privacy_, process->owner->identity) : CgroupIdentity();
    top_.add({std::to_string(sample.key.pid), sample.comm.view(),
              tracker.groups()[process->group].name, owner.unit, owner.container},
             row);
  }
}

void ProcessTables::fill_stuck(const ProcessTracker& tracker, const StuckTasks& stuck,
                               std::int64_t now_ns) {
  struct Row {
    std::uint64_t threads = 0;
    std::uint64_t longest_ns = 0;
  };
  std::map<std::pair<std::string, std::string>, Row> rows;
  for (const StuckTask* task : stuck.lasting()) {
    const TrackedProcess* process = tracker.find(task->thread.process.pid);
    std::pair<std::string, std::string> key{
        tracker.groups()[process != nullptr ? process->group : ProcessGroups::kOther].name,
        task->wait_channel};
    if (rows.size() >= kMaxStuckRows && !rows.contains(key)) {
      key = {"other", "other"};
    }
    Row& row = rows[std::move(key)];
    ++row.threads;
    row.longest_ns = std::max(row.longest_ns, static_cast<std::uint64_t>(now_ns - task->since_ns));
  }
  stuck_.begin();
  for (const auto& [key, row] : rows) {
    stuck_.row({key.first, key.second});
    stuck_.set(0, row.threads);
    stuck_.set(1, row.longest_ns);
  }
}

void ProcessTables::fill(const ProcessTracker& tracker, const StuckTasks& stuck,
                         const PassFacts& facts, const std::vector<MissingField>& missing,
                         const std::vector<ProcessDetail>& details, std::int64_t now_ns,
                         std::int64_t boot_realtime_ns, Section& out) {
  groups_.begin();
  tracker.groups().for_each([&](const ProcessGroup& group) {
    ProcessRow row;
    set_counters(row, group.counters);
    set_gauges(row, group.gauges);
    row.processes = group.processes;
    row.started = group.started;
    groups_.add({group.name}, row);
  });
  out.tables.push_back(groups_.take());
  fill_top(tracker, boot_realtime_ns);
  out.tables.push_back(top_.take());
  fill_stuck(tracker, stuck, now_ns);
  out.tables.push_back(stuck_.take());
  fill_details(details);
  out.tables.push_back(descriptors_.take());
  out.tables.push_back(cpus_.take());
  out.tables.push_back(mappings_.take());
  out.tables.push_back(threads_.take());
  facts_.begin();
  facts_.add({}, facts);
  out.tables.push_back(facts_.take());
  source_.begin();
  source_.add({facts.source, facts.reason}, 1);
  out.tables.push_back(source_.take());
  missing_.begin();
  for (const MissingField& field : missing) {
    missing_.add({field.field, field.reason},
                 field.processes != 0 ? field.processes : facts.processes);
  }
  out.tables.push_back(missing_.take());
}

std::vector<MetricDoc> ProcessTables::docs() {
  std::vector<MetricDoc> docs;
  document<ProcessRow>(docs, group_columns(), {"group"});
  document<ProcessRow>(docs, top_process_columns(), kTopLabels);
  const auto plain = [&](std::string_view name, std::vector<std::string> labels,
                         std::string_view help) {
    docs.push_back({std::string(name), MetricKind::kGauge, std::move(labels), std::string(help)});
  };
  plain(kStuckFamily, {"group", "wchan"}, kStuckHelp);
  plain(kStuckLongestFamily, {"group", "wchan"}, kStuckLongestHelp);
  plain(kDescriptorsFamily, {"pid", "comm"}, kDescriptorsHelp);
  plain(kCpusFamily, {"pid", "comm", "cpus"}, kCpusHelp);
  plain(kMappingsFamily, {"pid", "comm", "kind"}, kMappingsHelp);
  plain(kThreadFamily, {"pid", "comm", "thread"}, kThreadHelp);
  docs.back().kind = MetricKind::kCounter;
  document<PassFacts>(docs, kFacts, {});
  plain(kSourceFamily, {"source", "reason"}, kSourceHelp);
  plain(kMissingFamily, {"field", "reason"}, kMissingHelp);
  return docs;
}

}  // namespace tidegauge
