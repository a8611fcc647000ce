// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/top_rates.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tidegauge {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kNow = 1000 * kSecondNs;
constexpr std::uint64_t kLongAgo = 5 * kSecondNs;

struct Proc {
  std::uint32_t pid;
  std::string comm;
  std::optional<std::uint64_t> read_bytes{};
  std::optional<std::uint64_t> cpu_ns{};
  std::uint64_t start_ns = kLongAgo;
  bool alive = true;
  std::string group = "g";
};

TopProcess process_of(const Proc& proc) {
  TopProcess process;
  process.sample.key = {.pid = proc.pid, .start_ns = proc.start_ns};
  process.sample.comm.assign(proc.comm);
  process.sample.state = 'S';
  process.sample.alive = proc.alive;
  if (proc.read_bytes) {
    process.sample.counters.set(TaskCounter::kStorageReadBytes, *proc.read_bytes);
  }
  if (proc.cpu_ns) {
    process.sample.counters.set(TaskCounter::kUserNs, *proc.cpu_ns);
    process.sample.counters.set(TaskCounter::kSystemNs, 0);
  }
  process.group = proc.group;
  return process;
}

TopPass pass_of(const std::vector<Proc>& procs, std::int64_t boottime_ns = kNow) {
  TopPass pass;
  pass.boottime_ns = boottime_ns;
  for (const Proc& proc : procs) {
    pass.processes.push_back(process_of(proc));
  }
  return pass;
}

TopExited exited_of(const std::string& comm, std::uint64_t processes, std::uint64_t read_bytes) {
  TopExited exited;
  exited.sample.comm.assign(comm);
  exited.sample.processes = processes;
  exited.sample.counters.set(TaskCounter::kStorageReadBytes, read_bytes);
  exited.group = "g";
  return exited;
}

std::optional<double> read_rate(const std::vector<Proc>& before, const std::vector<Proc>& now,
                                std::int64_t elapsed_ns = kSecondNs) {
  const auto rows = top_rows(pass_of(before, kNow - elapsed_ns), pass_of(now), elapsed_ns);
  EXPECT_EQ(rows.size(), 1U);
  return rows.empty() ? std::nullopt : rows[0][TopRate::kRead];
}

TEST(TopRates, GrowthOverTime) {
  EXPECT_EQ(read_rate({{1, "a", 100}}, {{1, "a", 300}}), 200);
  EXPECT_EQ(read_rate({{1, "a", 100}}, {{1, "a", 300}}, 4 * kSecondNs), 50);
  EXPECT_EQ(read_rate({{1, "a", 100}}, {{1, "a", 100}}), 0);
  EXPECT_EQ(read_rate({{1, "a", 300}}, {{1, "a", 100}}), 0) << "a counter that fell";
}

// A pass over /proc takes its time, and the first one more than those after it.
TEST(TopRates, GrowthOverTheTimeBetweenItsOwnReadings) {
  TopPass before = pass_of({{1, "a", 100}}, kNow - 3 * kSecondNs);
  TopPass now = pass_of({{1, "a", 350}, {2, "b", 50, {}, kNow}, {3, "old", 50}});
  before.processes[0].sample.read_after_us = 700'000;
  now.processes[0].sample.read_after_us = 200'000;
  now.processes[1].sample.read_after_us = 300'000;
  const auto rows = top_rows(before, now, 3 * kSecondNs);
  EXPECT_EQ(rows[0][TopRate::kRead], 100);
  EXPECT_EQ(rows[0].interval_ns, kSecondNs * 5 / 2);
  EXPECT_EQ(rows[0].read_ns, kNow + kSecondNs / 5);
  EXPECT_EQ(rows[1].interval_ns, 3 * kSecondNs) << "all of it is of this interval";
  EXPECT_EQ(rows[1].read_ns, kNow + kSecondNs * 3 / 10);
  EXPECT_EQ(rows[2].interval_ns, 0) << "it has no rates";
  EXPECT_EQ(rows[2].read_ns, kNow);
  EXPECT_EQ(top_rows(before, now, 0)[0][TopRate::kRead], std::nullopt);
}

TEST(TopRates, WithoutTimeNothingIsKnown) {
  EXPECT_EQ(read_rate({{1, "a", 100}}, {{1, "a", 300}}, 0), std::nullopt);
  EXPECT_EQ(read_rate({{1, "a", 100}}, {{1, "a", 300}}, -5), std::nullopt);
}

TEST(TopRates, AbsentIsNotZero) {
  EXPECT_EQ(read_rate({{1, "a"}}, {{1, "a"}}), std::nullopt);
  EXPECT_EQ(read_rate({{1, "a"}}, {{1, "a", 300}}), std::nullopt) << "since when is not known";
  EXPECT_EQ(read_rate({{1, "a", 300}}, {{1, "a"}}), std::nullopt);
  const auto rows = top_rows(pass_of({{1, "a"}}, kNow - kSecondNs), pass_of({{1, "a"}}), kSecondNs);
  EXPECT_FALSE(rows[0].memory_bytes);
  EXPECT_FALSE(rows[0].threads);
  EXPECT_FALSE(rows[0][TopRate::kCpu]);
}

TEST(TopRates, ANewProcessHasDoneAllOfItSince) {
  EXPECT_EQ(read_rate({}, {{1, "a", 300, {}, kNow - kSecondNs / 2}}), 300);
  // /proc rounds start times down to 10 ms.
  EXPECT_EQ(read_rate({}, {{1, "a", 300, {}, kNow - kSecondNs - 9'000'000}}), 300);
}

TEST(TopRates, AnOldOneThatWasNotSeenIsUnknown) {
  EXPECT_EQ(read_rate({}, {{1, "a", 300}}), std::nullopt);
}

TEST(TopRates, AReusedPidIsAnotherProcess) {
  EXPECT_EQ(read_rate({{1, "a", 1000}}, {{1, "b", 1300, {}, kNow - kSecondNs / 2}}), 1300);
}

TEST(TopRates, OneThatEndedIsARowWithItsPid) {
  const auto rows = top_rows(pass_of({{7, "a", 100}}, kNow - kSecondNs),
                             pass_of({{7, "a", 400, {}, kLongAgo, false}}), kSecondNs);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0][TopRate::kRead], 300);
  EXPECT_EQ(rows[0].state, 'X');
  EXPECT_EQ(rows[0].pid, 7U);
  EXPECT_EQ(rows[0].processes, 0U);
  EXPECT_EQ(rows[0].ended, 1U);
}

TEST(TopRates, EndsOfOneNameAreOneRow) {
  TopPass now = pass_of({{7, "a", 400, {}, kLongAgo, false},
                         {8, "a", 50, {}, kNow - 1000, false},
                         {9, "a", 10, {}, kLongAgo, false, "other group"}});
  now.exited = {exited_of("a", 40, 1000), exited_of("b", 1, 5)};
  const auto rows = top_rows(pass_of({{7, "a", 100}}, kNow - kSecondNs), now, kSecondNs);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].ended, 42U);
  EXPECT_FALSE(rows[0].pid);
  EXPECT_EQ(rows[0][TopRate::kRead], 300 + 50 + 1000);
  EXPECT_EQ(rows[1].pid, 9U);
  EXPECT_EQ(rows[1][TopRate::kRead], std::nullopt);
  EXPECT_EQ(rows[2].comm, "b");
  EXPECT_FALSE(rows[2].pid);
}

TEST(TopRates, ThePredecessorOfAReusedPidKeepsItsOwnRow) {
  const auto rows = top_rows(
      pass_of({{7, "a", 100}}, kNow - kSecondNs),
      pass_of({{7, "a", 150, {}, kLongAgo, false}, {7, "b", 20, {}, kNow - 5}}), kSecondNs);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].comm, "b");
  EXPECT_EQ(rows[0][TopRate::kRead], 20);
  EXPECT_EQ(rows[1].comm, "a");
  EXPECT_EQ(rows[1][TopRate::kRead], 50);
}

TEST(TopRates, CpuNeedsBothParts) {
  const auto rows = top_rows(pass_of({{1, "a", {}, 0}}, kNow - kSecondNs),
                             pass_of({{1, "a", {}, kSecondNs / 2}}), kSecondNs);
  EXPECT_EQ(rows[0][TopRate::kCpu], 0.5);
  TopPass half = pass_of({{1, "a"}});
  half.processes[0].sample.counters.set(TaskCounter::kUserNs, 1);
  EXPECT_EQ(top_rows(half, half, kSecondNs)[0][TopRate::kCpu], std::nullopt);
}

TEST(TopRates, GroupsAndSumsKeepWhatIsKnown) {
  const auto rows =
      top_rows(pass_of({{1, "a", 0}, {2, "b"}, {3, "c", 0, {}, kLongAgo, true, "h"}}),
               pass_of({{1, "a", 10}, {2, "b"}, {3, "c", 5, {}, kLongAgo, true, "h"}}), kSecondNs);
  const auto groups = group_rows(rows);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].processes, 2U);
  EXPECT_EQ(groups[0][TopRate::kRead], 10);
  EXPECT_EQ(groups[0][TopRate::kWrite], std::nullopt);
  const TopRow sum = sum_of(rows.begin(), rows.end());
  EXPECT_EQ(sum[TopRate::kRead], 15);
  EXPECT_EQ(sum.processes, 3U);
  EXPECT_EQ(sum_of(rows.begin(), rows.begin())[TopRate::kRead], std::nullopt);
}

TEST(TopRates, SortsMostFirstAndUnknownLast) {
  auto rows = top_rows(pass_of({{1, "a", 0, 0}, {2, "b", {}, 0}, {3, "c", 0, 0}, {4, "d", 0, 0}}),
                       pass_of({{1, "a", 10, 0}, {2, "b", {}, 9}, {3, "c", 0, 5}, {4, "d", 0, 6}}),
                       kSecondNs);
  const auto order = [&](TopSort by) {
    sort_rows(rows, by);
    std::string names;
    for (const TopRow& row : rows) {
      names += row.comm;
    }
    return names;
  };
  EXPECT_EQ(order(TopSort::kRead), "adcb");
  EXPECT_EQ(order(TopSort::kCpu), "bdca");
  EXPECT_EQ(order(TopSort::kDelay), "adcb") << "equally unknown: by I/O, then CPU";
}

}  // namespace
}  // namespace tidegauge
