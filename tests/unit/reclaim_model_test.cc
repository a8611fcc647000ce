// SPDX-License-Identifier: Apache-2.0

// What the memory model says over Snapshots, and what it leaves out.

#include "daemon/heuristics/reclaim_model.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "collectors/procfs/buddyinfo.h"
#include "collectors/procfs/meminfo.h"
#include "collectors/procfs/vmstat.h"
#include "collectors/procfs/zoneinfo.h"
#include "tests/unit/memory_snapshots.h"
#include "tests/unit/testing.h"

namespace tidegauge::heuristics {
namespace {

using testing::fixture_text;
using testing::kSecondNs;
using testing::MemoryHost;
using testing::poor;
using testing::rich;
using testing::scans;
using testing::series;
using testing::ZoneSpec;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

TEST(MemoryModel, NothingAtAll) {
  MemoryModel model;
  model.update(Snapshot{});
  EXPECT_TRUE(model.reading().zones.empty());
  EXPECT_FALSE(model.reading().reclaim.efficiency_ratio);
  EXPECT_TRUE(series(model).empty());
}

TEST(MemoryModel, AllZero) {
  MemoryModel model;
  MemoryHost host;
  for (const std::int64_t second : {0, 1, 2}) {
    host.begin(second * kSecondNs);
    host.zones({{.free = 0, .min = 0, .low = 0, .high = 0, .managed = 0}});
    host.vmstat({{"pgscan_kswapd", 0},
                 {"pgscan_direct", 0},
                 {"pgsteal_kswapd", 0},
                 {"pgsteal_direct", 0},
                 {"nr_dirty", 0},
                 {"nr_writeback", 0},
                 {"nr_dirty_threshold", 0},
                 {"nr_dirty_background_threshold", 0}});
    host.memory(0);
    host.pressure(0, 0);
    host.ebpf({{"0"}});
    host.buddy({{"Normal", std::vector<std::uint64_t>(11)}});
    model.update(host.snapshot());
  }
  const MemoryReading& reading = model.reading();
  EXPECT_FALSE(reading.page_bytes);
  EXPECT_EQ(reading.reclaim.kswapd_scanned_pages_per_second, 0);
  EXPECT_FALSE(reading.reclaim.efficiency_ratio) << "nothing was scanned";
  EXPECT_FALSE(reading.dirty.freerun_ratio);
  EXPECT_EQ(reading.reclaim.memory_some_ratio, 0);
  EXPECT_EQ(reading.nodes.at(0).kswapd.awake_ratio, 0);
  EXPECT_EQ(reading.nodes.at(0).kswapd.is_awake, false);
  EXPECT_EQ(reading.nodes.at(0).kswapd.reasons, KswapdReasons{});
}

TEST(MemoryModel, RatesAndBytes) {
  MemoryModel model;
  MemoryHost host;
  host.begin(10 * kSecondNs);
  host.zones({rich()});
  host.memory(4096ULL * 1'000'000);
  host.vmstat(scans(1000, 100));
  host.pressure(100, 50);
  host.ebpf({{"0", 500'000'000, 5, 1}}, 1'000'000'000);
  model.update(host.snapshot());
  EXPECT_FALSE(model.reading().reclaim.kswapd_scanned_pages_per_second);
  EXPECT_TRUE(model.reading().nodes.at(0).kswapd.reasons.unknown) << "there is no rate yet";

  host.begin(12 * kSecondNs);
  host.zones({rich()});
  host.memory(4096ULL * 1'000'000);
  host.vmstat(scans(3000, 300));
  host.pressure(600, 250);
  host.ebpf({{"0", 1'500'000'000, 5, 3}}, 4'000'000'000);
  model.update(host.snapshot());
  const MemoryReading& reading = model.reading();
  EXPECT_EQ(reading.page_bytes, 4096);
  EXPECT_EQ(reading.reclaim.kswapd_scanned_pages_per_second, 1000);
  EXPECT_EQ(reading.reclaim.direct_scanned_pages_per_second, 100);
  EXPECT_EQ(reading.reclaim.kswapd_reclaimed_pages_per_second, 500);
  EXPECT_EQ(reading.reclaim.efficiency_ratio, 0.5);
  EXPECT_EQ(reading.reclaim.direct_stall_seconds_per_second, 1.5) << "kind memcg does not count";
  EXPECT_DOUBLE_EQ(reading.reclaim.memory_some_ratio.value(), 0.25);
  EXPECT_DOUBLE_EQ(reading.reclaim.memory_full_ratio.value(), 0.1);
  const KswapdReading& kswapd = reading.nodes.at(0).kswapd;
  EXPECT_EQ(kswapd.awake_ratio, 0.5);
  EXPECT_EQ(kswapd.high_order_wakeups_per_second, 1);
  EXPECT_EQ(kswapd.reasons, KswapdReasons{.high_order = true});

  const auto shown = series(model);
  EXPECT_EQ(shown.at("tidegauge_zone_headroom_bytes{node=\"0\",zone=\"Normal\",mark=\"low\"}"),
            (900'000 - 1250) * 4096.0);
  EXPECT_EQ(shown.at("tidegauge_node_memory_headroom_bytes{node=\"0\",mark=\"min\"}"),
            (900'000 - 1000) * 4096.0);
  EXPECT_EQ(shown.at("tidegauge_kswapd_awake_reason{node=\"0\",reason=\"high_order\"}"), 1);
  EXPECT_EQ(shown.at("tidegauge_kswapd_awake_reason{node=\"0\",reason=\"other\"}"), 0);
  EXPECT_EQ(shown.at("tidegauge_reclaim_efficiency_ratio"), 0.5);
  EXPECT_FALSE(shown.contains("tidegauge_node_memory_time_to_low_seconds{node=\"0\"}"));
}

TEST(MemoryModel, ASectionThatWasNotReadAgainGivesNothingNew) {
  MemoryModel model;
  MemoryHost host;
  for (const std::int64_t second : {1, 2}) {
    host.begin(second * kSecondNs);
    host.vmstat(scans(static_cast<std::uint64_t>(second) * 100));
    model.update(host.snapshot());
  }
  const Snapshot same = host.snapshot();
  model.update(same);
  model.update(same);
  EXPECT_EQ(model.reading().reclaim.kswapd_scanned_pages_per_second, 100);
  // Other numbers with the same time: no time has passed that they could be divided by.
  host.begin(2 * kSecondNs);
  host.vmstat(scans(999'999));
  model.update(host.snapshot());
  EXPECT_EQ(model.reading().reclaim.kswapd_scanned_pages_per_second, 100);
  model.update(Snapshot{});
  EXPECT_FALSE(model.reading().reclaim.kswapd_scanned_pages_per_second) << "its collector failed";
}

TEST(MemoryModel, CountersThatFallAndTimesThatDo) {
  struct Step {
    const char* what;
    std::int64_t second;
    std::uint64_t scanned;
    std::optional<double> rate;
  };
  const Step steps[] = {
      {"first", 100, 1'000'000, std::nullopt},
      {"grows", 101, 1'000'500, 500},
      {"falls", 102, 20, std::nullopt},
      {"grows again", 103, 40, 20},
      {"after ten minutes", 703, 640, 1},
      {"after an hour", 4303, 5'000'000, std::nullopt},
      {"grows on", 4304, 5'000'000, 0},
      {"another boot", 5, 3, std::nullopt},
      {"goes on", 6, 4, 1},
      {"faster than anything", 7, ~std::uint64_t{0} / 2, std::nullopt},
      {"and on", 8, ~std::uint64_t{0} / 2 + 5, 5},
  };
  MemoryModel model;
  MemoryHost host;
  for (const Step& step : steps) {
    host.begin(step.second * kSecondNs);
    host.vmstat(scans(step.scanned));
    model.update(host.snapshot());
    EXPECT_EQ(model.reading().reclaim.kswapd_scanned_pages_per_second, step.rate) << step.what;
  }
}

TEST(MemoryModel, EfficiencyIsOfTenSeconds) {
  MemoryModel model;
  MemoryHost host;
  const auto tick = [&](std::int64_t second, std::uint64_t scanned, std::uint64_t stolen) {
    host.begin(second * kSecondNs);
    host.vmstat({{"pgscan_kswapd", scanned},
                 {"pgscan_direct", 0},
                 {"pgscan_direct_throttle", 1 << 30},
                 {"pgscan_khugepaged", 1 << 30},
                 {"pgsteal_kswapd", stolen},
                 {"pgsteal_direct", 0}});
    model.update(host.snapshot());
    return model.reading().reclaim.efficiency_ratio;
  };
  EXPECT_FALSE(tick(0, 0, 0));
  EXPECT_EQ(tick(1, 1000, 1000), 1);
  for (std::int64_t second = 2; second <= 10; ++second) {
    tick(second, 1000, 1000);
  }
  EXPECT_EQ(model.reading().reclaim.efficiency_ratio, 1) << "that second is still within";
  EXPECT_EQ(tick(11, 2000, 1100), 0.1);
  EXPECT_EQ(tick(12, 3000, 4000), 1) << "two counters are not read at one moment";
}

// Reads a fixture's files with their own parsers, twice: with what they say, and with a few counters moved on.
class Kernel : public ::testing::TestWithParam<const char*> {
 protected:
  Kernel() {
    for (const char* file : {"vmstat", "zoneinfo", "buddyinfo", "meminfo"}) {
      const std::string path = std::string("proc/") + file;
      tree_.write(path, fixture_text(GetParam() + ("/" + path)));
    }
  }

  const MemoryReading& read_twice(const std::vector<std::pair<std::string, std::string>>& changes) {
    add(10 * kSecondNs);
    model_.update(host_.snapshot());
    std::string text = fixture_text(std::string(GetParam()) + "/proc/vmstat");
    for (const auto& [before, after] : changes) {
      const std::size_t at = text.find("\n" + before + "\n");
      if (at != std::string::npos) {
        text.replace(at + 1, before.size(), after);
        ++changed_;
      }
    }
    tree_.write("proc/vmstat", text);
    add(11 * kSecondNs);
    model_.update(host_.snapshot());
    return model_.reading();
  }

  int changed_ = 0;
  MemoryModel model_;

 private:
  void add(std::int64_t boottime_ns) {
    host_.begin(boottime_ns);
    for (const CollectorInfo* info :
         {&kVmstatCollector, &kZoneinfoCollector, &kBuddyinfoCollector, &kMeminfoCollector}) {
      std::vector<std::string> options;
      if (info == &kVmstatCollector) {
        options.emplace_back("fields=");
      }
      auto section = testing::run_once(*info, tree_.files(), options);
      ASSERT_TRUE(section) << testing::error_text(section);
      host_.add_section(info->name, std::move(*section));
    }
  }

  testing::FixtureTree tree_;
  MemoryHost host_;
};

TEST_P(Kernel, CountersHaveOneNameForAll) {
  const bool is_old = std::string(GetParam()) == "linux-3.10";
  const bool has_split_refaults =
      std::string(GetParam()) == "linux-5.10" || std::string(GetParam()) == "linux-6.12";
  const MemoryReading& reading = read_twice({
      {"pgscan_kswapd_normal 101234", "pgscan_kswapd_normal 102234"},
      {"pgscan_kswapd 342579", "pgscan_kswapd 343579"},
      {"pgsteal_kswapd_dma32 201345", "pgsteal_kswapd_dma32 201845"},
      {"pgsteal_kswapd 292579", "pgsteal_kswapd 293079"},
      {"pgscan_direct_dma32 912", "pgscan_direct_dma32 932"},
      {"pgscan_direct 1313", "pgscan_direct 1333"},
      {"allocstall 24", "allocstall 26"},
      {"allocstall_dma32 3", "allocstall_dma32 5"},
      {"workingset_refault 40213", "workingset_refault 40223"},
      {"workingset_refault_file 40213", "workingset_refault_file 40223"},
      {"workingset_refault_anon 812", "workingset_refault_anon 815"},
      {"compact_stall 120", "compact_stall 121"},
      {"thp_fault_fallback 44", "thp_fault_fallback 48"},
  });
  EXPECT_EQ(changed_, is_old ? 6 : has_split_refaults ? 8 : 7);
  EXPECT_EQ(reading.page_bytes, 4096);
  EXPECT_EQ(reading.reclaim.kswapd_scanned_pages_per_second, 1000);
  EXPECT_EQ(reading.reclaim.kswapd_reclaimed_pages_per_second, 500);
  EXPECT_EQ(reading.reclaim.direct_scanned_pages_per_second, 20);
  EXPECT_EQ(reading.reclaim.allocation_stalls_per_second, 2);
  EXPECT_EQ(reading.reclaim.file_refault_pages_per_second,
            is_old ? std::nullopt : std::optional(10.0));
  EXPECT_EQ(reading.reclaim.anon_refault_pages_per_second,
            has_split_refaults ? std::optional(3.0) : std::nullopt);
  EXPECT_EQ(reading.compaction.stalls_per_second, 1);
  EXPECT_EQ(reading.compaction.fails_per_second, 0);
  EXPECT_EQ(reading.compaction.huge_page_fallbacks_per_second, 4);
  EXPECT_EQ(reading.compaction.daemon_wakeups_per_second.has_value(), !is_old);
  EXPECT_DOUBLE_EQ(reading.reclaim.efficiency_ratio.value(), 500.0 / 1020);
  EXPECT_EQ(reading.dirty.dirty_bytes, 1893 * 4096.0);
  EXPECT_EQ(reading.dirty.threshold_bytes, 112'400 * 4096.0);
  EXPECT_DOUBLE_EQ(reading.dirty.background_ratio.value(), 1893.0 / 56'131);
  EXPECT_DOUBLE_EQ(reading.dirty.freerun_ratio.value(), (1893.0 + 64) / ((112'400 + 56'131) / 2.0));
  ASSERT_EQ(reading.nodes.size(), 1U);
  EXPECT_EQ(reading.nodes[0].kswapd.is_awake, true);
  EXPECT_EQ(reading.fragmentation.size(), 3U);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Kernel,
                         ::testing::Values("linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"),
                         [](const auto& kernel) {
                           std::string name = kernel.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return c == '-' || c == '.'; }, '_');
                           return name;
                         });

TEST(MemoryModel, SourcesThatAreMissing) {
  MemoryModel model;
  MemoryHost host;
  for (const std::int64_t second : {1, 2}) {
    host.begin(second * kSecondNs);
    host.zones({rich()});
    model.update(host.snapshot());
  }
  const NodeReading& node = model.reading().nodes.at(0);
  EXPECT_EQ(node.watermarks.headroom_low_pages, 900'000 - 1250);
  EXPECT_FALSE(node.kswapd.is_awake);
  EXPECT_FALSE(node.kswapd.gave_up);
  EXPECT_EQ(node.kswapd.reasons, KswapdReasons{.unknown = true});
  EXPECT_FALSE(model.reading().page_bytes) << "meminfo would tell";
  EXPECT_FALSE(series(model).contains(
      "tidegauge_zone_headroom_bytes{node=\"0\",zone=\"Normal\",mark=\"low\"}"));
}

TEST(MemoryModel, ThePageSizeIsTold) {
  for (const std::uint64_t page_bytes : {4096U, 16'384U, 65'536U}) {
    MemoryModel model;
    MemoryHost host;
    host.begin(kSecondNs);
    host.zones({rich()});
    host.memory(page_bytes * 1'000'000);
    model.update(host.snapshot());
    EXPECT_EQ(model.reading().page_bytes, static_cast<double>(page_bytes));
  }
  // Up to 3.7 only "present" is known: 6 % more than MemTotal.
  EXPECT_EQ(page_bytes_of(64.0 * kGiB, 64.0 * kGiB / 4096 * 1.06), 4096);
  EXPECT_FALSE(page_bytes_of(0, 1));
  EXPECT_FALSE(page_bytes_of(1e9, 0));
  EXPECT_FALSE(page_bytes_of(1e9, 1e9));
}

TEST(MemoryModel, DirtyMemoryWithoutVmstatIsOfMeminfo) {
  MemoryModel model;
  MemoryHost host;
  host.begin(kSecondNs);
  host.memory(kGiB, 12'345'344);
  model.update(host.snapshot());
  EXPECT_EQ(model.reading().dirty.dirty_bytes, 12'345'344);
  EXPECT_FALSE(model.reading().dirty.threshold_bytes);
  EXPECT_FALSE(model.reading().dirty.freerun_ratio);
}

TEST(MemoryModel, ANodeThatWasGoneGivesNoRateOfTheGap) {
  MemoryHost host;
  MemoryModel model;
  for (std::uint64_t second = 1; second <= 60; ++second) {
    host.begin(static_cast<std::int64_t>(second) * kSecondNs);
    if (second < 5 || second > 50) {
      host.zones({rich()});
    }
    host.ebpf({{"0", second * 100'000'000}});
    model.update(host.snapshot());
    if (second > 50) {
      EXPECT_NEAR(model.reading().nodes.at(0).kswapd.awake_ratio.value_or(0.1), 0.1, 1e-9)
          << second;
    }
  }
  EXPECT_TRUE(model.reading().nodes.at(0).kswapd.awake_ratio);
}

TEST(MemoryModel, TimeToLowOfANodeThatIsFilled) {
  std::mt19937 random(5);
  std::normal_distribution<double> noise(0, 300);
  MemoryHost host;
  MemoryModel model;
  for (int second = 0; second < 90; ++second) {
    host.begin(second * kSecondNs);
    ZoneSpec dma = rich();
    dma.zone = "DMA";
    dma.free = 3840;
    dma.protection = {0, 17'482, 17'482, 17'482};
    ZoneSpec normal = rich();
    normal.free = static_cast<std::uint64_t>(500'000 - 2000.0 * second + noise(random));
    // The marks move up half-way: that is no memory lost.
    normal.low += second > 60 ? 5000 : 0;
    host.zones({dma, normal});
    host.memory(4 * kGiB);
    model.update(host.snapshot());
  }
  const NodeReading& node = model.reading().nodes.at(0);
  ASSERT_TRUE(node.time_to_low_seconds);
  const double expected = (500'000 - 2000.0 * 89 - 6250) / 2000;
  EXPECT_NEAR(*node.time_to_low_seconds, expected, *node.time_to_low_uncertainty_seconds);
  EXPECT_LT(*node.time_to_low_uncertainty_seconds, 5);
  EXPECT_EQ(series(model).at("tidegauge_node_memory_time_to_low_seconds{node=\"0\"}"),
            *node.time_to_low_seconds);
}

TEST(MemoryModel, ThisMachine) {
  MemoryHost host;
  MemoryModel model;
  for (const std::int64_t second : {1, 2}) {
    host.begin(second * kSecondNs);
    for (const CollectorInfo* info :
         {&kVmstatCollector, &kZoneinfoCollector, &kBuddyinfoCollector, &kMeminfoCollector}) {
      auto section = testing::run_once(*info, KernelFiles());
      ASSERT_TRUE(section) << testing::error_text(section);
      host.add_section(info->name, std::move(*section));
    }
    model.update(host.snapshot());
  }
  const MemoryReading& reading = model.reading();
  EXPECT_EQ(reading.page_bytes, static_cast<double>(::sysconf(_SC_PAGESIZE)));
  ASSERT_FALSE(reading.nodes.empty());
  EXPECT_TRUE(reading.nodes[0].watermarks.headroom_low_pages);
  EXPECT_TRUE(reading.nodes[0].kswapd.is_awake);
  EXPECT_FALSE(reading.fragmentation.empty());
}

}  // namespace
}  // namespace tidegauge::heuristics
