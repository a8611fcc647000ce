// SPDX-License-Identifier: Apache-2.0
#include "daemon/scheduler/cpu_budget.h"

#include <algorithm>
#include <cmath>

namespace tidegauge {

namespace {

constexpr double kMeanOverNs = 60e9;
constexpr std::int64_t kWarmUpNs = 5'000'000'000;
// A reading after a longer time than this, or than so many ticks, says little about a minute.
constexpr std::int64_t kLongestGapNs = 60'000'000'000;
constexpr std::int64_t kLongestGapTicks = 4;
// However rare the runs, one outlier does not decide alone; however frequent, a change is followed.
constexpr double kLeastRunWeight = 0.25;
// However busy the daemon is otherwise, data that can wait must not wait for ever.
constexpr double kLeastShare = 0.5;
constexpr double kGainWorthwhile = 0.75;

// Weight of a new value that stands for the last `elapsed_ns`.
double weight(std::int64_t elapsed_ns) {
  return -std::expm1(-static_cast<double>(std::max<std::int64_t>(elapsed_ns, 0)) / kMeanOverNs);
}

std::int64_t round_up(double value_ns, std::int64_t step_ns) {
  const auto steps = std::ceil(value_ns / static_cast<double>(step_ns));
  return static_cast<std::int64_t>(steps) * step_ns;
}

double cost_cores(const StretchInput& collector) {
  return collector.mean_run_cpu_ns / static_cast<double>(collector.configured_ns);
}

StretchPlan plan_one(const StretchInput& collector, double factor, std::int64_t tick_ns) {
  if (collector.mean_run_cpu_ns <= 0) {
    return {collector.current_ns, false};
  }
  const std::int64_t longest_ns =
      std::max(collector.configured_ns, kMaxStretchedIntervalNs / tick_ns * tick_ns);
  const double needed_ns = std::min(static_cast<double>(collector.configured_ns) * factor,
                                    static_cast<double>(longest_ns));
  const std::int64_t target_ns =
      std::clamp(round_up(needed_ns, tick_ns), collector.configured_ns, longest_ns);
  const auto current_ns = static_cast<double>(collector.current_ns);
  const bool keep = target_ns < collector.current_ns && needed_ns > current_ns * kGainWorthwhile;
  const std::int64_t interval_ns = keep ? collector.current_ns : target_ns;
  return {interval_ns, needed_ns * 2 <= static_cast<double>(interval_ns)};
}

}  // namespace

BackgroundCpu observe(BackgroundCpu background, std::int64_t now_ns, std::int64_t cpu_ns,
                      std::int64_t tick_ns) {
  if (!background.started) {
    background.started = true;
    background.start_ns = now_ns;
  } else if (const std::int64_t elapsed_ns = now_ns - background.last_ns;
             background.last_ns - background.start_ns >= kWarmUpNs && elapsed_ns > 0 &&
             elapsed_ns <= std::max(kLongestGapNs, kLongestGapTicks * tick_ns)) {
    const double cores =
        static_cast<double>(cpu_ns - background.last_cpu_ns) / static_cast<double>(elapsed_ns);
    background.cores += weight(elapsed_ns) * (cores - background.cores);
  }
  background.last_ns = now_ns;
  background.last_cpu_ns = cpu_ns;
  return background;
}

RunCost observe(RunCost cost, std::int64_t now_ns, std::int64_t cpu_ns) {
  const auto cpu = static_cast<double>(std::max<std::int64_t>(cpu_ns, 1));
  if (cost.runs == 1) {
    cost.mean_cpu_ns = cpu;
  } else if (cost.runs > 1) {
    cost.mean_cpu_ns +=
        std::max(weight(now_ns - cost.last_ns), kLeastRunWeight) * (cpu - cost.mean_cpu_ns);
  }
  ++cost.runs;
  cost.last_ns = now_ns;
  return cost;
}

std::vector<StretchPlan> plan_stretch(const CpuBudget& budget,
                                      std::span<const StretchInput> collectors) {
  std::vector<StretchPlan> plans;
  plans.reserve(collectors.size());
  if (budget.parts_per_million <= 0) {
    for (const StretchInput& collector : collectors) {
      plans.push_back({collector.configured_ns, true});
    }
    return plans;
  }
  const double cores = static_cast<double>(budget.parts_per_million) * 1e-6;
  const double allowed =
      std::max(cores - std::max(budget.background_cores, 0.0), cores * kLeastShare);
  double asked = 0;
  for (const StretchInput& collector : collectors) {
    asked += cost_cores(collector);
  }
  for (const StretchInput& collector : collectors) {
    plans.push_back(plan_one(collector, asked / allowed, budget.tick_ns));
  }
  return plans;
}

}  // namespace tidegauge
