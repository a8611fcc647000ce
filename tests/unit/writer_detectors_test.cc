// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/disk_host.h"

namespace tidegauge::heuristics {
namespace {

constexpr const char* kThrottle = "tidegauge_dirty_throttle_seconds_total";

// ---- dirty_throttling ----

TEST(DirtyThrottling, NamesWhoFillsMemoryAndWhoPays) {
  DiskHost host;
  host.disk("sda", 0, 60, 1e6, 0.2, 0.98);
  host.process("5", "dump", "dump", 80e6, 0.3);
  host.process("6", "web", "web", 1e6, 0.3);
  host.uses_disk("sda", "dump", 0.9);
  host.run(20);
  EXPECT_TRUE(host.find(detect_dirty_throttling).empty());
  host.rate("ebpf_memory", kThrottle, {{"group", "dump"}}, 0.8);
  host.rate("ebpf_memory", kThrottle, {{"group", "web"}}, 0.3);
  host.memory_.dirty.freerun_ratio = 1.05;
  host.run(15);
  const Findings found = host.find(detect_dirty_throttling);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].instance, "sda");
  ASSERT_EQ(found[0].causes.size(), 1U);
  EXPECT_EQ(found[0].causes[0].comm, "dump");
  ASSERT_EQ(found[0].victims.size(), 1U);
  EXPECT_EQ(found[0].victims[0].comm, "web");
  EXPECT_GE(found[0].confidence, 0.8);
  EXPECT_FALSE(found[0].severity.has_value());
  EXPECT_NEAR(host.ago(found[0].onset_ns), 15, 1.1);
}

TEST(DirtyThrottling, ACopyAloneIsOnlyMentioned) {
  DiskHost host;
  host.disk("sda", 0, 60, 1e6, 0.2, 0.98);
  host.process("5", "cp", "backup", 60e6, 0.3);
  host.rate("ebpf_memory", kThrottle, {{"group", "backup"}}, 0.8);
  host.run(20);
  const Findings found = host.find(detect_dirty_throttling);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].severity, Severity::kInfo);
}

TEST(DirtyThrottling, WithoutBpfByWhatMemorySays) {
  DiskHost host;
  host.disk("sda", 0, 60, 1e6, 0.2, 0.98);
  host.process("5", "dump", "dump", 80e6, 0.3);
  host.pressure_io(0.8);
  host.run(20);
  EXPECT_TRUE(host.find(detect_dirty_throttling).empty());
  host.memory_.dirty.freerun_ratio = 1.0;
  const Findings found = host.find(detect_dirty_throttling);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes.at(0).comm, "dump");
  EXPECT_LT(found[0].confidence, 0.7);
  EXPECT_FALSE(found[0].unchecked.empty());
}

TEST(DirtyThrottling, NothingKnownNothingFound) {
  DiskHost host;
  EXPECT_TRUE(host.find(detect_dirty_throttling).empty());
  host.run(3);
  EXPECT_TRUE(host.find(detect_dirty_throttling).empty());
}

// ---- writer_stalled_in_kernel ----

DiskHost stalled_host() {
  DiskHost host;
  host.disk("sda", 0, 8, 20e3, 0.009, 0.05);
  host.process("291", "dd", "store.service", 118e3, 0.1);
  host.pressure_memory(0.7);
  host.gauge("os", "node_memory_MemTotal_bytes", {}, 1e9);
  host.gauge("os", "node_memory_Shmem_bytes", {}, 0.9e9);
  host.gauge("os", "node_memory_AnonPages_bytes", {}, 0.02e9);
  host.gauge("uname", "node_uname_info", {{"release", "4.4.0-142"}}, 1);
  return host;
}

TEST(WriterStalled, InReclaimBesideAnIdleDisk) {
  DiskHost host = stalled_host();
  host.rate("ebpf_memory", "tidegauge_reclaim_stall_seconds|_sum", {{"group", "store.service"}},
            0.7);
  host.run(20);
  const Findings found = host.find(detect_writer_stalled_in_kernel);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes.at(0).comm, "dd");
  EXPECT_EQ(found[0].causes.at(0).pid, "291");
  EXPECT_EQ(found[0].causes.at(0).device, "sda");
  EXPECT_NE(found[0].sentence.find("4.4.0-142"), std::string::npos) << found[0].sentence;
  EXPECT_NE(found[0].sentence.find("Shmem"), std::string::npos) << found[0].sentence;
  EXPECT_GE(found[0].confidence, 0.8);
}

TEST(WriterStalled, InItsCgroupsLimit) {
  DiskHost host = stalled_host();
  host.rate("cgroup", "tidegauge_cgroup_memory_events_total",
            {{"cgroup", "/system.slice/store.service"}, {"event", "high"}}, 17);
  host.gauge("cgroup", "tidegauge_cgroup_memory_usage_bytes",
             {{"cgroup", "/system.slice/store.service"}}, 165e6);
  host.gauge("cgroup", "tidegauge_cgroup_memory_shmem_bytes",
             {{"cgroup", "/system.slice/store.service"}}, 164e6);
  host.run(20);
  const Findings found = host.find(detect_writer_stalled_in_kernel);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes.at(0).cgroup, "/system.slice/store.service");
}

TEST(WriterStalled, NotOneWhoseDiskIsBusy) {
  DiskHost host = stalled_host();
  host.rate("ebpf_memory", "tidegauge_reclaim_stall_seconds|_sum", {{"group", "store.service"}},
            0.7);
  host.disk("sda", 0, 150, 1e6, 0.1, 0.97);
  host.run(20);
  EXPECT_TRUE(host.find(detect_writer_stalled_in_kernel).empty());
}

TEST(WriterStalled, NotOneThatUsesItsTime) {
  DiskHost host = stalled_host();
  host.rate("ebpf_memory", "tidegauge_reclaim_stall_seconds|_sum", {{"group", "store.service"}},
            0.5);
  host.process("291", "dd", "store.service", 118e3, 0.8);
  host.run(20);
  EXPECT_TRUE(host.find(detect_writer_stalled_in_kernel).empty());
}

TEST(WriterStalled, NotOneThatWritesToSockets) {
  DiskHost host = stalled_host();
  host.rate("ebpf_memory", "tidegauge_reclaim_stall_seconds|_sum", {{"group", "store.service"}},
            0.7);
  host.rate("process", "tidegauge_process_storage_written_bytes_total",
            {{"pid", "291"},
             {"comm", "dd"},
             {"group", "store.service"},
             {"unit", "store.service"},
             {"container", ""}},
            0);
  host.run(20);
  EXPECT_TRUE(host.find(detect_writer_stalled_in_kernel).empty());
}

}  // namespace
}  // namespace tidegauge::heuristics
