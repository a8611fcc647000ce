// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

// What is used of /proc/PID/status and /proc/PID/task/TID/status (fs/proc/array.c, proc_pid_status,
// and fs/proc/task_mmu.c, task_mem).
struct PidStatus {
  std::uint32_t uid = 0;      // real, in the user namespace of the reader
  std::uint64_t threads = 0;  // of the process, in a thread's file too
  // Of this thread alone.
  std::optional<std::uint64_t> voluntary_switches;
  std::optional<std::uint64_t> involuntary_switches;
  // Absent for what has no address space: kernel threads and zombies. The split is Linux 4.5's.
  std::optional<std::uint64_t> resident_kib;
  std::optional<std::uint64_t> anon_kib;
  std::optional<std::uint64_t> file_kib;
  std::optional<std::uint64_t> shmem_kib;
  std::optional<std::uint64_t> swap_kib;
  std::optional<bool> kernel_thread;  // 6.8
};

inline constexpr std::string_view kPidStatusFile = "PID/status";

// Uid and Threads must be there.
Result<PidStatus> parse_pid_status(std::string_view text);

}  // namespace tidegauge
