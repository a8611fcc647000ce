// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/disk_times.h"

namespace tidegauge {

namespace {

constexpr std::uint64_t kMax32 = 0xFFFF'FFFFU;
constexpr std::uint32_t kHalf32 = 0x8000'0000U;

// A 32-bit counter that went on from `last` over its end to `now`. Going more than half way round
// (24 days of I/O time) between two reads is a step back, not a wrap: per-CPU sums race on some
// kernels, and a jump of 49 days would be the worse mistake.
bool wrapped(std::uint64_t last, std::uint64_t now) {
  return now < last && last <= kMax32 && static_cast<std::uint32_t>(now - last) < kHalf32;
}

// Completed requests and sectors are unsigned long: they go back when 32-bit machines wrap them and
// else only when the device is another one.
bool is_new_instance(const std::array<std::uint64_t, 4>& last,
                     const std::array<std::uint64_t, 4>& now) {
  bool all_fell = true;
  for (std::size_t i = 0; i < last.size(); ++i) {
    if (now[i] >= last[i]) {
      all_fell = false;
    } else if (!wrapped(last[i], now[i])) {
      return true;
    }
  }
  return all_fell;
}

// Calls with the address of each millisecond field that the kernel has, and the field's number.
template <class F>
void for_each_time(DiskStats& stats, F function) {
  function(std::size_t{0}, stats.read_time_ms);
  function(std::size_t{1}, stats.write_time_ms);
  function(std::size_t{2}, stats.io_time_ms);
  function(std::size_t{3}, stats.weighted_io_time_ms);
  if (stats.discard_time_ms) {
    function(std::size_t{4}, *stats.discard_time_ms);
  }
  if (stats.flush_time_ms) {
    function(std::size_t{5}, *stats.flush_time_ms);
  }
}

}  // namespace

bool DiskTimes::unwrap(DiskStats& now) {
  const std::array<std::uint64_t, 4> counts{now.reads_completed, now.writes_completed,
                                            now.read_sectors, now.written_sectors};
  const bool fresh = !started_ || is_new_instance(counts_, counts);
  started_ = true;
  counts_ = counts;
  for_each_time(now, [&](std::size_t i, std::uint64_t& raw_ms) {
    if (fresh) {
      total_ms_[i] = raw_ms;
      last_ms_[i] = raw_ms;
    } else if (raw_ms >= last_ms_[i]) {
      // Also the way of a kernel that prints 64 bits: the values pass unchanged.
      total_ms_[i] += raw_ms - last_ms_[i];
      last_ms_[i] = raw_ms;
    } else if (wrapped(last_ms_[i], raw_ms)) {
      total_ms_[i] += static_cast<std::uint32_t>(raw_ms - last_ms_[i]);
      last_ms_[i] = raw_ms;
    }
    raw_ms = total_ms_[i];
  });
  return fresh;
}

}  // namespace tidegauge
