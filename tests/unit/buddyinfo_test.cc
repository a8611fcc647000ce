// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/buddyinfo.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

TEST(ParseBuddyinfo, BlocksPerOrder) {
  std::vector<BuddyZone> zones;
  ASSERT_TRUE(
      parse_buddyinfo("Node 0, zone      DMA      1      0 18446744073709551615 \n"
                      "Node 12, zone   Normal  4381   1093    185",
                      zones));
  ASSERT_EQ(zones.size(), 2U);
  EXPECT_EQ(zones[0].zone, "DMA");
  EXPECT_EQ(zones[0].orders, 3U);
  EXPECT_EQ(zones[0].free_blocks[2], ~std::uint64_t{0});
  EXPECT_EQ(zones[1].node, "12");
  EXPECT_EQ(zones[1].free_blocks[1], 1093U);
}

TEST(ParseBuddyinfo, RejectsOtherText) {
  std::vector<BuddyZone> zones;
  std::string many = "Node 0, zone DMA";
  for (std::size_t i = 0; i <= kMaxBuddyOrders; ++i) {
    many += " 1";
  }
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("Node 0, zone DMA\n"),
        std::string("Node 0, zone\n"), std::string("Node 0 zone DMA 1\n"),
        std::string("Node x, zone DMA 1\n"), std::string("Node 0, zone DMA 1 x\n"),
        std::string("Node 0, zone DMA 1 -1\n"), std::string("zone DMA 1\n"), many}) {
    EXPECT_NE(testing::error_text(parse_buddyinfo(text, zones)).find("malformed: buddyinfo"),
              std::string::npos)
        << text;
  }
  EXPECT_EQ(
      testing::error_text(parse_buddyinfo("Node 0, zone A 1 2 3\nNode 0, zone B 1 2\n", zones)),
      "malformed: buddyinfo line 2: expected as many numbers as in line 1");
}

TEST(BuddyinfoCollector, EveryFixtureKernel) {
  for (const char* name : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    const auto section = testing::run_once(kBuddyinfoCollector, testing::fixture(name));
    ASSERT_TRUE(section) << name << ": " << testing::error_text(section);
    const auto series = testing::flatten(*section);
    EXPECT_EQ(series.size(), 33U);
    EXPECT_EQ(series.at("node_buddyinfo_blocks{node=\"0\",zone=\"DMA32\",size=\"0\"}"), 4210);
    EXPECT_EQ(series.at("node_buddyinfo_blocks{node=\"0\",zone=\"DMA\",size=\"10\"}"), 3);
  }
}

TEST(BuddyinfoCollector, ThisMachine) {
  const auto section = testing::run_once(kBuddyinfoCollector, KernelFiles());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_FALSE(testing::flatten(*section).empty());
}

}  // namespace
}  // namespace tidegauge
