// SPDX-License-Identifier: Apache-2.0
#pragma once

// How often collectors run that can wait (CollectorInfo::stretch), so that the daemon stays within its
// share of one core. Arithmetic only: the scheduler brings the times and the CPU readings.
//
// What everything else uses is not negotiable; what it leaves of the budget, at least half, is for
// the collectors that can wait. If that is less than they use at their configured intervals, all of
// them run less often by one factor, which gives each a share in proportion to its cost.

#include <cstdint>
#include <span>
#include <vector>

namespace tidegauge {

// No collector is stretched beyond this; one that is configured longer stays as it is.
inline constexpr std::int64_t kMaxStretchedIntervalNs = 300'000'000'000;

// What all but the collectors that can wait use, as a mean over about a minute.
struct BackgroundCpu {
  bool started = false;
  std::int64_t start_ns = 0;
  std::int64_t last_ns = 0;
  std::int64_t last_cpu_ns = 0;
  double cores = 0;  // 0.01 is one percent of a core
};

// Adds a reading, about one per tick. `cpu_ns` counts up from anywhere; it may step back when a run
// ends whose CPU had looked like background. The first seconds (start-up, cold caches) and gaps (a
// sleeping host) do not count.
BackgroundCpu observe(BackgroundCpu background, std::int64_t now_ns, std::int64_t cpu_ns,
                      std::int64_t tick_ns);

// What a run of one collector costs, as a mean over runs of about the last minute.
struct RunCost {
  std::uint64_t runs = 0;
  std::int64_t last_ns = 0;
  double mean_cpu_ns = 0;  // 0: not known yet
};

// Adds a run. The first one is not typical: it opens files and fills caches.
RunCost observe(RunCost cost, std::int64_t now_ns, std::int64_t cpu_ns);

struct CpuBudget {
  std::int64_t parts_per_million = 0;  // of one core; 0: no limit
  double background_cores = 0;
  std::int64_t tick_ns = 0;
};

struct StretchInput {
  std::int64_t configured_ns = 0;  // a multiple of the tick
  std::int64_t current_ns = 0;     // the interval in force
  double mean_run_cpu_ns = 0;      // 0: not known yet
};

struct StretchPlan {
  std::int64_t interval_ns = 0;  // a multiple of the tick, not less than configured
  bool room_for_two = false;     // whether running twice as often would be within the budget
};

// Longer intervals take effect at once, shorter ones when a quarter is to be gained: an interval that
// moved with every run would make every series' resolution a riddle.
std::vector<StretchPlan> plan_stretch(const CpuBudget& budget,
                                      std::span<const StretchInput> collectors);

}  // namespace tidegauge
