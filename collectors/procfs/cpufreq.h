// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// /sys/devices/system/cpu/cpuN/cpufreq (drivers/cpufreq/cpufreq.c). What the driver cannot tell, or
// this user may not read (cpuinfo_cur_freq is for root), is absent.
struct CpuFrequency {
  std::optional<std::uint64_t> current_khz;  // cpuinfo_cur_freq: asked of the hardware
  std::optional<std::uint64_t> average_khz;  // cpuinfo_avg_freq
  std::optional<std::uint64_t> min_khz;
  std::optional<std::uint64_t> max_khz;
  std::optional<std::uint64_t> scaling_khz;
  std::optional<std::uint64_t> scaling_min_khz;
  std::optional<std::uint64_t> scaling_max_khz;
};

// One attribute. None for "<unknown>", which the kernel prints when the driver has no answer.
Result<std::optional<std::uint64_t>> parse_khz(std::string_view file, std::string_view text);

// "performance powersave", each once.
std::vector<std::string_view> parse_governors(std::string_view text);

extern const CollectorInfo kCpufreqCollector;

}  // namespace tidegauge
