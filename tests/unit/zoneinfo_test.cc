// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/zoneinfo.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

std::string zone_text(std::string_view name, std::string_view more = "") {
  std::string text = "Node 0, zone ";
  text.append(name).append(
      "\n  pages free     100\n        min      10\n        low      20\n        high     30\n"
      "        spanned  4095\n        present  3998\n        managed  3840\n"
      "        protection: (0, 5, 7)\n      nr_free_pages 101\n");
  return text.append(more);
}

std::string fixture_text(std::string_view name) {
  std::ifstream file(testing::fixture(name).proc("zoneinfo"));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string parse_error(std::string_view text) {
  std::vector<ZoneInfo> zones;
  return testing::error_text(parse_zoneinfo(text, zones));
}

TEST(ParseZoneinfo, OneZone) {
  const std::string text = zone_text("  DMA32");
  std::vector<ZoneInfo> zones;
  ASSERT_TRUE(parse_zoneinfo(text, zones));
  ASSERT_EQ(zones.size(), 1U);
  const ZoneInfo& zone = zones[0];
  EXPECT_EQ(zone.node, "0");
  EXPECT_EQ(zone.zone, "DMA32");
  EXPECT_EQ(zone.min_pages, 10U);
  EXPECT_EQ(zone.low_pages, 20U);
  EXPECT_EQ(zone.high_pages, 30U);
  EXPECT_EQ(zone.present_pages, 3998U);
  EXPECT_EQ(zone.nr_free_pages, 101U);
  EXPECT_EQ(zone.protection_count, 3U);
  EXPECT_EQ(zone.protection_pages[2], 7);
  EXPECT_FALSE(zone.boost_pages);
  EXPECT_FALSE(zone.promo_pages);
}

TEST(ParseZoneinfo, SimilarNamesAndPagesetsAreSomethingElse) {
  const std::string text =
      zone_text("DMA",
                "      nr_free_pages_blocks 7\n      nr_zone_active_anon 8\n  pagesets\n"
                "    cpu: 0\n              count: 1\n              high:  999\n"
                "              high_min: 998\n              high_max: 997\n              low 996\n"
                "  vm stats threshold: 4\n  node_unreclaimable:  0\n") +
      zone_text("Normal");
  std::vector<ZoneInfo> zones;
  ASSERT_TRUE(parse_zoneinfo(text, zones));
  ASSERT_EQ(zones.size(), 2U);
  EXPECT_EQ(zones[0].high_pages, 30U);
  EXPECT_EQ(zones[0].low_pages, 20U);
  EXPECT_EQ(zones[0].nr_free_pages, 101U);
  EXPECT_FALSE(zones[0].nr_active_anon_pages);
  EXPECT_EQ(zones[1].zone, "Normal");
}

TEST(ParseZoneinfo, ReusedVectorForgetsTheLastRun) {
  std::vector<ZoneInfo> zones;
  ASSERT_TRUE(
      parse_zoneinfo(zone_text("DMA", "        boost    5\n") + zone_text("Normal"), zones));
  EXPECT_EQ(zones[0].boost_pages, 5U);
  ASSERT_TRUE(parse_zoneinfo(zone_text("DMA"), zones));
  ASSERT_EQ(zones.size(), 1U);
  EXPECT_FALSE(zones[0].boost_pages);
}

TEST(ParseZoneinfo, HugeValuesAndMissingFinalNewline) {
  std::string text = zone_text("DMA", "      nr_dirtied   18446744073709551615");
  std::vector<ZoneInfo> zones;
  ASSERT_TRUE(parse_zoneinfo(text, zones));
  EXPECT_EQ(zones[0].nr_dirtied_pages, ~std::uint64_t{0});
  text += "6";
  EXPECT_NE(parse_error(text).find("malformed: zoneinfo line 11"), std::string::npos);
}

TEST(ParseZoneinfo, RejectsWhatTheKernelDoesNotPrint) {
  const std::string zone = zone_text("DMA");
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("garbage\xff\n"), std::string("Node 0\n"),
        std::string("Node x, zone DMA\n"), std::string("Node 0, zone \n"),
        std::string("Node 0, zone DMA\n"), std::string("Node 0 zone DMA\n"),
        zone + "Node 0, zone Normal\n        min 1\n", zone + "        min      x\n",
        zone + "      nr_dirty\n", zone + "      nr_dirty -4\n",
        zone + "        protection: (0, x)\n", zone + "        protection: (0, 1\n",
        zone + "        protection: (1, 2, 3, 4, 5, 6, 7, 8, 9)\n"}) {
    EXPECT_NE(parse_error(text).find("malformed: zoneinfo"), std::string::npos) << text;
  }
  EXPECT_EQ(parse_error(zone + "        min      x\n"),
            "malformed: zoneinfo line 11: expected a number behind the name");
}

TEST(ParseZoneinfo, APopulatedZoneCutOffAboveItsCountersIsAnError) {
  const std::string text = zone_text("DMA");
  EXPECT_NE(parse_error(text.substr(0, text.find("      nr_free"))), "");
}

TEST(ParseZoneinfo, EveryPrefixIsParsedOrRefused) {
  for (const char* name : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    const std::string text = fixture_text(name);
    std::vector<ZoneInfo> zones;
    for (std::size_t size = 0; size < text.size(); ++size) {
      const std::string prefix = text.substr(0, size);  // a copy, so that sanitizers see its end
      if (parse_zoneinfo(prefix, zones)) {
        for (const ZoneInfo& zone : zones) {
          EXPECT_TRUE(zone.high_pages && zone.present_pages) << name << " " << size;
        }
      }
    }
  }
}

TEST(ParseZoneinfo, Linux310) {
  const std::string text = fixture_text("linux-3.10");
  std::vector<ZoneInfo> zones;
  ASSERT_TRUE(parse_zoneinfo(text, zones));
  ASSERT_EQ(zones.size(), 3U);
  EXPECT_EQ(zones[2].zone, "Normal");
  EXPECT_EQ(zones[2].scanned_pages, 17U);
  EXPECT_EQ(zones[2].high_pages, 6338U);
  EXPECT_EQ(zones[2].nr_active_anon_pages, 47076U) << "LRU lists are per zone up to 4.7";
  EXPECT_EQ(zones[1].nr_active_anon_pages, 141228U);
  EXPECT_EQ(zones[0].protection_pages[1], 2991);
}

TEST(ParseZoneinfo, Linux419And510) {
  for (const char* name : {"linux-4.19", "linux-5.10"}) {
    const std::string text = fixture_text(name);
    std::vector<ZoneInfo> zones;
    ASSERT_TRUE(parse_zoneinfo(text, zones)) << name;
    EXPECT_EQ(zones[0].nr_active_anon_pages, 188304U) << "per node, under its first zone";
    EXPECT_FALSE(zones[1].nr_active_anon_pages);
    EXPECT_FALSE(zones[2].scanned_pages);
    EXPECT_FALSE(zones[2].boost_pages);
    EXPECT_EQ(zones[2].min_pages, 4226U);
    EXPECT_EQ(zones[3].zone, "Movable");
    EXPECT_EQ(zones[3].present_pages, 0U);
    EXPECT_FALSE(zones[3].nr_free_pages) << "unpopulated zones have no counters";
  }
}

TEST(ParseZoneinfo, Linux612) {
  const std::string text = fixture_text("linux-6.12");
  std::vector<ZoneInfo> zones;
  ASSERT_TRUE(parse_zoneinfo(text, zones));
  ASSERT_EQ(zones.size(), 5U);
  EXPECT_EQ(zones[2].boost_pages, 1024U);
  EXPECT_EQ(zones[2].min_pages, 5250U);
  EXPECT_EQ(zones[2].nr_free_cma_pages, 0U);
  EXPECT_EQ(zones[2].protection_count, 5U);
}

TEST(ZoneinfoCollector, SeriesAndLabels) {
  const auto section = testing::run_once(kZoneinfoCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = testing::flatten(*section);
  EXPECT_EQ(series.at("node_zoneinfo_nr_free_pages{node=\"0\",zone=\"DMA32\"}"), 31222);
  EXPECT_EQ(series.at("node_zoneinfo_high_pages{node=\"0\",zone=\"Normal\"}"), 7362);
  EXPECT_EQ(series.at("node_zoneinfo_nr_kernel_stacks{node=\"0\",zone=\"DMA\"}"), 3072);
  EXPECT_EQ(series.at("node_zoneinfo_nr_dirtied_total{node=\"0\",zone=\"DMA\"}"), 8812345);
  EXPECT_EQ(series.at("node_zoneinfo_protection_2{node=\"0\",zone=\"DMA32\"}"), 961);
  EXPECT_EQ(series.at("tidegauge_zone_boost_pages{node=\"0\",zone=\"Normal\"}"), 1024);
  EXPECT_EQ(series.at("tidegauge_zone_cma_free_pages{node=\"0\",zone=\"Normal\"}"), 0);
  EXPECT_FALSE(series.contains("tidegauge_zone_promo_pages{node=\"0\",zone=\"Normal\"}"));
  EXPECT_FALSE(series.contains("node_zoneinfo_nr_free_pages{node=\"0\",zone=\"Movable\"}"));
  EXPECT_FALSE(series.contains("node_zoneinfo_scanned_pages{node=\"0\",zone=\"Normal\"}"));
  EXPECT_EQ(series.at("node_zoneinfo_min_pages{node=\"0\",zone=\"Movable\"}"), 0);
}

TEST(ZoneinfoCollector, DecodesToWhatWasParsed) {
  const std::string text = fixture_text("linux-6.12");
  std::vector<ZoneInfo> parsed;
  ASSERT_TRUE(parse_zoneinfo(text, parsed));
  const auto section = testing::run_once(kZoneinfoCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section);
  const auto decoded = decode_zoneinfo(*section);
  ASSERT_EQ(decoded.size(), parsed.size());
  for (std::size_t i = 0; i < parsed.size(); ++i) {
    EXPECT_EQ(decoded[i].node, parsed[i].node);
    EXPECT_EQ(decoded[i].zone, parsed[i].zone);
    EXPECT_EQ(decoded[i].nr_free_pages, parsed[i].nr_free_pages);
    EXPECT_EQ(decoded[i].min_pages, parsed[i].min_pages);
    EXPECT_EQ(decoded[i].boost_pages, parsed[i].boost_pages);
    EXPECT_EQ(decoded[i].promo_pages, parsed[i].promo_pages);
    EXPECT_EQ(decoded[i].nr_free_cma_pages, parsed[i].nr_free_cma_pages);
    EXPECT_EQ(decoded[i].protection_pages, parsed[i].protection_pages);
    EXPECT_EQ(decoded[i].protection_count, parsed[i].protection_count);
    EXPECT_EQ(decoded[i].numa_other, parsed[i].numa_other);
  }
}

TEST(ZoneinfoCollector, TwoNodesAndAZoneThatLeaves) {
  testing::FixtureTree tree;
  std::string second = zone_text("Normal");
  second.replace(0, 6, "Node 1");
  tree.write("proc/zoneinfo", zone_text("Normal") + second);
  auto collector = testing::make(kZoneinfoCollector, tree.files());
  ASSERT_TRUE(collector);
  auto section = testing::run(**collector);
  ASSERT_TRUE(section);
  EXPECT_TRUE(
      testing::flatten(*section).contains("node_zoneinfo_min_pages{node=\"1\",zone=\"Normal\"}"));
  tree.write("proc/zoneinfo", zone_text("Normal"));
  section = testing::run(**collector);
  ASSERT_TRUE(section);
  EXPECT_FALSE(
      testing::flatten(*section).contains("node_zoneinfo_min_pages{node=\"1\",zone=\"Normal\"}"));
}

TEST(ZoneinfoCollector, ThisMachine) {
  const auto section = testing::run_once(kZoneinfoCollector, KernelFiles());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_FALSE(decode_zoneinfo(*section).empty());
}

}  // namespace
}  // namespace tidegauge
