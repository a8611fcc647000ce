// SPDX-License-Identifier: Apache-2.0
#pragma once

// Has the kernel count what BPF programs cost, for moments: while it counts, each run of any program of
// the host takes 30 to 40 ns more (measured: getppid() with two programs on system calls 112 against
// 181 ns), so never all the time.
//
// Asking takes CAP_SYS_ADMIN, which this daemon gives up. A child process that knows nothing else keeps
// it: it holds no other descriptor than one end of a socket pair, and ends with the daemon.

#include <memory>

namespace tidegauge {

class RunTimeSwitch {
 public:
  ~RunTimeSwitch();
  RunTimeSwitch(const RunTimeSwitch&) = delete;
  RunTimeSwitch& operator=(const RunTimeSwitch&) = delete;

  // Made by who asks first, while the process still has the capability; a later one takes it over. Null
  // when this process may not ask.
  static std::shared_ptr<RunTimeSwitch> shared();

  // Returns whether the kernel counts, or has ceased to, as wanted. One thread.
  bool set(bool on);

 private:
  RunTimeSwitch(int line, int child) : line_(line), child_(child) {}

  int line_;
  int child_;
};

}  // namespace tidegauge
