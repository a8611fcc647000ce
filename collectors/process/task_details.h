// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is too dear to read of every process in every pass: /proc/PID/status, schedstat, and the same
// of its threads. Read when a process is new, and again when it has run since.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "collectors/process/process_entry.h"
#include "collectors/process/task_sample.h"

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

// Not thread-safe; one pass: begin() before, then read_new() and refresh() in any order.
class TaskDetails {
 public:
  explicit TaskDetails(const TaskLimits& limits) : limits_(limits) {}

  void begin(int procfs) {
    procfs_ = procfs;
    ++pass_;
  }

  // User, memory and, where the leader is the only thread, switches and waiting.
  void read_one(ProcessEntry& process);

  // The longest unread among those that ran, within the limit.
  void refresh(const LiveProcesses& live, TaskPass& out);

  // Threads in D: every leader, and other threads within the limits: of processes that had one or
  // whose leader is in D, of those refresh() has walked, then of all in turn.
  void find_stuck(const LiveProcesses& live, TaskPass& out);

 private:
  void read_status(ProcessEntry& process) const;
  void read_schedstat(ProcessEntry& process) const;
  std::size_t read_threads(ProcessEntry& process, TaskPass& out);
  std::size_t scan(ProcessEntry& process, TaskPass& out);

  TaskLimits limits_;
  int procfs_ = -1;
  std::uint32_t pass_ = 0;
  std::uint32_t scanned_pid_ = 0;  // where the turn stands
  std::vector<ProcessEntry*> due_;
};

// Publishes the growth of a sum over threads; one that fell, because a thread ended, counts from
// there on.
void grow_thread_sum(ProcessEntry& process, ThreadSum which, std::uint64_t now);

}  // namespace tidegauge
