// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is too dear to read of every process in every pass: /proc/PID/status, schedstat, and the same
// of its threads. Read when a process is new, and again when it has run since.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "collectors/process/process_entry.h"
#include "collectors/process/task_files.h"
#include "collectors/process/task_sample.h"
#include "collectors/procfs/read_guard.h"

namespace tidegauge {

struct TaskLimits {
  // Processes or, where one has several, threads whose details are read again per pass; about 20 us
  // each. Those of new processes come on top, once.
  std::size_t details = 500;
  // More are not summed up: their switches and waits are absent.
  std::size_t threads = 64;
  // Threads looked at for D alone per pass, and of one process in a pass.
  std::size_t scanned = 300;
  std::size_t scanned_of_one = 256;
};

// Part of guarded work; one pass: begin(), any number of read_one(), then begin_refresh(), refresh(),
// begin_stuck() and find_stuck(). Called again after a thread was left behind, refresh() and
// find_stuck() go on with the next process.
class TaskDetails {
 public:
  TaskDetails(ReadGuard& guard, const TaskLimits& limits) : guard_(guard), limits_(limits) {}

  void begin(int procfs) {
    procfs_ = procfs;
    ++pass_;
  }

  // Whose files refresh() or find_stuck() was reading.
  [[nodiscard]] ProcessEntry* asked() const { return asked_; }

  // User, memory and, where the leader is the only thread, switches and waiting.
  void read_one(ProcessEntry& process);

  // The longest unread among those that ran, within the limit.
  void begin_refresh(const LiveProcesses& live);
  void refresh(TaskPass& out);

  // Threads in D: every leader, and other threads within the limits: of processes that had one or
  // whose leader is in D, of those refresh() has walked, then of all in turn.
  void begin_stuck();
  void find_stuck(const LiveProcesses& live, TaskPass& out);

 private:
  TaskFile read_file_of(std::uint32_t pid, std::string_view file, std::span<char> buffer) const {
    return read_task_file(guard_, pid, procfs_, pid, file, buffer);
  }
  void read_status(ProcessEntry& process) const;
  void read_schedstat(ProcessEntry& process) const;
  std::size_t read_threads(ProcessEntry& process, TaskPass& out);
  std::size_t scan(ProcessEntry& process, TaskPass& out);

  void scan_turn(TaskPass& out);

  ReadGuard& guard_;
  TaskLimits limits_;
  int procfs_ = -1;
  std::uint32_t pass_ = 0;
  std::uint32_t scanned_pid_ = 0;  // where the turn stands
  // Where a step stands.
  ProcessEntry* asked_ = nullptr;
  std::vector<ProcessEntry*> due_;
  std::size_t next_ = 0;
  std::size_t spent_ = 0;
  bool in_turn_ = false;
  std::size_t first_ = 0;
  std::size_t turn_ = 0;
};

// Publishes the growth of a sum over threads; one that fell, because a thread ended, counts from
// there on.
void grow_thread_sum(ProcessEntry& process, ThreadSum which, std::uint64_t now);

}  // namespace tidegauge
