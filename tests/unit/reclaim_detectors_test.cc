// SPDX-License-Identifier: Apache-2.0

// Page cache thrash, watermarks, direct reclaim, fragmentation and swapping: on whom they hold, and on whom not.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/unit/reclaim_host.h"

namespace tidegauge::heuristics {
namespace {

using tidegauge::testing::ReclaimHost;

constexpr double kGiB = ReclaimHost::kGiB;

bool is_ruled_out(const Finding& finding, std::string_view what) {
  return std::any_of(finding.ruled_out.begin(), finding.ruled_out.end(), [&](const RuledOut& one) {
    return one.alternative.find(what) != std::string::npos;
  });
}

double figure_of(const Finding& finding, std::string_view what) {
  for (const Evidence& one : finding.evidence) {
    if (one.what.find(what) != std::string::npos) {
      return one.value;
    }
  }
  return kUnknown;
}

// 16 GiB, most of it page cache; two disks; an importer, and a shop whose mapped files are on the slow disk.
class CacheHost : public ReclaimHost {
 public:
  CacheHost() {
    memory("MemTotal", 16 * kGiB);
    memory("MemFree", 0.1 * kGiB);
    memory("MemAvailable", 12 * kGiB);
    memory("Cached", 12 * kGiB);
    memory("AnonPages", 3 * kGiB);
    memory("Shmem", 0.1 * kGiB);
    memory("SwapTotal", 0);
    memory("SwapFree", 0);
    for (const char* name :
         {"pgpgin", "pgpgout", "pswpin", "pswpout", "pgmajfault", "pgscan_direct", "pgsteal_direct",
          "pgsteal_kswapd", "pgscan_kswapd", "workingset_refault_file"}) {
      vmstat(name, 0);
    }
    vmstat("pgpgout", 1000);
    psi(0, 0);
    disk("nvme0n1", 5, 100'000, 0.0002);
    disk("sda", 1, 20'000, 0.008, 1'000'000);
    group("importer", "page_faults_total", 0, {{"kind", "major"}});
    group("shop", "page_faults_total", 0, {{"kind", "major"}});
    group("importer", "storage_read_bytes_total", 0);
    process_read("42", "importer", "importer", 0);
  }
  // 800 MB/s through the cache.
  void stream() {
    disk("nvme0n1", 6000, 800e6, 0.0002);
    vmstat("pgpgin", 800e6 / 1024);
    vmstat("pgscan_kswapd", 240'000);
    vmstat("pgsteal_kswapd", 195'000);
    group("importer", "storage_read_bytes_total", 799e6);
    process_read("42", "importer", "importer", 798e6);
  }
  void hurt() {
    disk("sda", 250, 6e6, 0.02, 1'000'000);
    vmstat("pgmajfault", 240);
    vmstat("workingset_refault_file", 1300);
    group("shop", "page_faults_total", 238, {{"kind", "major"}});
  }
};

TEST(PageCacheThrash, ReaderVictimsAndLead) {
  CacheHost host;
  host.pass(60);
  host.rate("diskstats", "node_disk_reads_completed_total", {{"device", "nvme0n1"}}, 6000);
  host.rate("diskstats", "node_disk_read_bytes_total", {{"device", "nvme0n1"}}, 800e6);
  host.pass(10);  // the cache fills what is free
  host.stream();
  host.pass(3);
  host.hurt();
  host.pass(8);
  const Findings found = host.ask(detect_page_cache_thrash);
  ASSERT_EQ(found.size(), 1U);
  const Finding& finding = found[0];
  EXPECT_EQ(finding.causes[0].pid, "42");
  EXPECT_EQ(finding.causes[0].comm, "importer");
  EXPECT_EQ(finding.causes[0].device, "nvme0n1");
  EXPECT_GT(*finding.causes[0].share, 0.9);
  ASSERT_EQ(finding.victims.size(), 2U);
  EXPECT_EQ(finding.victims[0].group, "shop");
  EXPECT_EQ(finding.victims[1].device, "sda");
  EXPECT_NEAR(figure_of(finding, "lead of the reads"), 10, 1.01);
  EXPECT_NEAR(static_cast<double>(host.scene().boottime_ns() - finding.onset_ns) / 1e9, 11, 1.01);
  EXPECT_TRUE(is_ruled_out(finding, "anonymous"));
  EXPECT_TRUE(is_ruled_out(finding, "swapping"));
  EXPECT_TRUE(is_ruled_out(finding, "direct reclaim"));
  EXPECT_GE(finding.confidence, 0.8);
  EXPECT_TRUE(std::is_sorted(
      finding.timeline.begin(), finding.timeline.end(),
      [](const Moment& a, const Moment& b) { return a.boottime_ns < b.boottime_ns; }));
  EXPECT_NE(finding.sentence.find("importer"), std::string::npos);
}

TEST(PageCacheThrash, ABackupThatStreamsHurtsNobody) {
  CacheHost host;
  host.pass(60);
  host.stream();
  EXPECT_TRUE(host.ask_for(detect_page_cache_thrash, 60).empty());
  // It reads the same files again: refaults, of its own alone.
  host.vmstat("workingset_refault_file", 190'000);
  EXPECT_TRUE(host.ask_for(detect_page_cache_thrash, 60).empty());
}

TEST(PageCacheThrash, FaultsWithoutReclaimAreNone) {
  CacheHost host;
  host.pass(60);
  host.hurt();
  EXPECT_TRUE(host.ask_for(detect_page_cache_thrash, 30).empty()) << "a program starts";
}

TEST(PageCacheThrash, GrowingAnonymousMemoryIsAnotherMatter) {
  CacheHost host;
  host.pass(60);
  host.stream();
  host.hurt();
  for (int i = 0; i < 15; ++i) {
    host.memory("AnonPages", 3 * kGiB + i * 500e6);
    host.step();
    EXPECT_TRUE(host.ask(detect_page_cache_thrash).empty());
  }
}

TEST(PageCacheThrash, WritesFillItAndSoDoesSwap) {
  CacheHost host;
  host.pass(60);
  host.stream();
  host.hurt();
  host.vmstat("pgpgin", 20e6 / 1024);
  EXPECT_TRUE(host.ask_for(detect_page_cache_thrash, 20).empty());
  host.stream();
  host.vmstat("pswpout", 60'000);
  EXPECT_TRUE(host.ask_for(detect_page_cache_thrash, 20).empty());
}

TEST(PageCacheThrash, OneDiskForBoth) {
  CacheHost host;
  host.pass(60);
  host.stream();
  host.hurt();
  host.disk("sda", 0, 0, 0);
  host.disk("nvme0n1", 6250, 806e6, 0.004);
  host.pass(10);
  const Findings found = host.ask(detect_page_cache_thrash);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes[0].pid, "42");
  EXPECT_EQ(found[0].victims[0].group, "shop");
}

TEST(PageCacheThrash, StackedDevicesAreTheirDisks) {
  CacheHost host;
  host.pass(60);
  host.stream();
  host.hurt();
  host.disk("dm-0", 6000, 800e6, 0.0002);
  host.disk("md1", 250, 6e6, 0.02);
  host.pass(10);
  const Findings found = host.ask(detect_page_cache_thrash);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes[0].device, "nvme0n1");
}

TEST(PageCacheThrash, NamesOfKernel44WithoutRefaults) {
  ReclaimHost old;
  old.memory("MemTotal", 16 * kGiB);
  old.memory("MemFree", 1 * kGiB);
  old.memory("Buffers", 0.1 * kGiB);
  old.memory("Cached", 12 * kGiB);
  old.memory("AnonPages", 2 * kGiB);
  for (const char* name : {"pgscan_kswapd_normal", "pgscan_kswapd_dma32", "pgsteal_kswapd_normal",
                           "pgmajfault", "pgpgin", "allocstall"}) {
    old.vmstat(name, 0);
  }
  old.disk("sdb", 1, 4096, 0.001);
  old.disk("sda", 1, 4096, 0.008);
  old.pass(60);
  old.vmstat("pgscan_kswapd_normal", 200'000);
  old.vmstat("pgsteal_kswapd_normal", 190'000);
  old.vmstat("pgpgin", 780e3);
  old.vmstat("pgmajfault", 300);
  old.disk("sdb", 6000, 790e6, 0.0005);
  old.disk("sda", 240, 5e6, 0.03);
  old.pass(10);
  const Findings found = old.ask(detect_page_cache_thrash);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes[0].device, "sdb");
  EXPECT_EQ(found[0].victims.back().device, "sda");
  EXPECT_FALSE(found[0].unchecked.empty());
}

// Case D as sar had it: samples of ten minutes, kernel 2.6.32, nothing but sar -B and sar -d.
TEST(PageCacheThrash, SamplesOfTenMinutes) {
  struct Row {
    double pgpgin, majflt, scanned, stolen;
    double sda_tps, sda_sectors, sda_await, sdb_tps, sdb_sectors, sdb_await, vgca_tps, vgca_sectors;
  };
  const Row rows[] = {
      {3152.86, 0.30, 0, 0, 33.5, 0.17, 0.093, 33.4, 0, 0.090, 293, 1612},
      {626.94, 0.18, 0, 0, 33.5, 0.17, 0.093, 33.4, 0, 0.090, 293, 1612},
      {806.48, 0.17, 0, 0, 33.67, 0.17, 0.0936, 33.45, 0, 0.0908, 293.07, 1612.8},
      {694031.81, 633.88, 375196.37, 179629.27, 299.14, 12397.52, 0.0628, 327.01, 12111.43, 0.0468,
       7415.11, 1363553.94},
      {730073.18, 697.53, 217153.60, 182609.96, 338.76, 17134.08, 0.0607, 335.46, 12174.72, 0.0440,
       7773.22, 1430843.15},
      {733912.09, 633.97, 213713.31, 183655.17, 313.41, 16458.11, 0.0664, 308.15, 11905.36, 0.0510,
       7765.77, 1439454.04},
  };
  ReclaimHost host;
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    const Row& row = rows[i];
    host.vmstat("pgpgin", row.pgpgin);
    host.vmstat("pgpgout", 2000);
    host.vmstat("pgmajfault", row.majflt);
    host.vmstat("pgscan_kswapd", row.scanned);
    host.vmstat("pgscan_direct", 0);
    host.vmstat("pgsteal_kswapd", row.stolen);
    const auto share = [](double sectors) { return sectors / (sectors + 1100); };
    host.disk("sda", row.sda_tps * share(row.sda_sectors), row.sda_sectors * 512, row.sda_await,
              1100 * 512);
    host.disk("sdb", row.sdb_tps * share(row.sdb_sectors), row.sdb_sectors * 512, row.sdb_await,
              1100 * 512);
    host.disk("vgca0", row.vgca_tps, row.vgca_sectors * 512, 0.00009, 3000 * 512);
    host.step(600);
    const Findings found = host.ask(detect_page_cache_thrash);
    ASSERT_EQ(found.size(), i >= 3 ? 1U : 0U) << i;
    if (i < 3) {
      continue;
    }
    const Finding& finding = found[0];
    EXPECT_EQ(finding.causes[0].device, "vgca0");
    ASSERT_EQ(finding.victims.size(), 2U);
    EXPECT_NE(finding.victims[0].device, finding.victims[1].device);
    for (const Party& victim : finding.victims) {
      EXPECT_TRUE(victim.device == "sda" || victim.device == "sdb") << victim.device;
    }
    EXPECT_TRUE(is_ruled_out(finding, "anonymous"));
    EXPECT_TRUE(is_ruled_out(finding, "swapping"));
    EXPECT_TRUE(is_ruled_out(finding, "direct reclaim"));
    EXPECT_TRUE(std::any_of(
        finding.unchecked.begin(), finding.unchecked.end(),
        [](const std::string& one) { return one.find("10 min apart") != std::string::npos; }));
    EXPECT_NEAR(static_cast<double>(host.scene().boottime_ns() - finding.onset_ns) / 1e9,
                600.0 * static_cast<double>(i - 2), 2);
    EXPECT_EQ(finding.sentence.find("unknown"), std::string::npos) << finding.sentence;
  }
}

TEST(ReclaimDetectors, NothingIsSaidOfNothing) {
  const Detector detectors[] = {detect_page_cache_thrash,
                                detect_memory_watermark_pressure,
                                detect_direct_reclaim_stall,
                                detect_memory_fragmentation,
                                detect_swap_thrash,
                                detect_memory_leak_suspected,
                                detect_oom_risk,
                                detect_oom_kill,
                                detect_cgroup_memory_limit};
  ReclaimHost empty;
  CacheHost quiet;
  CacheHost reset;
  for (const Detector detector : detectors) {
    EXPECT_TRUE(empty.ask(detector).empty());
  }
  empty.pass(20);
  quiet.pass(100);
  reset.pass(30);
  for (const char* name : {"pgpgin", "pgscan_kswapd", "pgsteal_kswapd", "pgmajfault"}) {
    reset.host().set("vmstat", std::string("node_vmstat_") + name, {}, 1e12);
  }
  reset.pass(20);
  for (const char* name : {"pgpgin", "pgscan_kswapd", "pgsteal_kswapd", "pgmajfault"}) {
    reset.host().set("vmstat", std::string("node_vmstat_") + name, {}, 0);
  }
  reset.pass(20);
  for (const Detector detector : detectors) {
    EXPECT_TRUE(empty.ask(detector).empty());
    EXPECT_TRUE(quiet.ask(detector).empty());
    EXPECT_TRUE(reset.ask(detector).empty());
  }
}

TEST(WatermarkPressure, AnonymousMemoryAtTheMarks) {
  CacheHost host;
  host.group_anon("batch", 2 * kGiB);
  host.process_anon("7", "batch", "batch", 2 * kGiB);
  host.pass(60);
  host.memory("MemAvailable", 1.2 * kGiB);
  host.vmstat("pgscan_kswapd", 50'000);
  host.vmstat("pgsteal_kswapd", 20'000);
  host.vmstat("pgscan_direct", 5000);
  host.psi(0.2, 0.1);
  for (int i = 0; i < 12; ++i) {
    host.memory("AnonPages", 11 * kGiB + i * 60e6);
    host.group_anon("batch", 8 * kGiB + i * 60e6);
    host.process_anon("7", "batch", "batch", 8 * kGiB + i * 60e6);
    host.step();
  }
  const Findings found = host.ask(detect_memory_watermark_pressure);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes[0].pid, "7");
  EXPECT_NEAR(static_cast<double>(host.scene().boottime_ns() - found[0].onset_ns) / 1e9, 12, 1.01);
}

// `on` seconds of reclaim, then `off` without, again and again: what was found in so many.
Findings reclaim_in_bursts(int on, int off, int seconds) {
  CacheHost host;
  host.pass(60);
  host.memory("MemAvailable", 1.2 * kGiB);
  Findings out;
  for (int i = 0; i < seconds; ++i) {
    const bool reclaims = off == 0 ? i < on : i % (on + off) < on;
    host.vmstat("pgscan_kswapd", reclaims ? 50'000 : 0);
    host.vmstat("pgsteal_kswapd", reclaims ? 20'000 : 0);
    host.vmstat("pgscan_direct", reclaims ? 5000 : 0);
    host.psi(reclaims ? 0.4 : 0, 0);
    host.memory("AnonPages", (reclaims ? 11.5 : 11) * kGiB);
    host.step();
    if (Findings found = host.ask(detect_memory_watermark_pressure); !found.empty()) {
      out = std::move(found);
    }
  }
  return out;
}

TEST(WatermarkPressure, ReclaimThatRecursCountsAndOneBurstDoesNot) {
  EXPECT_EQ(reclaim_in_bursts(1, 3, 20).size(), 1U);
  EXPECT_TRUE(reclaim_in_bursts(3, 0, 20).empty());
}

TEST(WatermarkPressure, AFullPageCacheIsHealthy) {
  CacheHost host;
  host.pass(60);
  host.stream();
  host.psi(0.2, 0.1);
  host.vmstat("pgscan_direct", 5000);
  EXPECT_TRUE(host.ask_for(detect_memory_watermark_pressure, 40).empty());
  EXPECT_TRUE(host.ask(detect_direct_reclaim_stall).empty())
      << "nobody is timed, and three quarters are available";
}

TEST(DirectReclaim, WhoStallsAndWhoTakes) {
  CacheHost host;
  host.rate("ebpf_memory", "tidegauge_reclaim_stall_seconds|_sum",
            {{"group", "shop"}, {"kind", "direct"}}, 0);
  host.pass(60);
  host.vmstat("pgscan_direct", 4000);
  host.vmstat("pgsteal_direct", 3000);
  host.vmstat("allocstall_normal", 60);
  host.vmstat("pgscan_kswapd", 9000);
  host.psi(0.3, 0.1);
  host.rate("ebpf_memory", "tidegauge_reclaim_stall_seconds|_sum",
            {{"group", "shop"}, {"kind", "direct"}}, 0.3);
  host.group_anon("batch", 2 * kGiB);
  for (int i = 0; i < 12; ++i) {
    host.group_anon("batch", 2 * kGiB + i * 200e6);
    host.memory("AnonPages", 3 * kGiB + i * 200e6);
    host.step();
  }
  const Findings found = host.ask(detect_direct_reclaim_stall);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].victims[0].group, "shop");
  EXPECT_EQ(found[0].causes[0].group, "batch");
  EXPECT_NEAR(figure_of(found[0], "spend in direct reclaim"), 0.3, 0.01);
}

TEST(DirectReclaim, StallsForACgroupsLimitAreNotTheHosts) {
  CacheHost host;
  host.rate("ebpf_memory", "tidegauge_reclaim_stall_seconds|_sum",
            {{"group", "shop"}, {"kind", "memcg"}}, 0.5);
  host.vmstat("pgscan_direct", 4000);
  host.vmstat("allocstall_normal", 60);
  EXPECT_TRUE(host.ask_for(detect_direct_reclaim_stall, 30).empty());
}

TEST(FragmentationDetector, InVainAndInPieces) {
  CacheHost host;
  for (const char* name : {"compact_stall", "compact_fail", "thp_fault_fallback"}) {
    host.vmstat(name, 0);
  }
  MemoryReading reading;
  reading.fragmentation.push_back(
      {"0", "Normal", std::vector<OrderFragmentation>(11, {-1000, 0}), 10});
  const auto found = [&] { return host.ask(detect_memory_fragmentation, reading).size(); };
  host.pass(30);
  host.vmstat("compact_stall", 40);
  host.vmstat("compact_fail", 2);
  host.pass(20);
  EXPECT_EQ(found(), 0U) << "huge pages come about";
  host.vmstat("compact_fail", 38);
  host.vmstat("thp_fault_fallback", 38);
  host.pass(20);
  EXPECT_EQ(found(), 0U) << "a free block is large enough";
  reading.fragmentation[0].orders[9].fragmentation_index = 120;
  EXPECT_EQ(found(), 0U) << "memory is what is short";
  reading.fragmentation[0].orders[9].fragmentation_index = 930;
  EXPECT_EQ(found(), 1U);
  reading.fragmentation.clear();
  EXPECT_EQ(found(), 1U) << "nobody says how the free blocks are";
}

TEST(SwapThrash, BothWaysAndSomebodyWaits) {
  CacheHost host;
  host.group_anon("matrix", 14 * kGiB);
  host.process_anon("9", "matrix", "matrix", 14 * kGiB);
  host.group("matrix", "page_faults_total", 0, {{"kind", "major"}});
  host.pass(60);
  host.vmstat("pswpout", 5000);
  EXPECT_TRUE(host.ask_for(detect_swap_thrash, 20).empty()) << "idle memory goes out";
  host.vmstat("pswpin", 4000);
  EXPECT_TRUE(host.ask_for(detect_swap_thrash, 20).empty())
      << "nobody waits: compressed memory is fast";
  host.psi(0.6, 0.4);
  host.group("matrix", "page_faults_total", 900, {{"kind", "major"}});
  host.disk("sda", 900, 4000 * 4096.0, 0.01, 5000 * 4096.0);
  host.pass(12);
  const Findings found = host.ask(detect_swap_thrash);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes[0].pid, "9");
  EXPECT_EQ(found[0].causes[0].device, "sda");
  EXPECT_EQ(found[0].victims[0].group, "matrix");
}

}  // namespace
}  // namespace tidegauge::heuristics
