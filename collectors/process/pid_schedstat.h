// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

// /proc/PID/schedstat and /proc/PID/task/TID/schedstat (fs/proc/base.c, proc_pid_schedstat): of one
// thread, the leader in the former. All 0 where the kernel does not account for it at run time.
struct PidSchedstat {
  std::uint64_t run_ns = 0;
  std::uint64_t run_delay_ns = 0;  // runnable, waiting for a CPU
  std::uint64_t slices = 0;        // times it was put on a CPU
};

inline constexpr std::string_view kPidSchedstatFile = "PID/schedstat";

Result<PidSchedstat> parse_pid_schedstat(std::string_view text);

}  // namespace tidegauge
