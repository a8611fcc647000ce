// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/unit.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace tidegauge::heuristics {

namespace {

// Three digits: 1.23, 12.3, 123, 12345.
std::string digits(double value) {
  const double size = std::abs(value);
  int decimals = 0;
  if (value != 0 && size < 9.995) {
    decimals = 2;
  } else if (value != 0 && size < 99.95) {
    decimals = 1;
  }
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  std::string out(text.data());
  if (out.find('.') != std::string::npos) {
    out.erase(out.find_last_not_of('0') + 1);
    if (out.ends_with('.')) {
      out.pop_back();
    }
  }
  return out == "-0" ? "0" : out;
}

std::string bytes(double value) {
  constexpr std::array<std::string_view, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  while (std::abs(value) >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return digits(value) + " " + std::string(kUnits[unit]);
}

}  // namespace

std::string_view unit_name(Unit unit) {
  switch (unit) {
    case Unit::kNumber:
      return "number";
    case Unit::kRatio:
      return "ratio";
    case Unit::kBytes:
      return "bytes";
    case Unit::kBytesPerSecond:
      return "bytes per second";
    case Unit::kPages:
      return "pages";
    case Unit::kPagesPerSecond:
      return "pages per second";
    case Unit::kPerSecond:
      return "per second";
    case Unit::kSeconds:
      return "seconds";
    case Unit::kCores:
      return "cores";
  }
  return "number";
}

std::string format_duration(double seconds) {
  const double size = std::abs(seconds);
  if (size < 0.001) {
    return digits(seconds * 1e6) + " us";
  }
  if (size < 1) {
    return digits(seconds * 1e3) + " ms";
  }
  if (size < 120) {
    return digits(seconds) + " s";
  }
  if (size < 7200) {
    return digits(std::round(seconds / 60)) + " min";
  }
  if (size < 2 * 86'400) {
    return digits(seconds / 3600) + " h";
  }
  return digits(seconds / 86'400) + " days";
}

std::string format_figure(double value, Unit unit) {
  if (!is_known(value)) {
    return "unknown";
  }
  switch (unit) {
    case Unit::kNumber:
      return digits(value);
    case Unit::kRatio:
      return digits(value * 100) + " %";
    case Unit::kBytes:
      return bytes(value);
    case Unit::kBytesPerSecond:
      return bytes(value) + "/s";
    case Unit::kPages:
      return digits(value) + " pages";
    case Unit::kPagesPerSecond:
      return digits(value) + " pages/s";
    case Unit::kPerSecond:
      return digits(value) + "/s";
    case Unit::kSeconds:
      return value == 0 ? "0 s" : format_duration(value);
    case Unit::kCores:
      return digits(value) + " CPUs";
  }
  return digits(value);
}

}  // namespace tidegauge::heuristics
