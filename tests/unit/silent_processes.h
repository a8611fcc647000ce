// SPDX-License-Identifier: Apache-2.0
#pragma once

// Processes whose files do not answer until the test says so.

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "collectors/procfs/read_guard.h"

namespace tidegauge::testing {

class SilentProcesses {
 public:
  ~SilentProcesses() { answer_all(); }

  [[nodiscard]] ReadGuardHooks hooks() const {
    return {.limit_ns = 20'000'000, .before_read = [state = state_](std::uint32_t pid) {
              std::unique_lock lock(state->mutex);
              if (!state->silent.contains(pid)) {
                return;
              }
              ++state->waiting;
              state->changed.notify_all();
              state->changed.wait(lock, [&] { return !state->silent.contains(pid); });
              --state->waiting;
              state->changed.notify_all();
            }};
  }
  void silence(std::uint32_t pid) const {
    const std::lock_guard lock(state_->mutex);
    state_->silent.insert(pid);
  }
  void answer(std::uint32_t pid) const {
    const std::lock_guard lock(state_->mutex);
    state_->silent.erase(pid);
    state_->changed.notify_all();
  }
  void answer_all() const {
    const std::lock_guard lock(state_->mutex);
    state_->silent.clear();
    state_->changed.notify_all();
  }
  [[nodiscard]] int waiting() const {
    const std::lock_guard lock(state_->mutex);
    return state_->waiting;
  }
  // Nobody holds the hooks any more: no thread is left.
  [[nodiscard]] bool is_alone() const { return state_.use_count() == 1; }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::set<std::uint32_t> silent;
    int waiting = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// True once it is; false after a time that no machine needs.
inline bool comes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

}  // namespace tidegauge::testing
