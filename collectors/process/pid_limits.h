// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

// What is used of /proc/PID/limits (fs/proc/base.c, proc_pid_limits).
struct PidLimits {
  std::optional<std::uint64_t> open_files;  // the soft limit; nullopt: unlimited
};

inline constexpr std::string_view kPidLimitsFile = "PID/limits";

Result<PidLimits> parse_pid_limits(std::string_view text);

}  // namespace tidegauge
