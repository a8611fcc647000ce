// SPDX-License-Identifier: Apache-2.0
#pragma once

// The 32-bit millisecond counters of /proc/diskstats as 64-bit ones.

#include <array>
#include <cstddef>
#include <cstdint>

#include "collectors/block/diskstats.h"

namespace tidegauge {

// State of one device, from its first line to its last. Not thread-safe.
class DiskTimes {
 public:
  // Replaces the millisecond fields of `now` by values that do not wrap. The first line is taken as
  // it is. Returns true when `now` starts a new instance: the first line, or another device that
  // took over number and name, which shows in reads and writes that went back.
  bool unwrap(DiskStats& now);

 private:
  static constexpr std::size_t kTimes = 6;

  bool started_ = false;
  std::array<std::uint64_t, 4> counts_{};  // last reads, writes and their sectors
  std::array<std::uint64_t, kTimes> last_ms_{};
  std::array<std::uint64_t, kTimes> total_ms_{};
};

}  // namespace tidegauge
