// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/pid_schedstat.h"

#include "collectors/core/text.h"

namespace tidegauge {

// 932680 41230 17
Result<PidSchedstat> parse_pid_schedstat(std::string_view text) {
  if (!text.ends_with('\n')) {
    return malformed(kPidSchedstatFile, 0, "a newline at the end");
  }
  text = text.substr(0, text.find('\n'));
  const auto run = next_unsigned(text);
  const auto delay = next_unsigned(text);
  const auto slices = next_unsigned(text);
  if (!run || !delay || !slices) {
    return malformed(kPidSchedstatFile, 1, "three numbers");
  }
  return PidSchedstat{*run, *delay, *slices};
}

}  // namespace tidegauge
