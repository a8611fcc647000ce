// SPDX-License-Identifier: Apache-2.0
#pragma once

// Units of figures, and how a human reads them.

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace tidegauge::heuristics {

// A number nobody knows: the kernel lacks it, the collector failed, or there was no sample before. Never 0.
inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr bool is_known(double value) { return value == value; }

enum class Unit : std::uint8_t {
  kNumber,
  kRatio,  // 0..1, shown in percent
  kBytes,
  kBytesPerSecond,
  kPages,
  kPagesPerSecond,
  kPerSecond,
  kSeconds,
  kCores,  // seconds of CPU time a second
};

// "ratio", "bytes per second": for JSON.
std::string_view unit_name(Unit unit);
// "84.7 %", "700 MiB/s", "7.2 ms": three digits, ASCII. "unknown" where it is.
std::string format_figure(double value, Unit unit);
// "3 min 20 s", "1.2 s"
std::string format_duration(double seconds);

}  // namespace tidegauge::heuristics
