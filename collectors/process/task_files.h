// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/result.h"
#include "collectors/procfs/read_guard.h"

namespace tidegauge {

enum class TaskFileState : std::uint8_t {
  kText,
  kGone,    // the task left, or its kernel has no such file
  kDenied,  // EACCES, EPERM
  kBroken,  // what procfs never does: a FIFO, a directory, more than the buffer holds
};

struct TaskFile {
  TaskFileState state = TaskFileState::kBroken;
  std::string_view text;  // in the caller's buffer
};

// Reads NUMBER/`file` below an open directory with one read(): the kernel gives these files whole.
// Never allocates. Waits for nobody in a FIFO's place; the kernel may make it wait for a task that hangs
// inside execve, without end (procfs/read_guard.h).
TaskFile read_task_file(int directory, std::uint32_t number, std::string_view file,
                        std::span<char> buffer);

// The same within guarded work; the file is one of process `pid`.
TaskFile read_task_file(ReadGuard& guard, std::uint32_t pid, int directory, std::uint32_t number,
                        std::string_view file, std::span<char> buffer);

// The pids below an open procfs, ascending. `unusable` counts names that are numbers but no pids.
Result<void> list_pids(int directory, const std::string& path, std::vector<std::uint32_t>& pids,
                       std::uint64_t& unusable);

// 0 for what cannot be a pid.
std::uint32_t parse_pid(std::string_view name);

}  // namespace tidegauge
