// SPDX-License-Identifier: Apache-2.0
#pragma once

// Threads that stay in uninterruptible sleep: for how long, and in which kernel function.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "collectors/process/task_sample.h"

namespace tidegauge {

struct StuckTask {
  StuckThread thread;
  std::int64_t since_ns = 0;  // boot time at which it was first seen in this sleep: a lower bound
  // Kernel symbol; "unknown" where the kernel does not tell, and until it was asked.
  std::string wait_channel = "unknown";
  bool asked = false;
  std::uint64_t last_pass = 0;
};

// Not thread-safe. Holds at most kMaxStuckThreads.
class StuckTasks {
 public:
  // The text of /proc/PID/task/TID/wchan, "" when it cannot be read.
  using ReadWaitChannel = std::function<std::string(std::uint32_t pid, std::uint32_t tid)>;

  // A sleep that ended between two passes and began again is another one: its thread has switched.
  void update(const std::vector<StuckThread>& threads, std::int64_t now_ns,
              const ReadWaitChannel& read);

  // Those that slept through at least two passes, longest first.
  [[nodiscard]] const std::vector<const StuckTask*>& lasting() const { return lasting_; }

 private:
  std::vector<StuckTask> tasks_;
  std::vector<const StuckTask*> lasting_;
  std::uint64_t pass_ = 0;
};

}  // namespace tidegauge
