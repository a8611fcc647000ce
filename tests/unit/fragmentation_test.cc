// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/fragmentation.h"

#include <gtest/gtest.h>

#include <vector>

#include "collectors/procfs/buddyinfo.h"
#include "tests/unit/testing.h"

namespace tidegauge::heuristics {
namespace {

std::vector<OrderFragmentation> measure(const std::vector<std::uint64_t>& blocks) {
  std::vector<OrderFragmentation> out;
  EXPECT_TRUE(measure_fragmentation(blocks, out));
  return out;
}

TEST(Fragmentation, NothingFree) {
  for (const OrderFragmentation& index : measure(std::vector<std::uint64_t>(11))) {
    EXPECT_EQ(index.fragmentation_index, 0);
    EXPECT_EQ(index.unusable_free_index, 1000);
  }
}

TEST(Fragmentation, ALargeEnoughBlockIsMinusOne) {
  const auto indices = measure({0, 0, 0, 1});
  for (const OrderFragmentation& index : indices) {
    EXPECT_EQ(index.fragmentation_index, -1000);
    EXPECT_EQ(index.unusable_free_index, 0);
  }
}

TEST(Fragmentation, MuchMemoryInSmallPiecesIsNearOne) {
  // 100 000 single pages: 1000 - (1000 + 100 000 000 / 512) / 100 000.
  const auto indices = measure({100'000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(indices[0].fragmentation_index, -1000);
  EXPECT_EQ(indices[9].fragmentation_index, 1000 - (1000 + 100'000'000 / 512) / 100'000);
  EXPECT_EQ(indices[9].fragmentation_index, 999);
  EXPECT_EQ(indices[9].unusable_free_index, 1000);
}

TEST(Fragmentation, LittleMemoryIsNearZero) {
  // One block of 256 pages where 512 are wanted: 1000 - (1000 + 500) / 1.
  EXPECT_EQ(measure({0, 0, 0, 0, 0, 0, 0, 0, 1, 0})[9].fragmentation_index, -500);
  // Ten of them: 1000 - (1000 + 5000) / 10.
  EXPECT_EQ(measure({0, 0, 0, 0, 0, 0, 0, 0, 10, 0})[9].fragmentation_index, 400);
}

TEST(Fragmentation, UnusableIsWhatLiesInSmallerBlocks) {
  const auto indices = measure({4, 2, 1, 1});  // 4 + 4 + 4 + 8 pages
  EXPECT_EQ(indices[0].unusable_free_index, 0);
  EXPECT_EQ(indices[1].unusable_free_index, 200);
  EXPECT_EQ(indices[2].unusable_free_index, 400);
  EXPECT_EQ(indices[3].unusable_free_index, 600);
}

TEST(Fragmentation, RefusesWhatNoMachineHas) {
  std::vector<OrderFragmentation> out;
  EXPECT_FALSE(measure_fragmentation(std::vector<std::uint64_t>{~std::uint64_t{0}}, out));
  EXPECT_FALSE(measure_fragmentation(std::vector<std::uint64_t>(33, 1), out));
  EXPECT_TRUE(measure_fragmentation(std::vector<std::uint64_t>(32, kMostPages >> 31), out));
  EXPECT_TRUE(out.size() == 32);
}

TEST(FragmentationReader, AFixtureOfEveryKernel) {
  for (const char* name : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    const auto section = testing::run_once(kBuddyinfoCollector, testing::fixture(name));
    ASSERT_TRUE(section) << name;
    FragmentationReader reader;
    std::vector<ZoneFragmentation> zones;
    reader.read(*section, zones);
    reader.read(*section, zones);
    ASSERT_EQ(zones.size(), 3U);
    EXPECT_EQ(zones[1].node, "0");
    EXPECT_EQ(zones[1].zone, "DMA32");
    ASSERT_EQ(zones[1].orders.size(), 11U);
    EXPECT_EQ(zones[1].largest_order, 10U);
    // 2210 1203 510 120 22 5 1: 8192 pages in 4071 blocks.
    EXPECT_EQ(zones[2].largest_order, 6U);
    EXPECT_EQ(zones[2].orders[6].fragmentation_index, -1000);
    EXPECT_EQ(zones[2].orders[9].fragmentation_index, 996);
    EXPECT_EQ(zones[2].orders[3].unusable_free_index,
              (2210 + 2 * 1203 + 4 * 510) * 1000 /
                  (2210 + 2 * 1203 + 4 * 510 + 8 * 120 + 16 * 22 + 32 * 5 + 64));
  }
}

TEST(FragmentationReader, SectionsThatAreNoBuddyinfo) {
  FragmentationReader reader;
  std::vector<ZoneFragmentation> zones;
  reader.read(Section{}, zones);
  EXPECT_TRUE(zones.empty());
}

}  // namespace
}  // namespace tidegauge::heuristics
