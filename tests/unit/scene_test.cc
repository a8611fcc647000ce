// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/scene.h"

#include <gtest/gtest.h>

#include "tests/unit/fake_host.h"

namespace tidegauge::heuristics {
namespace {

using tidegauge::testing::FakeHost;

TEST(Scene, RatesOfCountersAndSumsOverCpus) {
  FakeHost host;
  Scene scene;
  host.set("cpu", "node_cpu_seconds_total", {{"cpu", "0"}, {"mode", "user"}}, 100);
  host.set("cpu", "node_cpu_seconds_total", {{"cpu", "1"}, {"mode", "user"}}, 50);
  EXPECT_TRUE(scene.update(host.tick()));
  EXPECT_FALSE(is_known(scene.now(Signal::kHostUser))) << "one reading is no rate";
  host.add("cpu", "node_cpu_seconds_total", {{"cpu", "0"}, {"mode", "user"}}, 1);
  host.add("cpu", "node_cpu_seconds_total", {{"cpu", "1"}, {"mode", "user"}}, 0.5);
  scene.update(host.tick(2));
  EXPECT_DOUBLE_EQ(scene.now(Signal::kHostUser), 0.75);
  const Subject* cpu = scene.find(Kind::kCpu, {"1"});
  ASSERT_NE(cpu, nullptr);
  EXPECT_DOUBLE_EQ(Scene::now(*cpu, Signal::kCpuUser), 0.25);
  EXPECT_FALSE(is_known(Scene::now(*cpu, Signal::kCpuSystem))) << "nobody says so";
  EXPECT_FALSE(scene.has(Signal::kCpuSystem));
}

TEST(Scene, AnOlderSnapshotChangesNothing) {
  FakeHost host;
  Scene scene;
  host.set("meminfo", "node_memory_MemFree_bytes", {}, 1000);
  const Snapshot first = host.tick();
  host.set("meminfo", "node_memory_MemFree_bytes", {}, 2000);
  EXPECT_TRUE(scene.update(host.tick()));
  EXPECT_FALSE(scene.update(first));
  EXPECT_DOUBLE_EQ(scene.now(Signal::kMemFree), 2000);
}

TEST(Scene, ACounterThatFellHasNoRate) {
  FakeHost host;
  Scene scene;
  host.set("vmstat", "node_vmstat_pgmajfault", {}, 1000);
  scene.update(host.tick());
  host.set("vmstat", "node_vmstat_pgmajfault", {}, 10);
  scene.update(host.tick());
  EXPECT_FALSE(is_known(scene.now(Signal::kMajorFaults)));
  host.add("vmstat", "node_vmstat_pgmajfault", {}, 5);
  scene.update(host.tick());
  EXPECT_DOUBLE_EQ(scene.now(Signal::kMajorFaults), 5);
}

TEST(Scene, RowsThatComeAndGoKeepTheOthersRates) {
  FakeHost host;
  Scene scene;
  const FakeHost::Labels a{{"device", "sda"}, {"group", "a"}, {"operation", "write"}};
  const FakeHost::Labels b{{"device", "sda"}, {"group", "b"}, {"operation", "write"}};
  host.set("ebpf_block", "tidegauge_block_attributed_busy_seconds_total", b, 10);
  scene.update(host.tick());
  host.add("ebpf_block", "tidegauge_block_attributed_busy_seconds_total", b, 0.25);
  host.set("ebpf_block", "tidegauge_block_attributed_busy_seconds_total", a, 0.5);
  scene.update(host.tick());
  EXPECT_DOUBLE_EQ(Scene::now(*scene.find(Kind::kGroupDisk, {"sda", "b"}), Signal::kGroupDiskBusy),
                   0.25);
  EXPECT_DOUBLE_EQ(Scene::now(*scene.find(Kind::kGroupDisk, {"sda", "a"}), Signal::kGroupDiskBusy),
                   0.5)
      << "a series of BPF that is new began at 0";
}

TEST(Scene, AProcessThatBecomesVisibleHasNoRateYet) {
  FakeHost host;
  Scene scene;
  const FakeHost::Labels one{{"pid", "1"}, {"comm", "init"}, {"group", "init"}};
  const FakeHost::Labels two{{"pid", "2"}, {"comm", "old"}, {"group", "old"}};
  host.set("process", "tidegauge_process_storage_read_bytes_total", one, 10);
  scene.update(host.tick());
  host.set("process", "tidegauge_process_storage_read_bytes_total", two, 1e12);
  scene.update(host.tick());
  EXPECT_FALSE(
      is_known(Scene::now(*scene.find(Kind::kProcess, {"2", "old"}), Signal::kProcessRead)));
}

TEST(Scene, MeansOfWindowsAndSince) {
  FakeHost host;
  Scene scene;
  for (int i = 0; i < 60; ++i) {
    host.set("stat", "node_procs_blocked", {}, i < 40 ? 0 : 4);
    scene.update(host.tick());
  }
  EXPECT_DOUBLE_EQ(scene.mean(Signal::kBlocked, 10), 4);
  EXPECT_DOUBLE_EQ(scene.mean(Signal::kBlocked, 40), 2);
  EXPECT_DOUBLE_EQ(scene.mean(Signal::kBlocked, 20, 20), 0);
  const auto since = scene.at_least_since(scene.host(), Signal::kBlocked, 1);
  ASSERT_TRUE(since);
  EXPECT_EQ(host.boottime_ns() - *since, 20'000'000'000);
}

TEST(Scene, TicksOfTenMinutes) {
  FakeHost host;
  Scene scene;
  for (int i = 0; i < 5; ++i) {
    host.add("vmstat", "node_vmstat_pgmajfault", {}, i < 3 ? 0 : 600 * 600);
    scene.update(host.tick(600));
  }
  EXPECT_DOUBLE_EQ(scene.mean(Signal::kMajorFaults, 10), 600)
      << "the last tick stands for every shorter window";
  const auto since = scene.at_least_since(scene.host(), Signal::kMajorFaults, 100);
  ASSERT_TRUE(since);
  EXPECT_EQ(host.boottime_ns() - *since, 1'200'000'000'000);
  EXPECT_DOUBLE_EQ(scene.axis().resolution_seconds(900), 600);
}

TEST(Scene, ADeadCollectorLeavesNoValues) {
  FakeHost host;
  Scene scene;
  host.set("meminfo", "node_memory_MemFree_bytes", {}, 1000);
  scene.update(host.tick());
  EXPECT_TRUE(scene.has(Signal::kMemFree));
  host.fail("meminfo");
  scene.update(host.tick());
  EXPECT_FALSE(scene.has(Signal::kMemFree));
}

TEST(Scene, KeptTracksAreBounded) {
  FakeHost host;
  Scene scene;
  for (int tick = 0; tick < 5; ++tick) {
    for (int i = 0; i < 3000; ++i) {
      host.add("process", "tidegauge_group_storage_read_bytes_total",
               {{"group", "g" + std::to_string(i)}}, 10);
    }
    scene.update(host.tick());
  }
  EXPECT_LE(scene.tracks(), 480U);
  EXPECT_GT(scene.tracks_refused(), 0U);
  EXPECT_DOUBLE_EQ(scene.mean(*scene.find(Kind::kGroup, {"g2999"}), Signal::kGroupRead, 10), 10)
      << "what is not kept is what it is now";
}

TEST(Scene, QuantilesOfRecentRequests) {
  RecentHistogram histogram{{0.001, 0.002, 0.004}, {10, 80, 10}};
  EXPECT_NEAR(histogram.quantile(0.5), 0.0015, 1e-9);
  EXPECT_NEAR(histogram.quantile(0.99), 0.0038, 1e-9);
  EXPECT_FALSE(is_known(histogram.quantile(0.5, 1000)));
}

TEST(Scene, SubjectsAreForgotten) {
  FakeHost host;
  Scene scene;
  host.set("diskstats", "node_disk_io_time_seconds_total", {{"device", "sdz"}}, 1);
  scene.update(host.tick());
  host.set("diskstats", "node_disk_io_time_seconds_total", {{"device", "sda"}}, 1);
  host.remove("diskstats", "node_disk_io_time_seconds_total");
  host.set("diskstats", "node_disk_io_time_seconds_total", {{"device", "sda"}}, 1);
  for (int i = 0; i < 5; ++i) {
    scene.update(host.tick(600));
  }
  EXPECT_EQ(scene.find(Kind::kDisk, {"sdz"}), nullptr);
  EXPECT_NE(scene.find(Kind::kDisk, {"sda"}), nullptr);
}

}  // namespace
}  // namespace tidegauge::heuristics
