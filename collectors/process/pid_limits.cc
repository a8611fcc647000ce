// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/pid_limits.h"

#include "collectors/core/text.h"

namespace tidegauge {

// Limit                     Soft Limit           Hard Limit           Units
// Max cpu time              unlimited            unlimited            seconds
// ...
// Max open files            1024                 524288               files
Result<PidLimits> parse_pid_limits(std::string_view text) {
  constexpr std::string_view kOpenFiles = "Max open files";
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    if (!line.starts_with(kOpenFiles)) {
      continue;
    }
    line.remove_prefix(kOpenFiles.size());
    const std::string_view soft = next_field(line);
    const auto number = parse_unsigned(soft);
    if (!number && soft != "unlimited") {
      return malformed(kPidLimitsFile, lines.number(), "a number or unlimited");
    }
    return PidLimits{.open_files = number};
  }
  return malformed(kPidLimitsFile, 0, "Max open files");
}

}  // namespace tidegauge
