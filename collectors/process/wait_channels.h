// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where threads wait in the kernel. Their wchan may not answer (procfs/read_guard.h): such a one costs
// 20 ms, and is then let be.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/process/timed_reader.h"

namespace tidegauge {

// Not thread-safe.
class WaitChannels {
 public:
  explicit WaitChannels(KernelFiles files) : files_(std::move(files)) {}
  WaitChannels(KernelFiles files, TimedReader::Read read)  // a test's own
      : files_(std::move(files)), reader_(std::move(read)) {}

  void begin_pass() { ++pass_; }

  // The text of /proc/PID/task/TID/wchan, "" when it cannot be told.
  std::string read(std::uint32_t pid, std::uint32_t tid);

  static constexpr std::uint64_t kSilentPasses = 64;
  static constexpr std::size_t kMaxSilent = 64;

 private:
  struct Silent {
    std::uint32_t pid = 0;
    std::uint64_t until_pass = 0;
  };

  KernelFiles files_;
  TimedReader reader_;
  std::vector<Silent> silent_;  // oldest first
  std::uint64_t pass_ = 0;
};

}  // namespace tidegauge
