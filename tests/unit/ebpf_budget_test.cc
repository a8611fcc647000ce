// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "collectors/ebpf/ebpf.h"

namespace tidegauge {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

FeatureCost cost(const char* feature, std::uint64_t run_ns, bool can_be_shed = true) {
  return {.object = "files", .feature = feature, .run_ns = run_ns, .can_be_shed = can_be_shed};
}

TEST(EbpfBudget, TheCostliestGoesAfterThreePasses) {
  EbpfBudget budget(10'000);  // 1 %
  EXPECT_EQ(budget.update({cost("sync", 0), cost("reads", 5 * kSecond)}, kSecond), std::nullopt);
  EXPECT_EQ(budget.used_ppm(), std::nullopt);
  for (std::uint64_t pass = 1; pass < 3; ++pass) {
    EXPECT_EQ(budget.update({cost("sync", pass * 20'000'000), cost("reads", 5 * kSecond)}, kSecond),
              std::nullopt);
    EXPECT_EQ(budget.used_ppm(), 20'000U);
  }
  // What it cost before does not count.
  EXPECT_EQ(budget.update({cost("sync", 60'000'000), cost("reads", 5 * kSecond)}, kSecond), 0U);
  // The others are given time again.
  EXPECT_EQ(budget.update({cost("sync", 60'000'000), cost("reads", 6 * kSecond)}, kSecond),
            std::nullopt);
}

TEST(EbpfBudget, APassWithinItBeginsAnew) {
  EbpfBudget budget(10'000);
  std::uint64_t run_ns = 0;
  static_cast<void>(budget.update({cost("sync", run_ns)}, kSecond));
  for (int i = 0; i < 10; ++i) {
    run_ns += i % 3 == 2 ? 0 : kSecond / 10;
    EXPECT_EQ(budget.update({cost("sync", run_ns)}, kSecond), std::nullopt) << i;
  }
}

TEST(EbpfBudget, WhatOthersNeedStays) {
  EbpfBudget budget(10'000);
  std::optional<std::size_t> victim;
  for (std::uint64_t pass = 0; pass < 4; ++pass) {
    victim = budget.update({cost("owners", pass * kSecond, false), cost("sync", pass)}, kSecond);
  }
  EXPECT_EQ(victim, 1U);
}

TEST(EbpfBudget, NoBound) {
  EbpfBudget budget(0);
  for (std::uint64_t pass = 0; pass < 10; ++pass) {
    EXPECT_EQ(budget.update({cost("sync", pass * kSecond)}, kSecond), std::nullopt);
  }
  EXPECT_EQ(budget.used_ppm(), 1'000'000U);
}

TEST(EbpfBudget, ReloadedProgramsBeginAtZero) {
  EbpfBudget budget(10'000);
  static_cast<void>(budget.update({cost("sync", 90 * kSecond)}, kSecond));
  static_cast<void>(budget.update({cost("sync", 1'000)}, kSecond));
  EXPECT_EQ(budget.used_ppm(), 1U);
}

TEST(FeatureReport, TierOfWhatIsLoadedAndWhyNoBetter) {
  const auto program = [](const char* name, Tier tier, int fd, const char* reason) {
    SeenProgram seen;
    seen.object = "files";
    seen.status = {.name = name, .feature = "sync", .tier = tier, .reason = reason, .fd = fd};
    return seen;
  };
  const auto features = features_of({program("enter", Tier::kTracepoint, 7, ""),
                                     program("fentry", Tier::kTrampoline, -1, "refused"),
                                     program("other", Tier::kTracepoint, -1, "no such thing")});
  ASSERT_EQ(features.size(), 1U);
  EXPECT_EQ(features[0].tier, Tier::kTracepoint);
  EXPECT_EQ(features[0].reason, "refused");
  const auto off = features_of({program("enter", Tier::kTracepoint, -1, "no tracepoint")});
  EXPECT_EQ(off[0].tier, Tier::kOff);
  EXPECT_EQ(off[0].reason, "no tracepoint");
}

}  // namespace
}  // namespace tidegauge
