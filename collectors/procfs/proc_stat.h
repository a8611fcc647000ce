// SPDX-License-Identifier: Apache-2.0
#pragma once

// /proc/stat (fs/proc/stat.c): one read serves the collectors cpu and stat. Each read makes the
// kernel sum every interrupt over every CPU, so on big machines the second one would be the dearest
// thing in a tick.

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// Times of one CPU in USER_HZ ticks. user and nice include guest and guest_nice. Fields that kernels
// before 2.6.33 lack are 0 there, as they are for a CPU that never ran in that mode.
struct CpuTimes {
  std::uint64_t user_ticks = 0;
  std::uint64_t nice_ticks = 0;
  std::uint64_t system_ticks = 0;
  std::uint64_t idle_ticks = 0;
  std::uint64_t iowait_ticks = 0;
  std::uint64_t irq_ticks = 0;
  std::uint64_t softirq_ticks = 0;
  std::uint64_t steal_ticks = 0;
  std::uint64_t guest_ticks = 0;
  std::uint64_t guest_nice_ticks = 0;
};

struct NumberedCpuTimes {
  std::string_view number;  // as printed: the label; lives as long as the text
  CpuTimes times;
};

inline constexpr std::size_t kSoftirqVectors = 10;

struct SystemStat {
  std::optional<std::uint64_t> interrupts;
  std::optional<std::uint64_t> context_switches;
  std::optional<std::uint64_t> forks;
  std::optional<std::uint64_t> boot_time_seconds;  // Unix time
  std::optional<std::uint64_t> procs_running;
  std::optional<std::uint64_t> procs_blocked;
  // In the order of the kernel's enum (include/linux/interrupt.h): HI, TIMER, NET_TX, ...
  std::optional<std::array<std::uint64_t, kSoftirqVectors>> softirqs;
};

struct ProcStat {
  std::vector<NumberedCpuTimes> cpus;  // online ones, in the kernel's order
  SystemStat system;
};

// Fills `out`, reusing its memory. The numbers' text must stay as long as `out` is used.
Result<void> parse_proc_stat(std::string_view text, ProcStat& out);

// Reads and parses once per run time. Thread-safe: its users may come to run on different threads.
class ProcStatReader {
 public:
  explicit ProcStatReader(const KernelFiles& files) : file_(files.proc_file("stat")) {}

  // Calls `use(const ProcStat&)` under the lock with what was read at context.boottime_ns or later.
  template <class Use>
  Result<void> with(const CollectContext& context, Use use) {
    // Never waits: where the tick thread hangs in this file, its replacement must not hang as well.
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) {
      return tl::make_unexpected(
          Error{ErrorKind::kTimeout, 0, file_.path() + ": another read has not returned"});
    }
    if (auto read = refresh(context); !read) {
      return read;
    }
    return use(stat_);
  }

 private:
  Result<void> refresh(const CollectContext& context);

  std::mutex mutex_;
  KernelFile file_;
  ReadBuffer buffer_;  // its own: stat_ refers to the text
  ProcStat stat_;
  std::size_t last_bytes_ = 0;
  Result<void> outcome_;
  std::int64_t read_boottime_ns_ = -1;
};

// The reader that collectors over the same root share.
std::shared_ptr<ProcStatReader> shared_proc_stat(const KernelFiles& files);

}  // namespace tidegauge
