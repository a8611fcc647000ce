// SPDX-License-Identifier: Apache-2.0

// The memory model as a whole: its state, its metrics, any input, its cost.

#include "daemon/heuristics/reclaim_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "collectors/procfs/vmstat.h"
#include "daemon/heuristics/reclaim_model.h"
#include "tests/unit/memory_snapshots.h"
#include "tests/unit/testing.h"

namespace tidegauge::heuristics {
namespace {

using testing::kSecondNs;
using testing::MemoryHost;
using testing::poor;
using testing::rich;
using testing::scans;
using testing::series;
using testing::ZoneSpec;

// A host in which everything moves.
void add_busy_tick(MemoryHost& host, std::uint64_t second) {
  host.begin(static_cast<std::int64_t>(second) * kSecondNs);
  ZoneSpec falling = rich("0");
  falling.free = 900'000 - second * 1000;
  host.zones({falling, poor("1")});
  host.memory(4096ULL * 2'000'000);
  host.vmstat(scans(second * 100, second * 10));
  host.pressure(static_cast<double>(second) * 100, static_cast<double>(second));
  host.ebpf({{"0", second * 300'000'000, second, second}, {"1", second * 100'000'000, second, 0}},
            second * 1000);
}

TEST(MemoryModel, GoesOnFromItsState) {
  MemoryHost host;
  MemoryModel model;
  for (std::uint64_t second = 1; second <= 40; ++second) {
    add_busy_tick(host, second);
    model.update(host.snapshot());
  }
  std::string bytes;
  model.save(bytes);
  EXPECT_LT(bytes.size(), 4096U);
  MemoryModel other;
  ASSERT_TRUE(other.load(bytes));
  std::string again;
  other.save(again);
  EXPECT_EQ(bytes, again);
  for (std::uint64_t second = 41; second <= 50; ++second) {
    add_busy_tick(host, second);
    model.update(host.snapshot());
    other.update(host.snapshot());
    EXPECT_EQ(series(model), series(other)) << second;
  }
  EXPECT_TRUE(series(model).contains("tidegauge_node_memory_time_to_low_seconds{node=\"0\"}"));
}

TEST(MemoryModel, RefusesStateThatItDidNotSave) {
  MemoryHost host;
  MemoryModel model;
  for (std::uint64_t second = 1; second <= 20; ++second) {
    add_busy_tick(host, second);
    model.update(host.snapshot());
  }
  std::string bytes;
  model.save(bytes);
  const auto before = series(model);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(model.load(std::string(bytes, 0, size))) << size;
  }
  EXPECT_FALSE(model.load(bytes + '\0'));
  std::string other_version = bytes;
  other_version[0] = 99;
  EXPECT_FALSE(model.load(other_version));
  EXPECT_EQ(series(model), before) << "nothing has changed";
  // Flipped bits are refused or are state like any other: nothing of it may harm.
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string bad = bytes;
    bad[random() % bad.size()] ^= static_cast<char>(1U << (random() % 8));
    MemoryModel victim;
    if (victim.load(bad)) {
      add_busy_tick(host, 21 + static_cast<std::uint64_t>(i));
      victim.update(host.snapshot());
      for (const auto& [name, value] : series(victim)) {
        ASSERT_TRUE(std::isfinite(value)) << name;
      }
    }
  }
}

void expect_finite(const std::optional<double>& value) {
  EXPECT_TRUE(!value || std::isfinite(*value));
}

void expect_ratio(const std::optional<double>& value) {
  EXPECT_TRUE(!value || (*value >= 0 && *value <= 1));
}

void expect_sane(const MemoryReading& reading) {
  for (const NodeReading& node : reading.nodes) {
    expect_finite(node.watermarks.headroom_low_pages);
    expect_finite(node.time_to_low_uncertainty_seconds);
    if (node.time_to_low_seconds) {
      EXPECT_GE(*node.time_to_low_seconds, 0);
      EXPECT_LE(*node.time_to_low_seconds, 86'400);
    }
    expect_ratio(node.kswapd.awake_ratio);
  }
  const ReclaimReading& reclaim = reading.reclaim;
  for (const auto& rate :
       {reclaim.kswapd_scanned_pages_per_second, reclaim.direct_scanned_pages_per_second,
        reclaim.allocation_stalls_per_second, reclaim.direct_stall_seconds_per_second,
        reclaim.file_refault_pages_per_second, reading.compaction.stalls_per_second,
        reading.dirty.dirty_bytes, reading.dirty.background_ratio, reading.dirty.freerun_ratio}) {
    expect_finite(rate);
    EXPECT_TRUE(!rate || *rate >= 0);
  }
  expect_ratio(reclaim.efficiency_ratio);
  expect_ratio(reclaim.memory_some_ratio);
  for (const ZoneFragmentation& zone : reading.fragmentation) {
    for (const OrderFragmentation& index : zone.orders) {
      EXPECT_TRUE(index.fragmentation_index >= -1000 && index.fragmentation_index <= 1000);
      EXPECT_TRUE(index.unusable_free_index >= 0 && index.unusable_free_index <= 1000);
    }
  }
}

TEST(MemoryModel, AnyNumbersGiveNoNonsense) {
  std::mt19937_64 random(42);
  const auto number = [&]() -> std::uint64_t { return random() >> (random() % 64); };
  const auto maybe = [&] { return random() % 4 == 0 ? std::nullopt : std::optional(number()); };
  // Counters that rise by anything, or are anything.
  std::map<std::string, std::uint64_t> counters;
  const auto counter = [&](const std::string& name) {
    return counters[name] = random() % 8 == 0 ? number() : counters[name] + (number() >> 20U);
  };
  MemoryHost host;
  MemoryModel model;
  std::int64_t now_ns = 0;
  for (int step = 0; step < 5000; ++step) {
    // Mostly a second further, at times back, far ahead or not at all.
    const auto kind = random() % 40;
    now_ns = kind == 0   ? static_cast<std::int64_t>(random() >> 1U)
             : kind == 1 ? now_ns
             : kind == 2
                 ? -5
                 : static_cast<std::int64_t>(static_cast<std::uint64_t>(now_ns) % (1ULL << 62U) +
                                             random() % 2'000'000'000);
    host.begin(now_ns);
    std::vector<ZoneSpec> zones;
    for (std::uint64_t i = 0; i < random() % 5; ++i) {
      zones.push_back({.node = random() % 9 == 0 ? "x" : std::to_string(random() % 3),
                       .zone = "Zone" + std::to_string(i),
                       .free = maybe(),
                       .min = number(),
                       .low = number(),
                       .high = number(),
                       .managed = maybe(),
                       .protection = {static_cast<std::int64_t>(number()), -1},
                       .boost = maybe(),
                       .cma = maybe()});
    }
    if (random() % 8 != 0) {
      host.zones(zones);
    }
    if (random() % 8 != 0) {
      host.vmstat({{"pgscan_kswapd", counter("a")},
                   {random() % 99 == 0 ? "pgscan_direct" : "pgscan_direct_normal", counter("e")},
                   {"pgsteal_kswapd", counter("b")},
                   {"pgsteal_direct", counter("d")},
                   {"compact_stall", counter("c")},
                   {"nr_dirty", number()},
                   {"nr_writeback", number()},
                   {"nr_dirty_threshold", number()},
                   {"nr_dirty_background_threshold", number()}});
    }
    host.memory(number(), number());
    host.pressure(std::bit_cast<double>(random()), std::bit_cast<double>(number()));
    host.ebpf({{std::to_string(random() % 3), counter("f"), number(), counter("g")}}, counter("h"));
    std::vector<std::uint64_t> blocks;
    for (int order = 0; order < 11; ++order) {
      blocks.push_back(number());
    }
    host.buddy({{"Normal", blocks}});
    model.update(host.snapshot());
    expect_sane(model.reading());
    for (const auto& [name, value] : series(model)) {
      ASSERT_TRUE(std::isfinite(value)) << name;
    }
    if (::testing::Test::HasFailure()) {
      FAIL() << "step " << step;
    }
  }
}

TEST(MemoryModel, EveryFamilyIsDocumented) {
  MemoryHost host;
  MemoryModel model;
  for (std::uint64_t second = 1; second <= 20; ++second) {
    add_busy_tick(host, second);
    host.buddy({{"Normal", {5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}});
    model.update(host.snapshot());
  }
  std::set<std::string> documented;
  for (const MetricDoc& doc : memory_model_metrics()) {
    EXPECT_TRUE(documented.insert(doc.name).second) << doc.name << " twice";
    EXPECT_TRUE(doc.name.starts_with("tidegauge_"));
    EXPECT_TRUE(doc.help.ends_with("."));
  }
  Section section;
  model.append_tables(section);
  for (const Table& table : section.tables) {
    for (const ColumnInfo& column : table.shape->columns) {
      EXPECT_TRUE(documented.contains(column.family)) << column.family;
    }
  }
  EXPECT_EQ(series(model).at(
                "tidegauge_zone_fragmentation_index{node=\"0\",zone=\"Normal\",order=\"3\"}"),
            1 - 0.325);
}

// 8 zones on 2 nodes, a whole vmstat, 40 groups of wake-ups. Prints what an update costs; the limit is for
// sanitizers and busy machines.
TEST(MemoryModel, CostOfATick) {
  constexpr std::uint64_t kTicks = 2000;
  MemoryHost host;
  auto vmstat = testing::make(kVmstatCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(vmstat);
  std::vector<Snapshot> snapshots;
  for (std::uint64_t second = 1; second <= kTicks; ++second) {
    host.begin(static_cast<std::int64_t>(second) * kSecondNs);
    std::vector<ZoneSpec> zones;
    std::vector<std::pair<std::string, std::vector<std::uint64_t>>> buddies;
    for (const char* node : {"0", "1"}) {
      for (const char* zone : {"DMA", "DMA32", "Normal", "Movable"}) {
        ZoneSpec spec = rich(node);
        spec.zone = zone;
        spec.free = 900'000 - second * 100;
        spec.protection = {0, 10, 20, 20};
        zones.push_back(spec);
        buddies.emplace_back(std::string(zone) + node,
                             std::vector<std::uint64_t>{900 + second, 800, 700, 600, 500, 400, 300,
                                                        200, 100, 50, second});
      }
    }
    host.zones(zones);
    host.memory(4096ULL * 8'000'000);
    host.pressure(static_cast<double>(second), 0);
    host.buddy(buddies);
    std::vector<MemoryHost::Kswapd> nodes;
    for (int node = 0; node < 20; ++node) {
      nodes.push_back({std::to_string(node), second * 1000, second, second});
    }
    host.ebpf(nodes);
    auto section = testing::run(**vmstat);
    ASSERT_TRUE(section);
    host.add_section("vmstat", std::move(*section));
    snapshots.push_back(host.snapshot());
  }
  MemoryModel model;
  std::vector<double> microseconds;
  std::size_t series_count = 0;
  for (const Snapshot& snapshot : snapshots) {
    const auto begin = std::chrono::steady_clock::now();
    model.update(snapshot);
    Section section;
    model.append_tables(section);
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    microseconds.push_back(took.count());
    series_count = testing::flatten(section).size();
  }
  std::sort(microseconds.begin(), microseconds.end());
  std::printf(
      "update() + append_tables(), 8 zones, %zu series: median %.1f us, first 1 %% %.1f us\n",
      series_count, microseconds[kTicks / 2], microseconds[kTicks / 100]);
  EXPECT_LT(microseconds[kTicks / 2], 1000);
}

}  // namespace
}  // namespace tidegauge::heuristics
