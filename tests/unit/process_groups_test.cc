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

std::uint32_t find_or_add(ProcessGroups& groups, std::string_view name, bool alive,
                          std::int64_t now_ns) {
  return groups.find_or_add({.name = name, .alive = alive}, now_ns);
}

TEST(ProcessGroups, OtherIsAlwaysThere) {
  for (const std::size_t max : {0U, 1U, 5U}) {
    ProcessGroups groups(max);
    EXPECT_EQ(names(groups), (std::set<std::string>{"other"}));
    EXPECT_EQ(find_or_add(groups, "other", true, kStartNs), ProcessGroups::kOther);
    EXPECT_EQ(find_or_add(groups, "a", true, kStartNs), 1U) << "no configuration goes without any";
  }
}

TEST(ProcessGroups, OneNumberPerName) {
  ProcessGroups groups(5);
  const auto a = find_or_add(groups, "a", true, kStartNs);
  const auto b = find_or_add(groups, "b", true, kStartNs);
  EXPECT_NE(a, b);
  EXPECT_EQ(find_or_add(groups, "a", true, kStartNs), a);
  EXPECT_EQ(find_or_add(groups, std::string_view("a\0b", 3), true, kStartNs), 3U);
}

TEST(ProcessGroups, FullMeansOther) {
  ProcessGroups groups(3);
  for (int i = 0; i < 100; ++i) {
    groups.hold(find_or_add(groups, std::to_string(i), true, kStartNs));
  }
  EXPECT_EQ(names(groups), (std::set<std::string>{"other", "0", "1", "2"}));
}

TEST(ProcessGroups, ChosenNamesLeaveRoomForServices) {
  ProcessGroups groups(48);
  const auto choose = [&](const std::string& name, std::uint32_t uid) {
    return groups.find_or_add({.name = name, .chosen = true, .uid = uid}, kStartNs);
  };
  for (int i = 0; i < 100; ++i) {
    choose("mallory" + std::to_string(i), 1000);
  }
  EXPECT_EQ(names(groups).size(), 13U) << "one user's names take a quarter";
  EXPECT_NE(choose("alice", 1001), ProcessGroups::kOther);
  for (int i = 0; i < 100; ++i) {
    choose("root" + std::to_string(i), 0);
  }
  EXPECT_EQ(names(groups).size(), 37U) << "all of them three quarters";
  for (int i = 0; i < 12; ++i) {
    EXPECT_NE(find_or_add(groups, std::to_string(i) + ".service", true, kStartNs),
              ProcessGroups::kOther);
  }
  EXPECT_EQ(find_or_add(groups, "one-too-many.service", true, kStartNs), ProcessGroups::kOther);
}

TEST(ProcessGroups, TheDeadTakeAQuarterAtMost) {
  ProcessGroups groups(10);
  for (int i = 0; i < 100; ++i) {
    find_or_add(groups, "dead" + std::to_string(i), false, kStartNs);
  }
  EXPECT_EQ(names(groups).size(), 4U);
  for (int i = 0; i < 7; ++i) {
    EXPECT_NE(find_or_add(groups, "alive" + std::to_string(i), true, kStartNs),
              ProcessGroups::kOther);
  }
  EXPECT_EQ(find_or_add(groups, "alive9", true, kStartNs), ProcessGroups::kOther);
}

TEST(ProcessGroups, TheDeadMakeRoomForTheDead) {
  ProcessGroups groups(8);
  EXPECT_EQ(find_or_add(groups, "a", false, kStartNs), 1U);
  EXPECT_EQ(find_or_add(groups, "b", false, kStartNs), 2U);
  EXPECT_EQ(find_or_add(groups, "c", false, kStartNs + kMinuteNs), ProcessGroups::kOther);
  EXPECT_NE(find_or_add(groups, "c", false, kStartNs + 6 * kMinuteNs), ProcessGroups::kOther);
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
    const auto a = find_or_add(groups, "a", true, kStartNs);
    groups.add_member(a, {}, kStartNs + one.lived_ns);
    groups.begin_pass();
    const auto b = find_or_add(groups, "b", true, kStartNs + one.lived_ns + one.away_ns);
    EXPECT_EQ(b != ProcessGroups::kOther, one.forgotten) << one.lived_ns << " " << one.away_ns;
  }
}

TEST(ProcessGroups, WhoIsAskedForOrHeldStays) {
  ProcessGroups groups(2);
  const auto cron = find_or_add(groups, "cron", false, kStartNs);
  const auto held = find_or_add(groups, "held", true, kStartNs);
  groups.hold(held);
  // Only ever short-lived members: in use all the same.
  for (int minute = 0; minute < 600; ++minute) {
    groups.begin_pass();
    EXPECT_EQ(find_or_add(groups, "cron", false, kStartNs + minute * kMinuteNs), cron);
  }
  const std::int64_t now_ns = kStartNs + 600 * kMinuteNs;
  EXPECT_EQ(find_or_add(groups, "new", true, now_ns), ProcessGroups::kOther);
  groups.release(held);
  EXPECT_EQ(find_or_add(groups, "new", true, now_ns + kMinuteNs), held);
  EXPECT_EQ(groups[held].counters, TaskCounters{}) << "a new name begins at nothing";
  EXPECT_EQ(groups[held].started, 0U);
}

TEST(ProcessGroups, GrowthIsPerFieldAndNeverNegative) {
  ProcessGroups groups(2);
  const auto a = find_or_add(groups, "a", true, kStartNs);
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
  const auto a = find_or_add(groups, "a", true, kStartNs);
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
