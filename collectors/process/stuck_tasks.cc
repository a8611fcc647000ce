// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/stuck_tasks.h"

#include <algorithm>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

// Per pass: each is an open, a read and a walk of the task's stack.
constexpr int kMaxReads = 32;
constexpr std::size_t kMaxChannelBytes = 64;

bool is_same_sleep(const StuckThread& a, const StuckThread& b) {
  return a.process == b.process && a.tid == b.tid && a.switches == b.switches;
}

}  // namespace

void StuckTasks::update(const std::vector<StuckThread>& threads, std::int64_t now_ns,
                        const ReadWaitChannel& read) {
  ++pass_;
  lasting_.clear();
  int reads = 0;
  for (const StuckThread& thread : threads) {
    auto at = std::find_if(tasks_.begin(), tasks_.end(), [&](const StuckTask& task) {
      return is_same_sleep(task.thread, thread);
    });
    if (at == tasks_.end()) {
      if (tasks_.size() >= kMaxStuckThreads) {
        continue;
      }
      StuckTask& task = tasks_.emplace_back();
      task.thread = thread;
      task.since_ns = now_ns;
      task.last_pass = pass_;
      continue;
    }
    at->last_pass = pass_;
    // Not at first sight: most sleeps are over before anybody could care.
    if (!at->asked && reads < kMaxReads) {
      ++reads;
      at->asked = true;
      const std::string answer = read(thread.process.pid, thread.tid);
      const std::string channel = sanitize_label(trim(answer), kMaxChannelBytes);
      if (!channel.empty() && channel != "0") {
        at->wait_channel = channel;
      }
    }
  }
  std::erase_if(tasks_, [this](const StuckTask& task) { return task.last_pass != pass_; });
  for (const StuckTask& task : tasks_) {
    if (task.since_ns != now_ns) {
      lasting_.push_back(&task);
    }
  }
  std::sort(lasting_.begin(), lasting_.end(),
            [](const StuckTask* a, const StuckTask* b) { return a->since_ns < b->since_ns; });
}

}  // namespace tidegauge
