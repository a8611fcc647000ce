// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/kswapd.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "collectors/procfs/zoneinfo.h"
#include "daemon/heuristics/reclaim_model.h"
#include "tests/unit/memory_snapshots.h"
#include "tests/unit/testing.h"

namespace tidegauge::heuristics {
namespace {

using testing::Fields;
using testing::fixture_text;
using testing::kSecondNs;
using testing::MemoryHost;
using testing::poor;
using testing::rich;
using testing::scans;
using testing::ZoneSpec;

// Balanced, far above, boosted.
constexpr NodeState kNothingKnown{};
constexpr NodeState kFar{true, true, false};
constexpr NodeState kNear{true, false, false};
constexpr NodeState kBelow{false, false, false};
constexpr NodeState kBoosted{true, false, true};
constexpr NodeState kOldKernelFar{true, true, std::nullopt};

TEST(KswapdReasons, Table) {
  struct Case {
    const char* what;
    KswapdEvidence evidence;
    KswapdReasons expected;
  };
  const Case cases[] = {
      {"nothing known", {kNothingKnown, kNothingKnown, {}}, {.unknown = true}},
      {"no look before", {kFar, kNothingKnown, false}, {.unknown = true}},
      {"below high", {kBelow, kBelow, false}, {.order0_watermark = true}},
      {"was below high", {kFar, kBelow, {}}, {.order0_watermark = true}},
      {"below high, first look", {kBelow, kNothingKnown, {}}, {.order0_watermark = true}},
      {"below and back between two looks", {kNear, kNear, false}, {.order0_watermark = true}},
      {"reached high", {kNear, kFar, false}, {.order0_watermark = true}},
      {"large blocks", {kFar, kFar, true}, {.high_order = true}},
      {"large blocks, no marks", {kNothingKnown, kNothingKnown, true}, {.high_order = true}},
      {"both", {kBelow, kFar, true}, {.order0_watermark = true, .high_order = true}},
      {"boosted", {kBoosted, kFar, false}, {.boost = true}},
      {"was boosted", {kFar, kBoosted, {}}, {.boost = true}},
      {"far above high", {kFar, kFar, false}, {.other = true}},
      {"far above high on an old kernel", {kOldKernelFar, kOldKernelFar, {}}, {.other = true}},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(explain_awake(each.evidence), each.expected) << each.what;
  }
}

// Case D: two nodes with free far above high everywhere, while kswapd scans (2.6.32: no compaction counters, no
// boost, no BPF).
TEST(KswapdReading, PageCacheThrashHasAnotherReason) {
  std::string text;
  std::istringstream excerpt(fixture_text("page-cache/zoneinfo-excerpt.txt"));
  std::string free_line;
  for (std::string line; std::getline(excerpt, line);) {
    if (line == "--") {
      continue;
    }
    text += line + "\n";
    if (line.find("pages free") != std::string::npos) {
      free_line = line.substr(line.find("free") + 4);
    } else if (line.find("high") != std::string::npos) {
      // What the author did not copy and every kernel prints.
      text += "        spanned  9000000\n        present  8000000\n      nr_free_pages" +
              free_line + "\n";
    }
  }
  testing::FixtureTree tree;
  tree.write("proc/zoneinfo", text);
  MemoryModel model;
  MemoryHost host;
  for (const std::int64_t second : {600, 1200, 1800}) {
    host.begin(second * kSecondNs);
    auto section = testing::run_once(kZoneinfoCollector, tree.files());
    ASSERT_TRUE(section) << testing::error_text(section);
    host.add_section("zoneinfo", std::move(*section));
    host.vmstat({{"pgscan_kswapd", static_cast<std::uint64_t>(second) * 217'153},
                 {"pgscan_direct", 0},
                 {"pgsteal", static_cast<std::uint64_t>(second) * 182'609}});
    model.update(host.snapshot());
  }
  const MemoryReading& reading = model.reading();
  ASSERT_EQ(reading.nodes.size(), 2U);
  for (const NodeReading& node : reading.nodes) {
    EXPECT_EQ(node.watermarks.is_far_above_high, true);
    EXPECT_EQ(node.kswapd.reasons, KswapdReasons{.other = true});
  }
  EXPECT_EQ(reading.nodes[1].watermarks.headroom_high_pages, 2'732'324 - 16'936);
  EXPECT_EQ(reading.reclaim.kswapd_scanned_pages_per_second, 217'153);
  EXPECT_NEAR(reading.reclaim.efficiency_ratio.value(), 0.8409, 1e-4);
}

TEST(KswapdReading, BoostIsAReasonAndPartOfTheMarks) {
  MemoryModel model;
  MemoryHost host;
  for (const std::uint64_t second : {1U, 2U}) {
    host.begin(static_cast<std::int64_t>(second) * kSecondNs);
    ZoneSpec zone = rich();
    zone.boost = 500;
    host.zones({zone});
    host.vmstat(scans(second * 100));
    model.update(host.snapshot());
  }
  const NodeReading& node = model.reading().nodes.at(0);
  EXPECT_EQ(node.watermarks.boost_pages, 500);
  EXPECT_EQ(node.watermarks.headroom_low_pages, 900'000 - 1250) << "not taken off twice";
  EXPECT_EQ(node.kswapd.reasons, KswapdReasons{.boost = true});
}

// Node 0 has but a DMA zone that is short; node 1 is free. Without BPF the scans are no one's.
TEST(KswapdReading, PressureOnOneNode) {
  ZoneSpec dma = poor("0");
  dma.zone = "DMA";
  MemoryHost host;
  MemoryModel model;
  for (const std::uint64_t second : {1U, 2U}) {
    host.begin(static_cast<std::int64_t>(second) * kSecondNs);
    host.zones({dma, rich("1")});
    host.vmstat(scans(second * 100));
    model.update(host.snapshot());
  }
  const auto& nodes = model.reading().nodes;
  EXPECT_EQ(nodes.at(0).kswapd.is_awake, true);
  EXPECT_EQ(nodes.at(0).kswapd.reasons, KswapdReasons{.order0_watermark = true});
  EXPECT_LT(nodes.at(0).watermarks.headroom_low_pages.value(), 0);
  EXPECT_FALSE(nodes.at(1).kswapd.is_awake);
  EXPECT_EQ(nodes.at(1).kswapd.reasons, KswapdReasons{});

  // The same with BPF, which says that it is node 1's that is awake.
  MemoryModel other;
  for (const std::uint64_t second : {1U, 2U}) {
    host.begin(static_cast<std::int64_t>(second) * kSecondNs);
    host.zones({dma, rich("1")});
    host.vmstat(scans(second * 100));
    host.ebpf({{"0", 0}, {"1", second * 900'000'000}});
    other.update(host.snapshot());
  }
  EXPECT_EQ(other.reading().nodes.at(0).kswapd.is_awake, false);
  EXPECT_EQ(other.reading().nodes.at(0).kswapd.reasons, KswapdReasons{});
  EXPECT_EQ(other.reading().nodes.at(1).kswapd.awake_ratio, 0.9);
  EXPECT_EQ(other.reading().nodes.at(1).kswapd.reasons, KswapdReasons{.other = true});
}

// A zone that is short in a node that has plenty keeps kswapd awake up to 4.7 only.
TEST(KswapdReading, AShortZoneByKernel) {
  for (const char* name : {"pgscan_kswapd_normal", "pgscan_kswapd"}) {
    ZoneSpec dma = poor();
    dma.zone = "DMA";
    MemoryHost host;
    MemoryModel model;
    for (const std::uint64_t second : {1U, 2U}) {
      host.begin(static_cast<std::int64_t>(second) * kSecondNs);
      host.zones({dma, rich()});
      host.vmstat({{name, second}});
      model.update(host.snapshot());
    }
    const KswapdReasons expected = std::string(name) == "pgscan_kswapd"
                                       ? KswapdReasons{.other = true}
                                       : KswapdReasons{.order0_watermark = true};
    EXPECT_EQ(model.reading().nodes.at(0).kswapd.reasons, expected) << name;
  }
}

TEST(KswapdReading, HighOrderIsRememberedForTenSeconds) {
  MemoryHost host;
  MemoryModel model;
  for (std::uint64_t second = 1; second <= 14; ++second) {
    host.begin(static_cast<std::int64_t>(second) * kSecondNs);
    host.zones({rich()});
    Fields fields = scans(second * 100);
    fields.back().second = second < 3 ? second : 3;  // compact_stall
    host.vmstat(fields);
    model.update(host.snapshot());
    const KswapdReasons& reasons = model.reading().nodes.at(0).kswapd.reasons;
    EXPECT_EQ(reasons.high_order, second >= 2 && second <= 13) << second;
    EXPECT_EQ(reasons.other, second == 14) << second;
  }
}

TEST(KswapdReading, KswapdThatGaveUp) {
  MemoryHost host;
  MemoryModel model;
  for (std::uint64_t second = 1; second <= 20; ++second) {
    host.begin(static_cast<std::int64_t>(second) * kSecondNs);
    host.zones({poor()});
    host.vmstat(scans(second < 5 ? second * 10 : 50, second * 10));
    model.update(host.snapshot());
    const auto& gave_up = model.reading().nodes.at(0).kswapd.gave_up;
    EXPECT_EQ(gave_up.value_or(false), second > 10) << second;
  }
  host.begin(21 * kSecondNs);
  host.zones({rich()});
  host.vmstat(scans(50, 210));
  model.update(host.snapshot());
  EXPECT_EQ(model.reading().nodes.at(0).kswapd.gave_up, false) << "there is memory again";
}

}  // namespace
}  // namespace tidegauge::heuristics
