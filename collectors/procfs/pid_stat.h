// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "collectors/core/result.h"
#include "collectors/process/task_sample.h"

namespace tidegauge {

// What the collectors use of /proc/PID/stat and /proc/PID/task/TID/stat (fs/proc/array.c,
// do_task_stat). No kernel of the last fifteen years prints fewer than 44 fields.
struct PidStat {
  // Its first 15 bytes: workers of the kernel append what they work on to theirs (kernel/workqueue.c,
  // wq_worker_comm).
  TaskName comm;
  char state = '?';  // R S D Z T t X I and, on kernels before 4.14, also x K W P
  std::uint64_t parent_pid = 0;
  std::uint64_t flags = 0;  // PF_* of include/linux/sched.h
  // Of every thread that lives or has lived, in a thread's file of that thread alone; those with
  // "child" of the children that were waited for, and theirs.
  std::uint64_t minor_faults = 0;
  std::uint64_t child_minor_faults = 0;
  std::uint64_t major_faults = 0;
  std::uint64_t child_major_faults = 0;
  std::uint64_t user_ticks = 0;
  std::uint64_t system_ticks = 0;
  std::uint64_t child_user_ticks = 0;
  std::uint64_t child_system_ticks = 0;
  std::uint64_t threads = 0;      // of the whole process, in a thread's file too
  std::uint64_t start_ticks = 0;  // since boot
  std::uint64_t virtual_bytes = 0;
  std::uint64_t resident_pages = 0;
  std::uint64_t block_delay_ticks = 0;  // of this thread, the leader in a process's file
};

inline constexpr std::uint64_t kKernelThreadFlag = 0x00200000;  // PF_KTHREAD

// How its errors name the file; who knows the pid puts the path in its place.
inline constexpr std::string_view kPidStatFile = "PID/stat";

Result<PidStat> parse_pid_stat(std::string_view text);

}  // namespace tidegauge
