// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "collectors/core/collector.h"

namespace tidegauge {

// /proc/sys/kernel/hung_task_detect_count (kernel/hung_task.c), since 6.13.
struct KernelHung {
  std::uint64_t detected_tasks = 0;
};

Result<KernelHung> parse_hung_task_detect_count(std::string_view text);

extern const CollectorInfo kKernelHungCollector;

}  // namespace tidegauge
