// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "collectors/core/collector.h"

namespace tidegauge {

// /proc/loadavg (fs/proc/loadavg.c). The kernel prints two decimals.
struct LoadAvg {
  std::uint64_t load1_hundredths = 0;
  std::uint64_t load5_hundredths = 0;
  std::uint64_t load15_hundredths = 0;
};

Result<LoadAvg> parse_loadavg(std::string_view text);

extern const CollectorInfo kLoadAvgCollector;

}  // namespace tidegauge
