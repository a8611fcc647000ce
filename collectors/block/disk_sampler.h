// SPDX-License-Identifier: Apache-2.0
#pragma once

// A thread that reads /proc/diskstats every 50 ms while disks are in use, and once a second when none has been for a
// minute. It takes at most half a percent of a CPU: where the file is so long that a look takes more than 0.25 ms it looks
// less often, and what it cannot tell then is counted as lost.

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "collectors/block/disk_bursts.h"
#include "collectors/block/disk_sampling.h"
#include "collectors/core/kernel_files.h"

namespace tidegauge {

class DiskSampler {
 public:
  // `bursts` outlives it, and is touched by others only in with().
  DiskSampler(const KernelFiles& files, DiskBursts& bursts);
  ~DiskSampler();
  DiskSampler(const DiskSampler&) = delete;
  DiskSampler& operator=(const DiskSampler&) = delete;

  // Looks once more, by the caller's thread, and calls `use` while the other one does not write.
  Result<void> with(const std::function<void()>& use);
  // CPU time of the thread since the last call.
  std::int64_t take_cpu_ns();

  // How long after this look the next one comes.
  static std::uint64_t period_ns(std::uint64_t idle_ns, std::uint64_t cost_ns);

 private:
  void run();
  Result<void> look(std::uint64_t now_ns);

  KernelFiles files_;
  KernelFile diskstats_;
  ReadBuffer buffer_;
  DiskSampling sampling_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  Result<void> no_thread_;  // why
  std::int64_t cpu_ns_ = 0;
  std::int64_t cpu_taken_ns_ = 0;
  std::thread thread_;
};

}  // namespace tidegauge
