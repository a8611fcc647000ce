// SPDX-License-Identifier: Apache-2.0
#pragma once

// Has the kernel count how long BPF programs run. Each run of any program of the host takes some 35 ns more
// meanwhile, so it is on at times only. To switch it on takes CAP_SYS_ADMIN every time, which the daemon gives
// up: a child keeps it, and can do nothing else.

#include <sys/types.h>

#include <memory>
#include <mutex>

namespace tidegauge {

enum class CountingChoice { kOff, kSampled, kAlways };

// The child. The kernel counts as long as it holds a descriptor; it ends when this object or this process does.
// One thread at a time.
class CountingHelper {
 public:
  // Nothing without CAP_SYS_ADMIN, or where the kernel refuses to count.
  static std::unique_ptr<CountingHelper> start();
  ~CountingHelper();
  CountingHelper(const CountingHelper&) = delete;
  CountingHelper& operator=(const CountingHelper&) = delete;

  // Whether it was done. Waits for half a second at most; who does not answer by then is killed, or, on kernels
  // before 5.3, left to itself: it ends when it looks at its line again.
  bool set(bool on);
  // It has ended or was given up.
  [[nodiscard]] bool is_lost() const { return line_ < 0; }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  CountingHelper(int line, pid_t pid, int pidfd) : line_(line), pid_(pid), pidfd_(pidfd) {}
  void give_up();
  void kill() const;
  bool reap();

  int line_;  // -1: lost
  pid_t pid_;
  int pidfd_;  // -1: the kernel gives none
  bool is_reaped_ = false;
};

// One collector's wish that the kernel counts. All wishes of the process share what was opened while it had
// CAP_SYS_ADMIN: a reload may not be allowed to open another.
class RunTimeCounting {
 public:
  // Counts from now on, if it is the first; a later one says so with set(true). Nothing for kOff.
  static std::unique_ptr<RunTimeCounting> make(CountingChoice choice);
  ~RunTimeCounting();
  RunTimeCounting(const RunTimeCounting&) = delete;
  RunTimeCounting& operator=(const RunTimeCounting&) = delete;

  // Whether it was done; without a wish the kernel may count for another. Any thread, one at a time.
  bool set(bool on);
  [[nodiscard]] bool is_on() const;
  // There are no windows: it was asked to count always, or the descriptor in use cannot be had a second time.
  [[nodiscard]] bool is_for_good() const;

 private:
  struct Shared;
  RunTimeCounting(CountingChoice choice, std::shared_ptr<Shared> shared);

  CountingChoice choice_;
  std::shared_ptr<Shared> shared_;
  bool wish_ = false;
};

}  // namespace tidegauge
