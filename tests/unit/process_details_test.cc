// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_details.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

TrackedProcess tracked(std::uint32_t pid, std::uint64_t threads = 1) {
  TrackedProcess out;
  out.sample.key = {.pid = pid, .start_ns = pid};
  out.sample.comm.assign("java");
  out.sample.gauges.set(TaskGauge::kThreads, threads);
  return out;
}

void write_thread(const testing::FixtureTree& tree, std::uint32_t pid, std::uint32_t tid,
                  const std::string& name, std::uint64_t ticks, std::uint64_t start_s = 1) {
  tree.write("proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/stat",
             std::to_string(tid) + " (" + name + ") S 1 1 1 0 -1 0 0 0 0 0 " +
                 std::to_string(ticks) + " 0 0 0 20 0 1 0 " + std::to_string(start_s * 100) +
                 " 0 0 0 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
}

std::map<std::string, std::uint64_t> times(const ProcessDetails& details) {
  std::map<std::string, std::uint64_t> out;
  for (const ProcessDetail& detail : details.all()) {
    for (const ThreadGroupTime& thread : detail.threads) {
      EXPECT_TRUE(out.emplace(thread.name, thread.cpu_ticks).second) << thread.name;
    }
  }
  return out;
}

TEST(ProcessDetails, TheBusyThreadIsFoundHoweverManySleep) {
  const testing::FixtureTree tree;
  constexpr std::uint32_t kThreads = 300;
  for (std::uint32_t tid = 10; tid < 10 + kThreads; ++tid) {
    write_thread(tree, 10, tid, "pool", 1000);
  }
  write_thread(tree, 10, 10 + kThreads, "late", 5);
  const TrackedProcess process = tracked(10, kThreads + 1);
  ProcessDetails details(tree.files());
  for (int pass = 0; pass < 3; ++pass) {
    details.update({&process}, 100 * kSecondNs);
  }
  EXPECT_EQ(times(details), (std::map<std::string, std::uint64_t>{{"pool", 0}, {"late", 0}}))
      << "what was done before the first look does not count";
  write_thread(tree, 10, 10 + kThreads, "late", 905);
  write_thread(tree, 10, 11 + kThreads, "born since", 7, 101);
  for (int pass = 0; pass < 3; ++pass) {
    details.update({&process}, 120 * kSecondNs);
  }
  EXPECT_EQ(times(details),
            (std::map<std::string, std::uint64_t>{{"pool", 0}, {"late", 900}, {"born since", 7}}));
  for (const ThreadGroupTime& thread : details.all()[0].threads) {
    EXPECT_EQ(thread.is_shown, thread.cpu_ticks != 0) << thread.name;
  }
}

TEST(ProcessDetails, OneThatHardlyRunsIsLookedAtSeldom) {
  const testing::FixtureTree tree;
  write_thread(tree, 10, 10, "main", 0);
  write_thread(tree, 10, 11, "worker", 0);
  TrackedProcess process = tracked(10, 2);
  ProcessDetails details(tree.files());
  details.update({&process}, 100 * kSecondNs);
  write_thread(tree, 10, 11, "worker", 1);
  details.update({&process}, 101 * kSecondNs);
  details.update({&process}, 114 * kSecondNs);
  EXPECT_EQ(times(details)["worker"], 0U);
  details.update({&process}, 115 * kSecondNs);
  EXPECT_EQ(times(details)["worker"], 1U);
  write_thread(tree, 10, 11, "worker", 2);
  process.sample.counters.set(TaskCounter::kUserNs, 10'000'000);
  details.update({&process}, 116 * kSecondNs);
  EXPECT_EQ(times(details)["worker"], 2U);
}

TEST(ProcessDetails, NamesThatLookAlikeAreOne) {
  const testing::FixtureTree tree;
  write_thread(tree, 10, 10, "\xFF", 1);
  write_thread(tree, 10, 11, "\xFE", 1);
  const TrackedProcess process = tracked(10, 2);
  ProcessDetails details(tree.files());
  details.update({&process}, 100 * kSecondNs);
  write_thread(tree, 10, 10, "\xFF", 4);
  write_thread(tree, 10, 11, "\xFE", 5);
  details.update({&process}, 120 * kSecondNs);
  ASSERT_EQ(times(details).size(), 1U);
  EXPECT_EQ(times(details).begin()->second, 7U);
}

TEST(ProcessDetails, ManyNamesBecomeOther) {
  const testing::FixtureTree tree;
  for (std::uint32_t i = 0; i < 100; ++i) {
    write_thread(tree, 10, 10 + i, "t" + std::to_string(i), 1);
  }
  const TrackedProcess process = tracked(10, 100);
  ProcessDetails details(tree.files());
  details.update({&process}, 100 * kSecondNs);
  EXPECT_EQ(times(details).size(), kMaxThreadNames);
  EXPECT_TRUE(times(details).contains("other"));
}

TEST(ProcessDetails, MappingsOfWhoGrowsOnceAMinute) {
  const testing::FixtureTree tree;
  for (const auto* pid : {"10", "11", "12"}) {
    tree.write("proc/" + std::string(pid) + "/smaps_rollup",
               "00400000-7fff00000000 ---p 00000000 00:00 0 [rollup]\nRss: 300 kB\nPss: " +
                   std::string(pid) + " kB\n");
  }
  TrackedProcess steady = tracked(10);
  TrackedProcess grows = tracked(11);
  TrackedProcess huge = tracked(12);
  constexpr auto kGrowth = static_cast<std::size_t>(TopCriterion::kMemoryGrowth);
  grows.scores.per_second[kGrowth] = 1e6F;
  huge.scores.per_second[kGrowth] = 1e9F;
  huge.sample.gauges.set(TaskGauge::kAnonBytes, 100ULL << 30U);
  const std::vector<const TrackedProcess*> all{&steady, &grows, &huge};
  ProcessDetails details(tree.files());
  details.update(all, 100 * kSecondNs);
  const auto pss = [&] {
    std::map<std::uint32_t, std::uint64_t> out;
    for (const ProcessDetail& detail : details.all()) {
      if (detail.mappings) {
        out[detail.key.pid] = detail.mappings->pss_kib.value_or(0);
      }
    }
    return out;
  };
  details.look_at_mappings({&steady}, 0, 100 * kSecondNs);
  EXPECT_TRUE(pss().empty()) << "nobody grows, nobody is disturbed";
  details.look_at_mappings(all, 12, 100 * kSecondNs);
  EXPECT_EQ(pss(), (std::map<std::uint32_t, std::uint64_t>{{11, 11}})) << "and never the largest";
  tree.write("proc/11/smaps_rollup", "x\nRss: 300 kB\nPss: 99 kB\n");
  details.look_at_mappings(all, 0, 159 * kSecondNs);
  EXPECT_EQ(pss()[11], 11U);
  details.look_at_mappings(all, 4711, 160 * kSecondNs);
  EXPECT_EQ(pss()[11], 99U) << "who is suspected is not here";
  details.look_at_mappings(all, 10, 220 * kSecondNs);
  EXPECT_EQ(pss()[10], 10U) << "suspected, though others grow more";
}

}  // namespace
}  // namespace tidegauge
