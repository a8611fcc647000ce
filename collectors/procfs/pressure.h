// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "collectors/core/collector.h"

namespace tidegauge {

// One file of /proc/pressure (kernel/sched/psi.c, psi_show): stall time since boot. cpu has no
// "full" before 5.13 (and 0 there since), irq has no "some".
struct PressureFile {
  std::optional<std::uint64_t> some_total_us;
  std::optional<std::uint64_t> full_total_us;
};

// `file` names it in errors ("pressure/io").
Result<PressureFile> parse_pressure(std::string_view file, std::string_view text);

extern const CollectorInfo kPressureCollector;

}  // namespace tidegauge
