// SPDX-License-Identifier: Apache-2.0
#pragma once

// The arithmetic of `tidegauge top`: two passes and the time between them make rows. Pure: no clock,
// no files, so that every way of coming, going and not being known is tested with structs.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collectors/process/process_tracker.h"
#include "collectors/process/task_sample.h"
#include "daemon/config/command_flags.h"

namespace tidegauge {

struct TopProcess {
  ProcessSample sample;
  std::string group;
  std::shared_ptr<const ProcessOwner> owner;  // null: unknown
};

struct TopExited {
  ExitedSample sample;
  std::string group;
};

struct TopPass {
  std::int64_t boottime_ns = 0;
  std::vector<TopProcess> processes;  // those that ended since the pass before are not alive
  std::vector<TopExited> exited;
};

enum class TopRate : std::uint8_t {
  kRead,  // bytes a second, as pidstat's kB_rd/s, kB_wr/s and kB_ccwr/s
  kWrite,
  kCancelled,
  kDelay,        // share of time waiting for block I/O; above 1 with several threads
  kCpu,          // CPUs in use
  kMajorFaults,  // a second
  kSwitches,     // a second
};
inline constexpr std::size_t kTopRates = 7;

// A process, processes of one name that ended, or a group.
struct TopRow {
  std::optional<std::uint32_t> pid;  // of one process
  std::uint64_t start_ns = 0;        // of one process, since boot
  std::uint32_t uid = kUnknownUid;
  std::string user;  // for whoever shows it
  std::string comm;
  std::string group;
  std::shared_ptr<const ProcessOwner> owner;
  char state = '?';             // X: ended
  std::uint64_t processes = 0;  // that live
  std::uint64_t ended = 0;      // within the interval
  bool kernel_thread = false;
  // Of one process that lives: when it was read, since boot, and the time up to then that its rates are over, 0 where
  // there are none.
  std::int64_t read_ns = 0;
  std::int64_t interval_ns = 0;
  // Absent: not known; never 0 for that.
  std::array<std::optional<double>, kTopRates> rates{};
  std::optional<std::uint64_t> memory_bytes;  // resident
  std::optional<std::uint64_t> threads;

  [[nodiscard]] const std::optional<double>& operator[](TopRate rate) const {
    return rates[static_cast<std::size_t>(rate)];
  }
};

// One row per process that lives, and one per name, user and group of those that ended in between.
// `previous` may be of any earlier time; without time between the passes no rate is known. Rates of a process are
// over the time between its own two readings: on a busy host a pass over /proc takes a good part of a second.
std::vector<TopRow> top_rows(const TopPass& previous, const TopPass& current,
                             std::int64_t elapsed_ns);

std::vector<TopRow> group_rows(const std::vector<TopRow>& rows);

// Sums of what is known. Without memory: pages of several processes would count more than once.
TopRow sum_of(std::vector<TopRow>::const_iterator begin, std::vector<TopRow>::const_iterator end);

// Most first, unknown last; rows that are equal by I/O, CPU, memory, pid.
void sort_rows(std::vector<TopRow>& rows, TopSort by);

}  // namespace tidegauge
