// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/verdict.h"

#include <iterator>

namespace tidegauge::heuristics {

namespace {

using enum Severity;
using enum VerdictId;

constexpr VerdictInfo kInfos[] = {
    {kPageCacheThrash, "page_cache_thrash", kCritical, "Page cache thrash", 5, 20},
    {kMemoryWatermarkPressure, "memory_watermark_pressure", kWarning, "Memory near its watermarks",
     3, 20},
    {kDirectReclaimStall, "direct_reclaim_stall", kCritical, "Allocations stall in direct reclaim",
     3, 20},
    {kMemoryFragmentation, "memory_fragmentation", kWarning, "Memory is fragmented", 10, 30},
    {kDirtyThrottling, "dirty_throttling", kWarning, "Writers are throttled", 5, 20},
    {kSwapThrash, "swap_thrash", kCritical, "Swap thrash", 5, 20},
    {kMemoryLeakSuspected, "memory_leak_suspected", kWarning, "Memory leak suspected", 0, 120},
    {kOomRisk, "oom_risk", kCritical, "Memory is about to run out", 3, 20},
    {kOomKill, "oom_kill", kCritical, "The kernel killed for want of memory", 0, 300},
    {kCgroupMemoryLimit, "cgroup_memory_limit", kWarning, "A cgroup is at its memory limit", 5, 30},
    {kDiskSaturated, "disk_saturated", kWarning, "Disk saturated", 8, 20},
    {kDiskHung, "disk_hung", kCritical, "Disk hangs", 5, 10},
    {kDiskBurst, "disk_burst", kInfo, "Bursts on a disk", 0, 60},
    {kSyncBoundProcess, "sync_bound_process", kWarning, "A process waits for its own syncs", 5, 20},
    {kTempFileChurn, "temp_file_churn", kWarning, "Temporary files churn", 5, 20},
    {kWriterStalledInKernel, "writer_stalled_in_kernel", kWarning,
     "A writer is stalled in the kernel", 8, 20},
    {kCpuSingleSaturated, "cpu_single_saturated", kWarning, "One CPU is saturated", 8, 20},
    {kCpuContention, "cpu_contention", kWarning, "Too few CPUs for what wants to run", 8, 20},
    {kIowaitUnexplained, "iowait_unexplained", kInfo, "iowait without an explanation", 15, 20},
};

constexpr bool is_in_order() {
  for (std::size_t i = 0; i < std::size(kInfos); ++i) {
    if (static_cast<std::size_t>(kInfos[i].id) != i) {
      return false;
    }
  }
  return std::size(kInfos) == kVerdicts;
}
static_assert(is_in_order());

}  // namespace

std::string_view severity_name(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "info";
    case Severity::kWarning:
      return "warning";
    case Severity::kCritical:
      return "critical";
  }
  return "warning";
}

std::span<const VerdictInfo> all_verdicts() { return kInfos; }

const VerdictInfo& info_of(VerdictId id) { return kInfos[static_cast<std::size_t>(id)]; }

std::string Party::text() const {
  std::string out = comm.empty() ? group : comm;
  std::string more;
  const auto add = [&more](std::string_view what, const std::string& value) {
    if (!value.empty()) {
      more += (more.empty() ? "" : ", ") + std::string(what) + value;
    }
  };
  add("pid ", pid);
  add("thread ", thread);
  add("", unit);
  add("container ", container);
  if (out.empty()) {
    for (const std::string* one : {&cgroup, &device, &file, &directory, &zone}) {
      if (!one->empty()) {
        out = *one;
        break;
      }
    }
    if (out.empty() && !cpu.empty()) {
      out = "CPU " + cpu;
    }
  }
  return more.empty() ? out : out + " (" + more + ")";
}

}  // namespace tidegauge::heuristics
