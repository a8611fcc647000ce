// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the threads of one process do, for `tidegauge process`.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/process/task_sample.h"

namespace tidegauge {

struct ThreadTime {
  std::uint32_t tid = 0;
  TaskName name;
  char state = '?';
  std::uint64_t cpu_ticks = 0;
  std::uint64_t start_ticks = 0;
};

// Of one look; more threads than are looked at are only counted by the kernel.
inline constexpr std::size_t kMaxThreadsLookedAt = 16'384;
std::vector<ThreadTime> read_threads(const KernelFiles& files, std::uint32_t pid);

// The threads of one name, and one of them: in uninterruptible sleep where there is one, else the
// busiest.
struct ThreadRow {
  std::string name;
  std::uint64_t threads = 0;
  std::optional<double> cpu_ratio;  // of all of them; absent without time in between
  std::uint64_t stuck = 0;          // in uninterruptible sleep
  std::uint32_t tid = 0;
  char state = '?';
  std::string wait_channel{};  // of one that is stuck; "" where the kernel does not tell
};

// Busiest first, the stuck before the idle. Pure.
std::vector<ThreadRow> thread_rows(const std::vector<ThreadTime>& before,
                                   const std::vector<ThreadTime>& after, std::int64_t elapsed_ns);

// Asks where the stuck ones wait, of the first rows.
void read_wait_channels(const KernelFiles& files, std::uint32_t pid, std::vector<ThreadRow>& rows);

}  // namespace tidegauge
