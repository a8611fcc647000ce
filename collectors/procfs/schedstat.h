// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// One line "cpuN" of /proc/schedstat (kernel/sched/stats.c, show_schedstat; CONFIG_SCHEDSTATS).
// Nanoseconds since version 14 of the format.
struct CpuSchedstat {
  std::uint32_t cpu = 0;
  std::uint64_t running_ns = 0;
  std::uint64_t waiting_ns = 0;
  std::uint64_t timeslices = 0;
};

// Replaces `cpus`.
Result<void> parse_schedstat(std::string_view text, std::vector<CpuSchedstat>& cpus);

extern const CollectorInfo kSchedstatCollector;

}  // namespace tidegauge
