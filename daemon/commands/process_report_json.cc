// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>

#include "collectors/core/text.h"
#include "daemon/commands/process_report.h"

namespace tidegauge {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxThreadRows = 1000;

Json text_or_null(std::string_view text) {
  return text.empty() ? Json(nullptr) : Json(sanitize_label(text, 4096));
}

template <class T>
Json known(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

struct CounterName {
  TaskCounter counter;
  const char* name;
  bool is_time;
};
constexpr CounterName kCounters[] = {
    {TaskCounter::kUserNs, "user_cpu_seconds", true},
    {TaskCounter::kSystemNs, "system_cpu_seconds", true},
    {TaskCounter::kRunDelayNs, "run_delay_seconds", true},
    {TaskCounter::kStorageReadBytes, "storage_read_bytes", false},
    {TaskCounter::kStorageWriteBytes, "storage_written_bytes", false},
    {TaskCounter::kStorageCancelledBytes, "storage_cancelled_bytes", false},
    {TaskCounter::kBlockDelayNs, "block_delay_seconds", true},
    {TaskCounter::kSyscallReadBytes, "syscall_read_bytes", false},
    {TaskCounter::kSyscallWriteBytes, "syscall_written_bytes", false},
    {TaskCounter::kReadSyscalls, "read_syscalls", false},
    {TaskCounter::kWriteSyscalls, "write_syscalls", false},
    {TaskCounter::kMinorFaults, "minor_faults", false},
    {TaskCounter::kMajorFaults, "major_faults", false},
    {TaskCounter::kVoluntarySwitches, "voluntary_switches", false},
    {TaskCounter::kInvoluntarySwitches, "involuntary_switches", false},
    {TaskCounter::kSyncCalls, "syncs", false},
    {TaskCounter::kSyncNs, "sync_seconds", true},
};
static_assert(std::size(kCounters) == kTaskCounters);

struct GaugeName {
  TaskGauge gauge;
  const char* name;
};
constexpr GaugeName kGauges[] = {
    {TaskGauge::kAnonBytes, "anonymous_bytes"},
    {TaskGauge::kFileBytes, "file_bytes"},
    {TaskGauge::kShmemBytes, "shmem_bytes"},
    {TaskGauge::kSwapBytes, "swapped_bytes"},
};

struct SmapsName {
  std::optional<std::uint64_t> PidSmapsRollup::*member;
  const char* name;
};
constexpr SmapsName kSmaps[] = {
    {&PidSmapsRollup::pss_kib, "pss_bytes"},
    {&PidSmapsRollup::shared_clean_kib, "shared_clean_bytes"},
    {&PidSmapsRollup::shared_dirty_kib, "shared_dirty_bytes"},
    {&PidSmapsRollup::private_clean_kib, "private_clean_bytes"},
    {&PidSmapsRollup::private_dirty_kib, "private_dirty_bytes"},
    {&PidSmapsRollup::anonymous_kib, "anonymous_bytes"},
    {&PidSmapsRollup::anon_huge_kib, "anon_huge_bytes"},
    {&PidSmapsRollup::swap_kib, "swap_bytes"},
    {&PidSmapsRollup::swap_pss_kib, "swap_pss_bytes"},
    {&PidSmapsRollup::locked_kib, "locked_bytes"},
};

Json counters_of(const TaskCounters& counters) {
  Json out;
  for (const CounterName& field : kCounters) {
    Json& value = out[field.name];
    if (counters.present(field.counter)) {
      const std::uint64_t number = counters[field.counter];
      value = field.is_time ? Json(static_cast<double>(number) / 1e9) : Json(number);
    }
  }
  return out;
}

Json memory_of(const TaskGauges& gauges) {
  Json out;
  for (const GaugeName& field : kGauges) {
    out[field.name] = gauges.present(field.gauge) ? Json(gauges[field.gauge]) : Json(nullptr);
  }
  return out;
}

Json smaps_of(const PidSmapsRollup& smaps) {
  Json out{{"rss_bytes", smaps.rss_kib * 1024}};
  for (const SmapsName& field : kSmaps) {
    const auto& value = smaps.*field.member;
    out[field.name] = value ? Json(*value * 1024) : Json(nullptr);
  }
  return out;
}

Json threads_of(const std::vector<ThreadRow>& rows) {
  Json out = Json::array();
  for (std::size_t i = 0; i < std::min(kMaxThreadRows, rows.size()); ++i) {
    const ThreadRow& row = rows[i];
    out.push_back({{"name", sanitize_label(row.name)},
                   {"threads", row.threads},
                   {"cpu_ratio", known(row.cpu_ratio)},
                   {"uninterruptible", row.stuck},
                   {"tid", row.tid},
                   {"state", std::string(1, row.state)},
                   {"wait_channel", text_or_null(row.wait_channel)}});
  }
  return out;
}

void add_identity(Json& out, const ProcessReport& report) {
  const ProcessSample& sample = report.process.sample;
  const CgroupIdentity identity =
      report.process.owner ? report.process.owner->identity : CgroupIdentity{};
  out["pid"] = sample.key.pid;
  out["ended"] = report.ended;
  out["comm"] = sanitize_label(sample.comm.view());
  out["start_time"] = static_cast<double>(report.start_realtime_ns) / 1e9;
  out["age_seconds"] = report.age_s;
  out["user"] = text_or_null(report.user);
  out["parent_pid"] = sample.parent_pid;
  out["state"] = std::string(1, sample.state);
  out["kernel_thread"] = sample.kernel_thread;
  out["threads"] = sample.gauges[TaskGauge::kThreads];
  out["group"] = sanitize_label(report.process.group);
  out["cgroup"] = text_or_null(report.cgroup);
  out["unit"] = text_or_null(identity.unit);
  out["container"] = text_or_null(identity.container);
  out["executable"] = text_or_null(report.executable);
  if (report.command_line) {
    out["command_line"] = text_or_null(report.command_line->value.value_or(""));
  }
  out["allowed_cpus"] = text_or_null(report.allowed_cpus);
  out["allowed_cpu_count"] = known(report.allowed_cpu_count);
  out["open_files"] = known(report.open_files.value);
  out["open_files_limit"] = known(report.open_files_limit.value);
}

}  // namespace

std::string report_json(const ProcessReport& report) {
  Json out;
  add_identity(out, report);
  out["source"] = report.facts.source;
  out["since_start"] = counters_of(report.process.sample.counters);
  out["memory"] = memory_of(report.process.sample.gauges);
  out["smaps_rollup"] = report.smaps.value ? smaps_of(*report.smaps.value) : Json(nullptr);
  if (!report.smaps.value) {
    out["smaps_rollup_missing"] = sanitize_label(report.smaps.reason);
  }
  out["interval_seconds"] = report.interval_s;
  out["threads_by_name"] = threads_of(report.threads);
  return out.dump(-1, ' ', true) + "\n";
}

}  // namespace tidegauge
