// SPDX-License-Identifier: Apache-2.0
#include "daemon/scheduler/cpu_budget.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tidegauge {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMs = 1'000'000;
constexpr double kRunMs = 1e6;

// One percent of a core, ticks of a second.
constexpr CpuBudget kOnePercent{.parts_per_million = 10'000, .tick_ns = kSecond};

StretchPlan plan_for(const CpuBudget& budget, const StretchInput& collector) {
  return plan_stretch(budget, std::span(&collector, 1)).front();
}

// `seconds` readings of a second each, `per_second_ns` of CPU in each.
BackgroundCpu feed(BackgroundCpu background, int seconds, std::int64_t per_second_ns) {
  for (int i = 0; i < seconds; ++i) {
    background = observe(background, background.last_ns + kSecond,
                         background.last_cpu_ns + per_second_ns, kSecond);
  }
  return background;
}

BackgroundCpu warmed_up() { return feed(observe({}, 0, 0, kSecond), 6, 0); }

TEST(BackgroundCpu, StartUpDoesNotCount) {
  BackgroundCpu background = observe({}, 100 * kSecond, 3 * kSecond, kSecond);
  EXPECT_EQ(background.cores, 0) << "what was used before";
  background = feed(background, 5, kSecond);
  EXPECT_EQ(background.cores, 0) << "and in the first five seconds";
  EXPECT_GT(feed(background, 1, kSecond).cores, 0);
}

TEST(BackgroundCpu, FollowsWithinAboutAMinute) {
  const BackgroundCpu minute = feed(warmed_up(), 60, 10 * kMs);
  EXPECT_NEAR(minute.cores, 0.01 * (1 - std::exp(-1.0)), 1e-6);
  EXPECT_NEAR(feed(minute, 600, 10 * kMs).cores, 0.01, 1e-6);
  EXPECT_NEAR(feed(minute, 600, 0).cores, 0, 1e-6);
}

TEST(BackgroundCpu, TicksOfAMinuteCountToo) {
  BackgroundCpu background;
  for (std::int64_t i = 0; i < 20; ++i) {
    background = observe(background, i * 60 * kSecond, i * 60 * kSecond / 50, 60 * kSecond);
  }
  EXPECT_NEAR(background.cores, 0.02, 1e-6);
}

TEST(BackgroundCpu, AGapTellsNothing) {
  BackgroundCpu background = feed(warmed_up(), 300, 10 * kMs);
  const double before = background.cores;
  background =
      observe(background, background.last_ns + 3600 * kSecond, background.last_cpu_ns, kSecond);
  EXPECT_EQ(background.cores, before) << "the host was asleep";
  EXPECT_NEAR(feed(background, 1, 10 * kMs).cores, before, 1e-4);
}

TEST(BackgroundCpu, ARunThatEndsTakesBackWhatLookedLikeBackground) {
  BackgroundCpu background = feed(warmed_up(), 300, 10 * kMs);
  const double before = background.cores;
  background = feed(background, 2, kSecond + 10 * kMs);  // a worker is busy
  EXPECT_GT(background.cores, before);
  background = feed(background, 1, -2 * kSecond + 10 * kMs);  // it has ended
  EXPECT_NEAR(background.cores, before, 0.001);
}

TEST(BackgroundCpu, TheSameMomentTwiceIsHarmless) {
  BackgroundCpu background = feed(warmed_up(), 10, 10 * kMs);
  const double before = background.cores;
  background = observe(background, background.last_ns, background.last_cpu_ns + kSecond, kSecond);
  EXPECT_EQ(background.cores, before);
}

TEST(RunCost, TheFirstRunIsNotTypical) {
  RunCost cost = observe(RunCost{}, kSecond, 900 * kMs);
  EXPECT_EQ(cost.mean_cpu_ns, 0);
  cost = observe(cost, 2 * kSecond, 10 * kMs);
  EXPECT_EQ(cost.mean_cpu_ns, 10 * kRunMs);
}

TEST(RunCost, FollowsSoonerTheRarerTheRuns) {
  RunCost cost = observe(observe(RunCost{}, 0, 0), kSecond, 10 * kMs);
  EXPECT_NEAR(observe(cost, 2 * kSecond, 20 * kMs).mean_cpu_ns, 12.5 * kRunMs, 1);
  EXPECT_NEAR(observe(cost, 301 * kSecond, 20 * kMs).mean_cpu_ns, 19.93 * kRunMs, 1e4);
}

TEST(RunCost, ARunWithoutMeasurableCpuIsKnownToBeCheap) {
  EXPECT_GT(observe(observe(RunCost{}, 0, 0), kSecond, 0).mean_cpu_ns, 0);
}

TEST(PlanStretch, OneCollector) {
  struct Case {
    const char* name;
    std::int64_t configured_s;
    double run_ms;
    double background;
    std::int64_t interval_s;
    bool room_for_two;
  };
  const Case cases[] = {
      {"cheap", 15, 10, 0, 15, true},
      {"room for one", 15, 100, 0, 15, false},
      {"just within", 15, 150, 0, 15, false},
      {"half of it", 15, 75, 0, 15, true},
      {"over", 15, 151, 0, 16, false},
      {"twice over", 15, 300, 0, 30, false},
      {"the background has half", 15, 150, 0.005, 30, false},
      {"the background has all: half is left", 15, 75, 0.01, 15, false},
      {"the background has more than all", 15, 95, 0.5, 19, false},
      {"a background below nothing", 15, 150, -0.1, 15, false},
      {"never beyond five minutes", 15, 60'000, 0, 300, false},
      {"configured longer than that", 600, 60'000, 0, 600, false},
  };
  for (const Case& c : cases) {
    CpuBudget budget = kOnePercent;
    budget.background_cores = c.background;
    const StretchPlan plan = plan_for(budget, {.configured_ns = c.configured_s * kSecond,
                                               .current_ns = c.configured_s * kSecond,
                                               .mean_run_cpu_ns = c.run_ms * kRunMs});
    EXPECT_EQ(plan.interval_ns, c.interval_s * kSecond) << c.name;
    EXPECT_EQ(plan.room_for_two, c.room_for_two) << c.name;
  }
}

TEST(PlanStretch, WithoutABudgetNothingIsStretched) {
  const StretchPlan plan = plan_for(
      {.tick_ns = kSecond},
      {.configured_ns = 15 * kSecond, .current_ns = 60 * kSecond, .mean_run_cpu_ns = 1e12});
  EXPECT_EQ(plan.interval_ns, 15 * kSecond);
  EXPECT_TRUE(plan.room_for_two);
}

TEST(PlanStretch, WhatIsNotKnownStays) {
  const StretchPlan plan =
      plan_for(kOnePercent, {.configured_ns = 15 * kSecond, .current_ns = 40 * kSecond});
  EXPECT_EQ(plan.interval_ns, 40 * kSecond);
  EXPECT_FALSE(plan.room_for_two);
}

TEST(PlanStretch, MultiplesOfTheTick) {
  const CpuBudget budget{.parts_per_million = 10'000, .tick_ns = 7 * kSecond};
  const StretchInput over{21 * kSecond, 21 * kSecond, 220 * kRunMs};
  EXPECT_EQ(plan_for(budget, over).interval_ns, 28 * kSecond);
  const StretchInput far_over{21 * kSecond, 21 * kSecond, 1e12};
  EXPECT_EQ(plan_for(budget, far_over).interval_ns, 294 * kSecond);
}

TEST(PlanStretch, LongerAtOnceShorterWhenItIsWorthIt) {
  const auto from = [](std::int64_t current_s, double run_ms) {
    return plan_for(kOnePercent, {.configured_ns = 15 * kSecond,
                                  .current_ns = current_s * kSecond,
                                  .mean_run_cpu_ns = run_ms * kRunMs})
               .interval_ns /
           kSecond;
  };
  EXPECT_EQ(from(40, 401), 41);
  EXPECT_EQ(from(40, 390), 40);
  EXPECT_EQ(from(40, 301), 40);
  EXPECT_EQ(from(40, 300), 30);
  EXPECT_EQ(from(40, 10), 15);
  EXPECT_EQ(from(16, 140), 16) << "the configured interval has no privilege";
  EXPECT_EQ(from(16, 120), 15);
}

TEST(PlanStretch, SeveralShareInProportionToTheirCost) {
  // 20 and 10 ms per second at the configured intervals; one percent is 10.
  const StretchInput collectors[] = {{10 * kSecond, 10 * kSecond, 200 * kRunMs},
                                     {20 * kSecond, 20 * kSecond, 200 * kRunMs},
                                     {5 * kSecond, 5 * kSecond, 0}};
  const auto plans = plan_stretch(kOnePercent, collectors);
  ASSERT_EQ(plans.size(), 3U);
  EXPECT_EQ(plans[0].interval_ns, 30 * kSecond);
  EXPECT_EQ(plans[1].interval_ns, 60 * kSecond);
  EXPECT_EQ(plans[2].interval_ns, 5 * kSecond);
  const double cores = 200 * kRunMs / 30e9 + 200 * kRunMs / 60e9;
  EXPECT_LE(cores, 0.01 + 1e-9);
}

TEST(PlanStretch, EveryBudgetIsKept) {
  for (const std::int64_t parts : {100, 5'000, 10'000, 50'000, 1'000'000}) {
    for (double run_ms = 0.5; run_ms < 500; run_ms *= 1.7) {
      const StretchPlan plan = plan_for({.parts_per_million = parts, .tick_ns = kSecond},
                                        {.configured_ns = 15 * kSecond,
                                         .current_ns = 15 * kSecond,
                                         .mean_run_cpu_ns = run_ms * kRunMs});
      const auto interval_ns = static_cast<double>(plan.interval_ns);
      const double share = run_ms * kRunMs / interval_ns * (plan.room_for_two ? 2 : 1);
      EXPECT_TRUE(share <= static_cast<double>(parts) * 1e-6 * (1 + 1e-9) ||
                  plan.interval_ns == kMaxStretchedIntervalNs)
          << parts << ' ' << run_ms;
    }
  }
}

TEST(PlanStretch, AbsurdNumbersStayWithinTheLimits) {
  const StretchPlan plan =
      plan_for({.parts_per_million = 1, .background_cores = 1e300, .tick_ns = 100 * kMs},
               {.configured_ns = 100 * kMs,
                .current_ns = 100 * kMs,
                .mean_run_cpu_ns = std::numeric_limits<double>::max()});
  EXPECT_EQ(plan.interval_ns, kMaxStretchedIntervalNs);
  EXPECT_FALSE(plan.room_for_two);
}

TEST(PlanStretch, NobodyIsNobody) { EXPECT_TRUE(plan_stretch(kOnePercent, {}).empty()); }

}  // namespace
}  // namespace tidegauge
