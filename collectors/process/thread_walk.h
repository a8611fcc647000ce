// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "collectors/process/process_entry.h"
#include "collectors/process/task_sample.h"
#include "collectors/procfs/read_guard.h"

namespace tidegauge {

// Walks over /proc/PID/task. Part of guarded work; borrows the open procfs and the guard.
class ThreadWalk {
 public:
  ThreadWalk(ReadGuard& guard, int procfs) : guard_(guard), procfs_(procfs) {}

  struct Look {
    std::size_t threads = 0;  // looked at
    std::size_t summed = 0;   // of them, in `sums`
    ThreadSums sums{};        // of them
    bool no_schedstat = false;
    bool stuck = false;  // a thread other than the leader is in D
    bool broken = false;
    bool cut = false;  // it has more than `max_threads`
  };

  // Reads stat of at most `max_threads` threads, and with `sums` what else the sums need. Threads
  // other than the leader that are in D go to `out`. Nothing when the process is gone.
  std::optional<Look> run(const ProcessSample& process, std::size_t max_threads, bool sums,
                          TaskPass& out) const;

  // Counts a thread in D; keeps it while there is room. `directory` holds NUMBER/status.
  void add_stuck(int directory, const ProcessKey& process, std::uint32_t tid, const TaskName& comm,
                 TaskPass& out) const;

 private:
  bool add_thread(int directory, std::uint32_t pid, std::uint32_t tid, Look& look) const;

  ReadGuard& guard_;
  int procfs_;
};

}  // namespace tidegauge
