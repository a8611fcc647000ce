// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "collectors/core/collector.h"
#include "collectors/procfs/read_guard.h"

namespace tidegauge {

// How many tasks are in each state, by the kernel's letter.
using TaskStates = std::array<std::uint64_t, 128>;

struct ProcessCounts {
  std::uint64_t processes = 0;
  std::uint64_t threads = 0;
  std::uint64_t max_threads = 0;    // kernel/threads-max
  std::uint64_t max_processes = 0;  // kernel/pid_max
  TaskStates process_states{};
  TaskStates thread_states{};
};

// Counts the tasks below a procfs root; the limits are not its business. A process or thread that
// leaves meanwhile is not counted; anything else that goes wrong is an error, because a count with
// holes would look like a true one. One whose stat does not answer (read_guard.h) is counted by its
// status.
Result<ProcessCounts> count_processes(const std::string& procfs, ReadGuardHooks hooks = {});

extern const CollectorInfo kProcessesCollector;

}  // namespace tidegauge
