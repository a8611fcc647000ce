// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/procfs/proc_stat.h"

namespace tidegauge {

struct HeldCpuTimes {
  std::string number;
  CpuTimes times;
};

// CPU times as they may be shown as counters: /proc/stat's iowait and idle go back now and then
// (get_idle_time and get_iowait_time in fs/proc/stat.c estimate them for a sleeping CPU), so each
// keeps the greatest value seen. Only a fall of idle by 3 s or more, node_exporter's sign of a CPU
// that was taken off and put back, starts that CPU anew. CPUs not in `now` are forgotten.
// Returns whether the set of CPUs changed.
bool hold_cpu_times(std::span<const NumberedCpuTimes> now, std::vector<HeldCpuTimes>& held);

extern const CollectorInfo kCpuCollector;

}  // namespace tidegauge
