// SPDX-License-Identifier: Apache-2.0
#pragma once

// A moment within a recording as somebody writes it on a command line.

#include <cstdint>
#include <optional>
#include <string_view>

namespace tidegauge {

struct TimeArgument {
  bool is_before_end = false;  // `ns` counts back from the recording's end, else CLOCK_REALTIME
  std::int64_t ns = 0;

  // `end_ns`: the recording's end.
  [[nodiscard]] std::int64_t resolve(std::int64_t end_ns) const;
};

// What parse_time_argument() takes, for errors and help.
inline constexpr std::string_view kTimeForms =
    "a time such as 2026-11-26T01:32:32Z or 2026-11-26T02:32:32.5+01:00, seconds since 1970 such "
    "as "
    "1795656752.5, or -5m for five minutes before the recording's end";

std::optional<TimeArgument> parse_time_argument(std::string_view text);

}  // namespace tidegauge
