// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/utc_text.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace tidegauge {

std::string utc_text(std::int64_t realtime_ns) {
  constexpr std::int64_t kSecondNs = 1'000'000'000;
  // Rounded down before 1970, too.
  std::int64_t seconds = realtime_ns / kSecondNs;
  std::int64_t rest_ns = realtime_ns % kSecondNs;
  if (rest_ns < 0) {
    --seconds;
    rest_ns += kSecondNs;
  }
  const std::time_t time = seconds;
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<int>(rest_ns / 1'000'000));
  return text.data();
}

}  // namespace tidegauge
