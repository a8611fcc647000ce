// SPDX-License-Identifier: Apache-2.0
#pragma once

// When to tick and what is due, as pure functions of the two clocks.
//
// Ticks lie on multiples of the tick length in wall-clock time, so that all hosts of a fleet sample
// together; collectors with longer intervals run on multiples of theirs. What elapses is measured on
// CLOCK_BOOTTIME, so a clock step moves the grid but never makes a collector run twice or starve.

#include <cstdint>

namespace tidegauge {

// Number of the tick that contains this moment.
constexpr std::int64_t tick_number(std::int64_t realtime_ns, std::int64_t tick_ns) {
  return realtime_ns / tick_ns;
}

// Boottime of the next tick after this moment.
constexpr std::int64_t next_tick_boottime_ns(std::int64_t realtime_ns, std::int64_t boottime_ns,
                                             std::int64_t tick_ns) {
  return boottime_ns + (tick_ns - realtime_ns % tick_ns);
}

struct DueInput {
  std::int64_t tick = 0;         // number of the present tick
  std::int64_t boottime_ns = 0;  // of the present tick
  std::int64_t tick_ns = 0;
  std::int64_t interval_ns = 0;  // a multiple of tick_ns
  bool on_grid = true;           // whether its runs lie on multiples of the interval
  bool ran = false;
  std::int64_t last_run_boottime_ns = 0;  // when the last scheduled run began
};

// Off the grid: a whole interval later, give or take what the tick's beginning jitters. On it:
// due on its multiple, unless it ran less than half an interval ago (the clock was set back); and
// due when a whole interval and a tick went by (its multiple fell into a skipped tick).
constexpr bool is_due(const DueInput& in) {
  if (!in.ran) {
    return true;
  }
  const std::int64_t since_ns = in.boottime_ns - in.last_run_boottime_ns;
  if (!in.on_grid) {
    return since_ns + in.tick_ns / 2 >= in.interval_ns;
  }
  const bool on_multiple = in.tick % (in.interval_ns / in.tick_ns) == 0;
  return (on_multiple && since_ns * 2 >= in.interval_ns) || since_ns >= in.interval_ns + in.tick_ns;
}

// Ticks that went by unused between two that ran, by elapsed time.
constexpr std::uint64_t ticks_missed(std::int64_t previous_boottime_ns, std::int64_t boottime_ns,
                                     std::int64_t tick_ns) {
  const std::int64_t since_ns = boottime_ns - previous_boottime_ns;
  const std::int64_t ticks = (since_ns + tick_ns / 2) / tick_ns;
  return ticks > 1 ? static_cast<std::uint64_t>(ticks - 1) : 0;
}

}  // namespace tidegauge
