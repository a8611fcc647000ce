// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_groups.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace tidegauge {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kMinuteNs = 60 * kSecondNs;
constexpr std::int64_t kStartNs = 10'000 * kSecondNs;

std::set<std::string> names(const ProcessGroups& groups) {
  std::set<std::string> out;
  groups.for_each([&](const ProcessGroup& group) { EXPECT_TRUE(out.insert(group.name).second); });
  return out;
}

TEST(ProcessGroups, OtherIsAlwaysThere) {
  for (const std::size_t max : {0U, 1U, 5U}) {
    ProcessGroups groups(max);
    EXPECT_EQ(names(groups), (std::set<std::string>{"other"}));
    EXPECT_EQ(groups.find_or_add("other", true, kStartNs), ProcessGroups::kOther);
    EXPECT_EQ(groups.find_or_add("a", true, kStartNs), 1U) << "no configuration goes without any";
  }
}

TEST(ProcessGroups, OneNumberPerName) {
  ProcessGroups groups(5);
  const auto a = groups.find_or_add("a", true, kStartNs);
  const auto b = groups.find_or_add("b", true, kStartNs);
  EXPECT_NE(a, b);
  EXPECT_EQ(groups.find_or_add("a", true, kStartNs), a);
  EXPECT_EQ(groups.find_or_add(std::string_view("a\0b", 3), true, kStartNs), 3U);
  EXPECT_EQ(groups.overflows(), 0U);
}

TEST(ProcessGroups, FullMeansOther) {
  ProcessGroups groups(3);
  for (int i = 0; i < 100; ++i) {
    groups.hold(groups.find_or_add(std::to_string(i), true, kStartNs));
  }
  EXPECT_EQ(names(groups), (std::set<std::string>{"other", "0", "1", "2"}));
  EXPECT_EQ(groups.overflows(), 97U);
}

TEST(ProcessGroups, TheDeadTakeHalfAtMost) {
  ProcessGroups groups(10);
  for (int i = 0; i < 100; ++i) {
    groups.find_or_add("dead" + std::to_string(i), false, kStartNs);
  }
  EXPECT_EQ(names(groups).size(), 6U);
  for (int i = 0; i < 5; ++i) {
    EXPECT_NE(groups.find_or_add("alive" + std::to_string(i), true, kStartNs),
              ProcessGroups::kOther);
  }
  EXPECT_EQ(groups.find_or_add("alive9", true, kStartNs), ProcessGroups::kOther);
}

TEST(ProcessGroups, TheDeadMakeRoomForTheDead) {
  ProcessGroups groups(4);
  EXPECT_EQ(groups.find_or_add("a", false, kStartNs), 1U);
  EXPECT_EQ(groups.find_or_add("b", false, kStartNs), 2U);
  EXPECT_EQ(groups.find_or_add("c", false, kStartNs + kMinuteNs), ProcessGroups::kOther);
  EXPECT_NE(groups.find_or_add("c", false, kStartNs + 6 * kMinuteNs), ProcessGroups::kOther);
  EXPECT_EQ(names(groups), (std::set<std::string>{"other", "c"}));
}

struct Forgetting {
  std::int64_t lived_ns;
  std::int64_t away_ns;
  bool forgotten;
};

TEST(ProcessGroups, APlaceIsGivenUpAfterAsLongAsItWasUsed) {
  const Forgetting kCases[] = {
      {0, 4 * kMinuteNs, false},
      {0, 6 * kMinuteNs, true},
      {30 * kMinuteNs, 29 * kMinuteNs, false},
      {30 * kMinuteNs, 31 * kMinuteNs, true},
      {600 * kMinuteNs, 59 * kMinuteNs, false},
      {600 * kMinuteNs, 61 * kMinuteNs, true},
  };
  for (const Forgetting& one : kCases) {
    ProcessGroups groups(1);
    const auto a = groups.find_or_add("a", true, kStartNs);
    groups.add_member(a, {}, kStartNs + one.lived_ns);
    groups.begin_pass();
    const auto b = groups.find_or_add("b", true, kStartNs + one.lived_ns + one.away_ns);
    EXPECT_EQ(b != ProcessGroups::kOther, one.forgotten) << one.lived_ns << " " << one.away_ns;
  }
}

TEST(ProcessGroups, WhoIsAskedForOrHeldStays) {
  ProcessGroups groups(2);
  const auto cron = groups.find_or_add("cron", false, kStartNs);
  const auto held = groups.find_or_add("held", true, kStartNs);
  groups.hold(held);
  // Only ever short-lived members: in use all the same.
  for (int minute = 0; minute < 600; ++minute) {
    groups.begin_pass();
    EXPECT_EQ(groups.find_or_add("cron", false, kStartNs + minute * kMinuteNs), cron);
  }
  const std::int64_t now_ns = kStartNs + 600 * kMinuteNs;
  EXPECT_EQ(groups.find_or_add("new", true, now_ns), ProcessGroups::kOther);
  groups.release(held);
  EXPECT_EQ(groups.find_or_add("new", true, now_ns + kMinuteNs), held);
  EXPECT_EQ(groups[held].counters, TaskCounters{}) << "a new name begins at nothing";
  EXPECT_EQ(groups[held].started, 0U);
}

TEST(ProcessGroups, GrowthIsPerFieldAndNeverNegative) {
  ProcessGroups groups(2);
  const auto a = groups.find_or_add("a", true, kStartNs);
  TaskCounters before;
  before.set(TaskCounter::kMinorFaults, 10);
  before.set(TaskCounter::kMajorFaults, 10);
  TaskCounters now;
  now.set(TaskCounter::kMinorFaults, 4);
  now.set(TaskCounter::kMajorFaults, 14);
  groups.add_growth(a, before, now);
  EXPECT_EQ(groups[a].counters[TaskCounter::kMinorFaults], 0U);
  EXPECT_EQ(groups[a].counters[TaskCounter::kMajorFaults], 4U);
  EXPECT_TRUE(groups[a].counters.present(TaskCounter::kMinorFaults));
  EXPECT_FALSE(groups[a].counters.present(TaskCounter::kRunDelayNs));
}

TEST(ProcessGroups, GaugesAreOfThePresentPass) {
  ProcessGroups groups(2);
  const auto a = groups.find_or_add("a", true, kStartNs);
  TaskGauges gauges;
  gauges.set(TaskGauge::kThreads, 3);
  groups.add_member(a, gauges, kStartNs);
  gauges.set(TaskGauge::kAnonBytes, 4096);
  groups.add_member(a, gauges, kStartNs);
  EXPECT_EQ(groups[a].processes, 2U);
  EXPECT_EQ(groups[a].gauges[TaskGauge::kThreads], 6U);
  EXPECT_EQ(groups[a].gauges[TaskGauge::kAnonBytes], 4096U);
  groups.add_started(a, 2);
  groups.begin_pass();
  EXPECT_EQ(groups[a].processes, 0U);
  EXPECT_EQ(groups[a].gauges, TaskGauges{});
  EXPECT_EQ(groups[a].started, 2U);
}

}  // namespace
}  // namespace tidegauge
