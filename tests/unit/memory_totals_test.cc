// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/memory_totals.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <initializer_list>
#include <string>
#include <vector>

#include "collectors/ebpf/memory_tables.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

tg_stall stall(unsigned slot, std::uint64_t times, std::uint64_t ns, std::uint64_t pages) {
  tg_stall out{};
  out.slots[slot] = times;
  out.ns = ns;
  out.pages = pages;
  return out;
}

tg_oom_victim victim(std::uint64_t number, std::uint64_t at_ns,
                     std::initializer_list<const char*> cgroup_from_below) {
  tg_oom_victim out{};
  out.number = number;
  out.at_ns = at_ns;
  out.owner = 7;
  out.tgid = 4321;
  std::snprintf(out.comm, sizeof(out.comm), "hungry");
  std::size_t level = 0;
  for (const char* name : cgroup_from_below) {
    std::snprintf(out.cgroup[level++], TG_CGROUP_NAME, "%s", name);
  }
  return out;
}

TEST(MemoryTotals, EndWithTheirGroup) {
  MemoryTotals totals;
  for (const std::uint32_t group : {1U, 2U}) {
    totals.add_stall(group, TG_STALL_DIRECT, stall(3, 1, 10, 1));
    totals.add_wakeups(group, 0, 0, 1);
    totals.add_page_cache(group, tg_page_cache{});
    totals.add_faults(group, 7, tg_fault{});
    totals.add_victims(group, 1);
  }
  totals.forget_group(1);
  EXPECT_EQ(totals.stalls().size(), 1U);
  EXPECT_EQ(totals.stalls().begin()->first.group, 2U);
  EXPECT_EQ(totals.wakeups().size(), 1U);
  EXPECT_EQ(totals.page_caches().count(1), 0U);
  EXPECT_EQ(totals.page_caches().count(2), 1U);
  EXPECT_EQ(totals.faults().size(), 1U);
  EXPECT_EQ(totals.victims().count(1), 0U);
  EXPECT_EQ(totals.victims().count(2), 1U);
}

TEST(KswapdClock, CountsUpToNow) {
  KswapdClock clock;
  EXPECT_EQ(clock.awake_ns({}, kSecond), 0U);
  EXPECT_EQ(clock.awake_ns({.awake_ns = 5, .since_ns = 0, .runs = 1}, kSecond), 5U);
  EXPECT_EQ(clock.awake_ns({.awake_ns = 5, .since_ns = 900'000'000, .runs = 2}, kSecond),
            100'000'005U);
  // Went to sleep: its time was not yet added when it was read.
  EXPECT_EQ(clock.awake_ns({.awake_ns = 5, .since_ns = 0, .runs = 2}, kSecond + 10), 100'000'005U);
  EXPECT_EQ(clock.awake_ns({.awake_ns = 100'000'015, .since_ns = 0, .runs = 2}, kSecond + 20),
            100'000'015U);
}

TEST(KswapdClock, WokenAfterNowWasRead) {
  KswapdClock clock;
  EXPECT_EQ(clock.awake_ns({.awake_ns = 7, .since_ns = kSecond + 1, .runs = 1}, kSecond), 7U);
  EXPECT_EQ(clock.awake_ns({.awake_ns = 7, .since_ns = 1, .runs = 1}, -1), 7U);
}

TEST(VictimCgroup, Paths) {
  EXPECT_EQ(victim_cgroup(victim(1, 0, {})), "/");
  EXPECT_EQ(victim_cgroup(victim(1, 0, {"app.service", "system.slice", ""})),
            "/system.slice/app.service");
  EXPECT_EQ(victim_cgroup(victim(1, 0, {"app.service", "system.slice", "/"})),
            "/system.slice/app.service");
  EXPECT_EQ(victim_cgroup(victim(1, 0, {"f", "e", "d", "c", "b", "a"})), "/.../a/b/c/d/e/f");
}

TEST(VictimCgroup, NameWithoutEnd) {
  tg_oom_victim record = victim(1, 0, {});
  std::fill(std::begin(record.cgroup[0]), std::end(record.cgroup[0]), 'x');
  EXPECT_EQ(victim_cgroup(record), "/" + std::string(TG_CGROUP_NAME, 'x'));
}

TEST(OomVictims, TimeOfDayStays) {
  OomVictims victims;
  victims.update({victim(2, 20 * kSecond, {}), victim(1, 10 * kSecond, {})}, 30 * kSecond,
                 1000 * kSecond);
  ASSERT_EQ(victims.last().size(), 2U);
  EXPECT_EQ(victims.last()[0].record.number, 1U);
  EXPECT_EQ(victims.last()[0].realtime_ns, 980 * kSecond);
  EXPECT_EQ(victims.last()[1].realtime_ns, 990 * kSecond);
  // The clock is set an hour ahead; the first record's place was taken.
  victims.update({victim(2, 20 * kSecond, {}), victim(9, 40 * kSecond, {})}, 40 * kSecond,
                 4610 * kSecond);
  ASSERT_EQ(victims.last().size(), 2U);
  EXPECT_EQ(victims.last()[0].realtime_ns, 990 * kSecond);
  EXPECT_EQ(victims.last()[1].realtime_ns, 4610 * kSecond);
}

TEST(MemoryTotals, SumsByGroup) {
  MemoryTotals totals;
  totals.add_stall(3, TG_STALL_MEMCG, stall(4, 2, 20'000, 64));
  totals.add_stall(3, TG_STALL_MEMCG, stall(5, 1, 30'000, 32));
  totals.add_stall(3, TG_STALL_DIRECT, stall(1, 1, 1'500, 1));
  totals.add_stall(3, TG_STALL_KINDS, stall(1, 1, 1, 1));  // of no kind we know
  ASSERT_EQ(totals.stalls().size(), 2U);
  const StallTotal& memcg = totals.stalls().at({3, TG_STALL_MEMCG});
  EXPECT_EQ(memcg.times.count(), 3U);
  EXPECT_EQ(memcg.times.sum_ns, 50'000U);
  EXPECT_EQ(memcg.pages, 96U);
}

TEST(MemoryTotals, PlacesAreBoundedAndSumsStayTrue) {
  MemoryTotals totals;
  for (std::uint32_t group = 1; group <= 1000; ++group) {
    totals.add_wakeups(group, 0, 3, 1);
    totals.add_faults(group, 8U << 20U, {.faults = 1, .ns = 10});
  }
  totals.add_wakeups(1, 0, MemoryTotals::kMaxOrder, 1);  // nonsense
  EXPECT_EQ(totals.wakeups().size(), MemoryTotals::kMaxWakeupPlaces + 1);
  EXPECT_EQ(totals.faults().size(), MemoryTotals::kMaxFaultPlaces + 1);
  EXPECT_EQ(totals.wakeups().at({0, 3, 0}), 1000 - MemoryTotals::kMaxWakeupPlaces);
  std::uint64_t wakeups = 0;
  for (const auto& [place, count] : totals.wakeups()) {
    wakeups += count;
  }
  EXPECT_EQ(wakeups, 1000U);
  // Who has a place keeps it.
  totals.add_wakeups(1, 0, 3, 1);
  EXPECT_EQ(totals.wakeups().at({0, 3, 1}), 2U);
}

class MemoryTablesTest : public ::testing::Test {
 protected:
  static std::string_view name(std::uint32_t group) { return group == 0 ? "other" : "app"; }

  std::map<std::string, double> series() { return testing::flatten(section_); }

  MemoryTotals totals_;
  MemoryTables tables_{4096};
  Section section_;
};

TEST_F(MemoryTablesTest, Stalls) {
  totals_.add_stall(1, TG_STALL_MEMCG, stall(5, 3, 60'000, 96));
  totals_.add_stall(1, TG_STALL_COMPACTION, stall(2, 1, 3'000, 0));
  totals_.add_stall(0, TG_STALL_DIRTY, stall(18, 2, 400'000'000, 0));
  tables_.add_reclaim(totals_, name, section_);
  tables_.add_compaction(totals_, name, section_);
  tables_.add_dirty_throttle(totals_, name, section_);
  const auto got = series();
  const std::string of = "{group=\"app\",kind=\"memcg\"";
  EXPECT_EQ(got.at("tidegauge_reclaim_stall_seconds_count" + of + "}"), 3);
  EXPECT_DOUBLE_EQ(got.at("tidegauge_reclaim_stall_seconds_sum" + of + "}"), 60e-6);
  EXPECT_EQ(got.at("tidegauge_reclaim_stall_seconds_bucket" + of + ",le=\"+Inf\"}"), 3);
  EXPECT_EQ(got.at("tidegauge_reclaim_stall_reclaimed_bytes_total" + of + "}"), 96 * 4096);
  EXPECT_EQ(got.at("tidegauge_compaction_stall_seconds_count{group=\"app\"}"), 1);
  EXPECT_DOUBLE_EQ(got.at("tidegauge_dirty_throttle_seconds_total{group=\"other\"}"), 0.4);
  EXPECT_EQ(got.at("tidegauge_dirty_throttle_pauses_total{group=\"other\"}"), 2);
  // One family's stalls are not another's.
  EXPECT_EQ(got.count("tidegauge_reclaim_stall_seconds_count{group=\"app\",kind=\"compaction\"}"),
            0U);
}

TEST_F(MemoryTablesTest, Kswapd) {
  totals_.add_wakeups(1, 0, 9, 4);
  tables_.add_kswapd({{.node = 0, .awake_ns = 1'500'000'000, .runs = 2}}, totals_, name, section_);
  const auto got = series();
  EXPECT_EQ(got.at("tidegauge_kswapd_awake_seconds_total{node=\"0\"}"), 1.5);
  EXPECT_EQ(got.at("tidegauge_kswapd_runs_total{node=\"0\"}"), 2);
  EXPECT_EQ(got.at("tidegauge_kswapd_wakeups_total{node=\"0\",order=\"9\",group=\"app\"}"), 4);
}

TEST_F(MemoryTablesTest, OutOfMemory) {
  totals_.add_victims(1, 3);
  OomVictims victims;
  victims.update({victim(3, 5 * kSecond, {"small", ""})}, 10 * kSecond, 100 * kSecond);
  tables_.add_oom(
      totals_, victims, name, [](std::uint32_t owner) { return owner == 7 ? 1U : 0U; },
      [](std::string_view path) { return "h:" + std::string(path); }, section_);
  const auto got = series();
  EXPECT_EQ(got.at("tidegauge_oom_victims_total{group=\"app\"}"), 3);
  EXPECT_EQ(got.at("tidegauge_oom_victim_timestamp_seconds{pid=\"4321\",comm=\"hungry\","
                   "group=\"app\",cgroup=\"h:/small\",number=\"3\"}"),
            95);
}

TEST_F(MemoryTablesTest, WhatIsNotCountedIsAbsent) {
  totals_.add_page_cache(1, {.read_in = 2,
                             .faulted_in = 0,
                             .written_in = 1,
                             .metadata_in = 0,
                             .reclaimed = 5,
                             .dropped = 0,
                             .looked_up = 8});
  totals_.add_faults(1, (8U << 20U) | 1U, {.faults = 2, .ns = 3'000'000});
  const auto device = [](std::uint32_t) -> std::string_view { return "sda1"; };
  tables_.add_page_cache(totals_, {.inserts = true}, name, section_);
  tables_.add_faults(totals_, false, name, device, section_);
  auto got = series();
  EXPECT_EQ(got.at("tidegauge_page_cache_inserted_bytes_total{group=\"app\",cause=\"read\"}"),
            8192);
  EXPECT_EQ(got.count("tidegauge_page_cache_inserted_bytes_total{group=\"app\",cause=\"fault\"}"),
            0U);
  EXPECT_EQ(got.at("tidegauge_page_cache_removed_bytes_total{group=\"app\",cause=\"reclaim\"}"),
            5 * 4096);
  EXPECT_EQ(got.count("tidegauge_page_cache_lookup_bytes_total{group=\"app\"}"), 0U);
  EXPECT_EQ(got.at("tidegauge_major_faults_total{group=\"app\",device=\"sda1\"}"), 2);
  EXPECT_EQ(got.count("tidegauge_major_fault_seconds_total{group=\"app\",device=\"sda1\"}"), 0U);
  section_ = {};
  tables_.add_page_cache(totals_, {.inserts = true, .faults = true}, name, section_);
  EXPECT_EQ(series().at("tidegauge_page_cache_inserted_bytes_total{group=\"app\",cause=\"fault\"}"),
            0);
  section_ = {};
  tables_.add_page_cache(totals_, {.reads = true}, name, section_);
  tables_.add_faults(totals_, true, name, device, section_);
  got = series();
  EXPECT_EQ(got.at("tidegauge_page_cache_lookup_bytes_total{group=\"app\"}"), 8 * 4096);
  EXPECT_EQ(got.count("tidegauge_page_cache_inserted_bytes_total{group=\"app\",cause=\"read\"}"),
            0U);
  EXPECT_DOUBLE_EQ(got.at("tidegauge_major_fault_seconds_total{group=\"app\",device=\"sda1\"}"),
                   0.003);
}

TEST_F(MemoryTablesTest, LossesOfWhatIsCounted) {
  const tg_memory_losses losses{
      .stalls = 1, .wakeups = 2, .page_cache = 3, .faults = 4, .victims = 5};
  tables_.add_losses(
      losses, [](std::string_view feature) { return feature == "oom" || feature == "compaction"; },
      section_);
  const auto got = series();
  EXPECT_EQ(got.size(), 2U);
  EXPECT_EQ(got.at("tidegauge_ebpf_memory_losses_total{of=\"stalls\"}"), 1);
  EXPECT_EQ(got.at("tidegauge_ebpf_memory_losses_total{of=\"victims\"}"), 5);
}

}  // namespace
}  // namespace tidegauge
