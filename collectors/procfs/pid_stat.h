// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

// What the collectors use of /proc/PID/stat and /proc/PID/task/TID/stat (fs/proc/array.c,
// do_task_stat). No kernel of the last fifteen years prints fewer than 44 fields.
struct PidStat {
  char state = '?';  // R S D Z T t X I and, on kernels before 4.14, also x K W P
  std::uint64_t user_ticks = 0;
  std::uint64_t system_ticks = 0;
  std::uint64_t threads = 0;      // of the whole process, in a thread's file too
  std::uint64_t start_ticks = 0;  // since boot
  std::uint64_t virtual_bytes = 0;
  std::uint64_t resident_pages = 0;
};

// How its errors name the file; who knows the pid puts the path in its place.
inline constexpr std::string_view kPidStatFile = "PID/stat";

Result<PidStat> parse_pid_stat(std::string_view text);

}  // namespace tidegauge
