// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/disk_host.h"

namespace tidegauge::heuristics {
namespace {

// ---- disk_saturated ----

DiskHost slow_disk() {
  DiskHost host;
  host.disk("sda", 0, 150, 4096, 0.030, 0.95);
  host.pressure_io(0.6);
  host.process("77", "writer", "app", 600e3, 0.05);
  host.uses_disk("sda", "app", 0.9);
  host.uses_disk("sda", "mail", 0.1);
  return host;
}

TEST(DiskSaturated, ASlowDiskWithAQueueIs) {
  DiskHost host = slow_disk();
  host.run(20);
  const Findings found = host.find(detect_disk_saturated);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].instance, "sda");
  ASSERT_FALSE(found[0].causes.empty());
  EXPECT_EQ(found[0].causes[0].group, "app");
  EXPECT_NEAR(found[0].causes[0].share.value_or(0), 0.9, 0.01);
  ASSERT_FALSE(found[0].victims.empty());
  EXPECT_EQ(found[0].victims[0].group, "mail");
  EXPECT_GE(found[0].confidence, 0.8);
  EXPECT_NE(found[0].sentence.find("by writes"), std::string::npos) << found[0].sentence;
  EXPECT_EQ(found[0].sentence.find("unknown"), std::string::npos) << found[0].sentence;
}

TEST(DiskSaturated, AFastOneIsNot) {
  DiskHost host;
  host.disk("nvme0n1", 10000, 0, 4096, 0.0002, 1.0);
  host.pressure_io(0.9);
  host.run(20);
  EXPECT_TRUE(host.find(detect_disk_saturated).empty());
}

TEST(DiskSaturated, NotWhenNobodyWaits) {
  DiskHost host = slow_disk();
  host.pressure_io(0.01);
  host.run(20);
  EXPECT_TRUE(host.find(detect_disk_saturated).empty());
}

TEST(DiskSaturated, NotWhenOnlyTheCopyItselfIsHeldBack) {
  DiskHost host;
  host.disk("sda", 0, 150, 1e6, 0.5, 0.99);
  host.pressure_io(0.9);
  host.process("77", "cp", "backup", 150e6, 0.1);
  host.uses_disk("sda", "backup", 0.99);
  host.rate("ebpf_memory", "tidegauge_dirty_throttle_seconds_total", {{"group", "backup"}}, 0.95);
  host.run(20);
  EXPECT_TRUE(host.find(detect_disk_saturated).empty()) << "dirty_throttling says it";
  host.uses_disk("sda", "mail", 0.2);
  host.run(20);
  EXPECT_EQ(host.find(detect_disk_saturated).size(), 1U) << "somebody else stands in the queue";
}

TEST(DiskSaturated, MeasuredAgainstItsOwnPast) {
  DiskHost usual;
  usual.disk("sda", 0, 200, 4096, 0.02, 0.95);
  usual.pressure_io(0.6);
  usual.run(60 * 15);
  EXPECT_EQ(usual.find(detect_disk_saturated).size(), 1U) << "it has been so ever since";
  DiskHost host;
  host.disk("sda", 0, 100, 4096, 0.0005, 0.05);
  host.run(60 * 15);
  host.disk("sda", 0, 1000, 4096, 0.004, 0.97);
  host.pressure_io(0.6);
  host.run(15);
  const Findings found = host.find(detect_disk_saturated);
  ASSERT_EQ(found.size(), 1U) << "4 ms are much for it";
  EXPECT_NEAR(host.ago(found[0].onset_ns), 15, 1.1);
  EXPECT_NE(found[0].sentence.find("usually 500 us"), std::string::npos) << found[0].sentence;
}

TEST(DiskSaturated, WithoutBpfOrPsiItSaysSo) {
  DiskHost host;
  host.disk("sda", 0, 150, 4096, 0.030, 0.95);
  host.gauge("stat", "node_procs_blocked", {}, 3);
  host.process("77", "writer", "app", 600e3, 0.05);
  host.run(20);
  const Findings found = host.find(detect_disk_saturated);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_LT(found[0].confidence, 0.8);
  EXPECT_GE(found[0].unchecked.size(), 2U);
  ASSERT_FALSE(found[0].causes.empty());
  EXPECT_EQ(found[0].causes[0].comm, "writer");
}

TEST(DiskSaturated, PartitionsAndMappingsAreNot) {
  DiskHost host = slow_disk();
  host.disk("sda1", 0, 150, 4096, 0.030, 0.95);
  host.disk("dm-0", 0, 150, 4096, 0.030, 0.95);
  host.disk("loop3", 0, 150, 4096, 0.030, 0.95);
  host.run(20);
  EXPECT_EQ(host.find(detect_disk_saturated).size(), 1U);
}

TEST(DiskSaturated, NothingKnownNothingFound) {
  DiskHost host;
  EXPECT_TRUE(host.find(detect_disk_saturated).empty());
  host.disk("sda", 0, 0, 0, 0, 0);
  host.run(20);
  EXPECT_TRUE(host.find(detect_disk_saturated).empty());
  host.run(3, 0);
  EXPECT_TRUE(host.find(detect_disk_saturated).empty());
}

TEST(DiskSaturated, ACounterThatBeginsAnewIsNoLoad) {
  DiskHost host;
  host.disk("sda", 0, 10, 4096, 0.001, 0.02);
  host.pressure_io(0.5);
  host.run(20);
  for (const char* family :
       {"node_disk_writes_completed_total", "node_disk_io_time_seconds_total"}) {
    host.host_.set("diskstats", family, {{"device", "sda"}}, 0);
  }
  host.run(5);
  EXPECT_TRUE(host.find(detect_disk_saturated).empty());
}

// ---- disk_hung ----

TEST(DiskHung, RequestsInFlightAndNoneCompleted) {
  DiskHost host;
  host.disk("sda", 10, 50, 4096, 0.005, 0.3, 1);
  host.gauge("process", "tidegauge_uninterruptible_threads", {}, 0);
  host.run(30);
  EXPECT_TRUE(host.find(detect_disk_hung).empty());
  host.disk("sda", 0, 0, 0, 0, 0, 4);
  host.gauge("process", "tidegauge_uninterruptible_threads", {}, 2);
  host.gauge("process", "tidegauge_stuck_threads",
             {{"group", "[jbd2/sda-8]"}, {"wchan", "jbd2_journal_commit_transaction"}}, 1);
  host.gauge("process", "tidegauge_stuck_threads",
             {{"group", "postgres"}, {"wchan", "folio_wait_bit_common"}}, 3);
  host.run(4);
  EXPECT_TRUE(host.find(detect_disk_hung).empty()) << "not yet";
  host.run(4);
  const Findings found = host.find(detect_disk_hung);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].instance, "sda");
  EXPECT_NEAR(host.ago(found[0].onset_ns), 8, 0.1);
  ASSERT_EQ(found[0].victims.size(), 2U);
  EXPECT_EQ(found[0].victims[0].group, "postgres") << "programs first";
  EXPECT_GE(found[0].confidence, 0.9);
}

TEST(DiskHung, OneSlowRequestASecondIsNot) {
  DiskHost host;
  host.disk("sda", 0, 0.4, 4096, 2.0, 1, 1);
  host.gauge("process", "tidegauge_uninterruptible_threads", {}, 1);
  host.run(30);
  EXPECT_TRUE(host.find(detect_disk_hung).empty());
}

TEST(DiskHung, DiscardsAreRequestsToo) {
  DiskHost host;
  host.disk("sda", 0, 0, 0, 0, 1, 2);
  host.gauge("process", "tidegauge_uninterruptible_threads", {}, 1);
  host.rate("diskstats", "node_disk_discards_completed_total", {{"device", "sda"}}, 3);
  host.run(30);
  EXPECT_TRUE(host.find(detect_disk_hung).empty());
}

TEST(DiskHung, ALostCountOfRequestsIsNot) {
  DiskHost host;
  host.disk("sda", 10, 10, 4096, 0.001, 0.02, 1);
  host.gauge("process", "tidegauge_uninterruptible_threads", {}, 0);
  host.pressure_io(0);
  host.run(1000);
  host.disk("sda", 0, 0, 0, 0, 0, 1);
  host.run(20);
  EXPECT_TRUE(host.find(detect_disk_hung).empty());
}

// ---- disk_burst ----

class BurstHost : public DiskHost {
 public:
  // One second of a burst, then four without.
  void burst(double requests, double bytes) {
    disk("sda", 0, requests, bytes / requests, 0.0005, 0.2);
    peak(0.98, requests * 5);
    run(1);
    quiet(4);
  }
  void quiet(int seconds) {
    disk("sda", 0, 1, 4096, 0.0005, 0.01);
    peak(0.02, 10);
    run(seconds);
  }

 private:
  void peak(double busy, double requests) {
    gauge("ebpf_block", "tidegauge_block_second_peak_busy_ratio", {{"device", "sda"}}, busy);
    gauge("ebpf_block", "tidegauge_block_second_peak_requests_per_second", {{"device", "sda"}},
          requests);
  }
};

TEST(DiskBurst, RecurringOnesWithWhoMakesThem) {
  BurstHost host;
  host.gauge(
      "ebpf_block", "tidegauge_block_peak_user_ratio",
      {{"device", "sda"}, {"group", "agent"}, {"pid", "9"}, {"comm", "agent"}, {"reason", ""}},
      0.95);
  host.quiet(20);
  host.burst(350, 5e6);
  host.burst(350, 5e6);
  EXPECT_TRUE(host.find(detect_disk_burst).empty()) << "two are not yet a habit";
  host.burst(350, 5e6);
  host.burst(350, 5e6);
  const Findings found = host.find(detect_disk_burst);
  ASSERT_EQ(found.size(), 1U);
  ASSERT_FALSE(found[0].causes.empty());
  EXPECT_EQ(found[0].causes[0].comm, "agent");
  EXPECT_EQ(found[0].causes[0].pid, "9");
  EXPECT_NEAR(host.ago(found[0].onset_ns), 20, 1.1);
  EXPECT_NE(found[0].sentence.find("every 5"), std::string::npos) << found[0].sentence;
  EXPECT_GE(found[0].confidence, 0.8);
}

TEST(DiskBurst, ACommitOfTheJournalIsNoneWorthAWord) {
  BurstHost host;
  for (int i = 0; i < 10; ++i) {
    host.burst(12, 50e3);
  }
  EXPECT_TRUE(host.find(detect_disk_burst).empty());
}

TEST(DiskBurst, WritebackIsNone) {
  BurstHost host;
  for (int i = 0; i < 10; ++i) {
    host.gauge("meminfo", "node_memory_Dirty_bytes", {}, 20e6);
    host.quiet(1);
    host.gauge("meminfo", "node_memory_Dirty_bytes", {}, 1e6);
    host.burst(400, 20e6);
  }
  EXPECT_TRUE(host.find(detect_disk_burst).empty());
}

TEST(DiskBurst, NoneWithoutASampler) {
  DiskHost host;
  host.disk("sda", 0, 400, 16e3, 0.0005, 0.2);
  host.run(60);
  EXPECT_TRUE(host.find(detect_disk_burst).empty());
}

// ---- iowait_unexplained ----

TEST(IowaitUnexplained, OneCpuWaitsAndNoDiskIsBusy) {
  DiskHost host;
  host.iowait("0", 0.02);
  host.iowait("1", 0.01);
  host.disk("sda", 0, 490, 5400, 0.00176, 0.0);
  host.run(30);
  EXPECT_TRUE(host.find(detect_iowait_unexplained).empty());
  host.iowait("0", 0.847);
  host.run(20);
  const Findings found = host.find(detect_iowait_unexplained);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NEAR(host.ago(found[0].onset_ns), 20, 0.1);
  EXPECT_NE(found[0].sentence.find("CPU 0"), std::string::npos) << found[0].sentence;
  EXPECT_GE(found[0].unchecked.size(), 3U) << "what would have told";
  Findings others;
  others.emplace_back().id = VerdictId::kSyncBoundProcess;
  EXPECT_EQ(host.find(detect_iowait_unexplained, others).size(), 1U) << "the other one explains it";
}

TEST(IowaitUnexplained, AProgramThatReadsIsExplained) {
  DiskHost host;
  host.iowait("0", 0.9);
  host.iowait("1", 0.1);
  host.disk("sda", 900, 0, 128e3, 0.001, 0.9);
  host.uses_disk("sda", "backup", 0.9);
  host.run(30);
  EXPECT_TRUE(host.find(detect_iowait_unexplained).empty());
}

}  // namespace
}  // namespace tidegauge::heuristics
