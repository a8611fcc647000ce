// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/watermarks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "collectors/procfs/zoneinfo.h"
#include "daemon/heuristics/watermark_trend.h"
#include "tests/unit/testing.h"

namespace tidegauge::heuristics {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

ZoneReading zone_of(double free, double min, double low, double high, double protection = 0) {
  ZoneReading zone;
  zone.is_populated = true;
  zone.free_pages = free;
  zone.min_pages = min;
  zone.low_pages = low;
  zone.high_pages = high;
  zone.protection_pages = protection;
  measure_headroom(zone);
  return zone;
}

TEST(ZoneHeadroom, FreeAgainstMarkAndProtection) {
  const ZoneReading zone = zone_of(1000, 100, 200, 300, 50);
  EXPECT_EQ(zone.headroom_min_pages, 850);
  EXPECT_EQ(zone.headroom_low_pages, 750);
  EXPECT_EQ(zone.headroom_high_pages, 650);
  EXPECT_EQ(zone_of(100, 100, 200, 300, 50).headroom_low_pages, -150);
}

TEST(ZoneHeadroom, FreeCmaIsNotForEverybody) {
  ZoneReading zone = zone_of(1000, 100, 200, 300);
  zone.free_cma_pages = 900;
  measure_headroom(zone);
  EXPECT_EQ(zone.headroom_low_pages, -100);
}

TEST(ZoneHeadroom, AbsentWhatItTakesIsAbsent) {
  ZoneReading zone = zone_of(1000, 100, 200, 300);
  zone.low_pages.reset();
  measure_headroom(zone);
  EXPECT_TRUE(zone.headroom_min_pages);
  EXPECT_FALSE(zone.headroom_low_pages);
  zone.free_pages.reset();
  measure_headroom(zone);
  EXPECT_FALSE(zone.headroom_min_pages);
}

struct NodeCase {
  const char* what;
  std::vector<ZoneReading> zones;
  std::optional<double> headroom_low;
  std::optional<bool> is_balanced;            // any zone
  std::optional<bool> is_balanced_up_to_4_7;  // every zone
  std::optional<bool> is_far_above;
};

TEST(NodeWatermarks, ZonesTogether) {
  ZoneReading empty;
  ZoneReading unknown = zone_of(1000, 100, 200, 300);
  unknown.high_pages.reset();
  unknown.low_pages.reset();
  measure_headroom(unknown);
  const NodeCase cases[] = {
      {"all zero", {zone_of(0, 0, 0, 0)}, 0, false, false, false},
      {"nothing populated", {empty, empty}, std::nullopt, std::nullopt, std::nullopt, std::nullopt},
      {"all above", {zone_of(9000, 10, 20, 30), empty}, 8980, true, true, true},
      {"just above high", {zone_of(350, 100, 200, 300)}, 150, true, true, false},
      {"between low and high", {zone_of(250, 100, 200, 300)}, 50, false, false, false},
      {"below low", {zone_of(150, 100, 200, 300)}, -50, false, false, false},
      // A zone that its protection keeps from ordinary allocations neither helps nor harms, and does
      // not count up to 4.7, where kswapd looks without protection.
      {"protected DMA rich, Normal below low",
       {zone_of(3840, 14, 17, 20, 17'482), zone_of(150, 100, 200, 300)},
       -50,
       false,
       false,
       false},
      {"protected DMA rich, Normal rich",
       {zone_of(3840, 14, 17, 20, 17'482), zone_of(9000, 100, 200, 300)},
       8800,
       true,
       true,
       true},
      {"DMA alone below low",
       {zone_of(10, 14, 17, 20), zone_of(9000, 100, 200, 300)},
       8800,
       true,
       false,
       true},
      {"the best below low counts",
       {zone_of(10, 14, 17, 20), zone_of(50, 100, 200, 300)},
       -7,
       false,
       false,
       false},
      {"a zone without marks",
       {zone_of(9000, 10, 20, 30), unknown},
       std::nullopt,
       std::nullopt,
       std::nullopt,
       std::nullopt},
  };
  for (const NodeCase& each : cases) {
    const NodeWatermarks node = measure_node(each.zones, BalanceRule::kAnyZone);
    EXPECT_EQ(node.headroom_low_pages, each.headroom_low) << each.what;
    EXPECT_EQ(node.is_balanced, each.is_balanced) << each.what;
    EXPECT_EQ(node.is_far_above_high, each.is_far_above) << each.what;
    EXPECT_EQ(measure_node(each.zones, BalanceRule::kEveryZone).is_balanced,
              each.is_balanced_up_to_4_7)
        << each.what;
  }
}

std::vector<ZoneReading> read(const Section& section) {
  WatermarkReader reader;
  std::vector<ZoneReading> zones;
  EXPECT_TRUE(reader.read(section, zones));
  EXPECT_FALSE(reader.read(section, zones)) << "same zones";
  return zones;
}

TEST(WatermarkReader, Linux310) {
  const auto section = testing::run_once(kZoneinfoCollector, testing::fixture("linux-3.10"));
  ASSERT_TRUE(section);
  const auto zones = read(*section);
  ASSERT_EQ(zones.size(), 3U);
  EXPECT_EQ(zones[0].zone, "DMA");
  EXPECT_EQ(zones[0].protection_pages, 3953);
  EXPECT_EQ(zones[0].headroom_low_pages, 3840 - 83 - 3953);
  EXPECT_EQ(zones[2].protection_pages, 0);
  EXPECT_FALSE(zones[2].boost_pages);
  EXPECT_TRUE(zones[2].is_populated);
}

TEST(WatermarkReader, Linux612MarksHoldTheBoost) {
  const auto section = testing::run_once(kZoneinfoCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section);
  const auto zones = read(*section);
  ASSERT_EQ(zones.size(), 5U);
  EXPECT_EQ(zones[2].boost_pages, 1024);
  EXPECT_EQ(zones[2].min_pages, 5250);
  EXPECT_EQ(zones[2].headroom_min_pages, *zones[2].free_pages - 5250);
  EXPECT_EQ(zones[1].protection_pages, 961);
  EXPECT_FALSE(zones[3].is_populated);
  EXPECT_FALSE(zones[3].headroom_low_pages);
}

TEST(WatermarkReader, SectionsThatAreNoZoneinfo) {
  WatermarkReader reader;
  std::vector<ZoneReading> zones;
  reader.read(Section{}, zones);
  EXPECT_TRUE(zones.empty());
}

// Samples of `seconds`, one a second, falling from `start` by `slope` a second.
template <class Noise>
FreeTrend falling(double start, double slope, int seconds, Noise noise) {
  FreeTrend trend;
  for (int i = 0; i < seconds; ++i) {
    add_sample(trend, {(100 + i) * kSecond, std::round(start + slope * i + noise(i))});
  }
  return trend;
}

const auto kNoNoise = [](int) { return 0.0; };

TEST(Trend, ALineIsALine) {
  const FreeTrend trend = falling(1'000'000, -1000, 60, kNoNoise);
  const auto line = estimate(trend);
  ASSERT_TRUE(line);
  EXPECT_NEAR(line->pages_per_second, -1000, 1e-6);
  const double headroom = 1'000'000 - 59'000 - 41'000;
  const auto time = time_to_mark(trend, headroom);
  ASSERT_TRUE(time);
  EXPECT_NEAR(time->seconds, 900, 1e-6);
  EXPECT_GT(time->uncertainty_seconds, 0) << "free pages are never exact";
  EXPECT_LT(time->uncertainty_seconds, 0.5);
}

TEST(Trend, NoiseIsCoveredByTheUncertainty) {
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0, 2000);
  int inside = 0;
  constexpr int kRuns = 400;
  for (int run = 0; run < kRuns; ++run) {
    const FreeTrend trend = falling(1'000'000, -500, 60, [&](int) { return noise(random); });
    const double truth = 1'000'000 - 500.0 * 59;  // without noise, at the last sample
    const double noisy = trend.at(trend.count - 1).free_pages;
    const auto time = time_to_mark(trend, noisy - 500'000);
    ASSERT_TRUE(time) << run;
    const double expected = (truth - 500'000) / 500;
    inside += std::abs(time->seconds - expected) <= time->uncertainty_seconds ? 1 : 0;
    EXPECT_LT(time->uncertainty_seconds, expected) << run;
  }
  EXPECT_GE(inside, kRuns * 92 / 100);
}

TEST(Trend, CorrelatedNoiseWidensIt) {
  const auto wave = [](int i) { return 3000 * std::sin(i / 4.0); };
  std::mt19937 random(3);
  std::normal_distribution<double> noise(0, 3000 / std::sqrt(2.0));
  const auto smooth = estimate(falling(1'000'000, -500, 60, wave));
  const auto rough = estimate(falling(1'000'000, -500, 60, [&](int) { return noise(random); }));
  ASSERT_TRUE(smooth && rough);
  EXPECT_GT(smooth->standard_error, 2 * rough->standard_error);
}

TEST(Trend, AbsentUnlessItFalls) {
  EXPECT_FALSE(time_to_mark(falling(1'000'000, 0, 60, kNoNoise), 1000)) << "constant";
  EXPECT_FALSE(time_to_mark(falling(1'000'000, 100, 60, kNoNoise), 1000)) << "rising";
  std::mt19937 random(11);
  std::normal_distribution<double> noise(0, 5000);
  int shown = 0;
  for (int run = 0; run < 200; ++run) {
    shown +=
        time_to_mark(falling(1'000'000, 0, 60, [&](int) { return noise(random); }), 1000) ? 1 : 0;
  }
  EXPECT_LE(shown, 1) << "noise";
  EXPECT_FALSE(time_to_mark(falling(1'000'000, -1000, 9, kNoNoise), 1000)) << "too few";
  EXPECT_FALSE(time_to_mark(falling(1'000'000, -1000, 60, kNoNoise), 0)) << "there already";
  EXPECT_FALSE(time_to_mark(falling(1'000'000, -1000, 60, kNoNoise), -5)) << "below";
  EXPECT_FALSE(time_to_mark(falling(1e9, -1000, 60, kNoNoise), 1e9)) << "over a day";
  EXPECT_FALSE(estimate(FreeTrend{}));
}

TEST(Trend, TimesThatDoNotGoOn) {
  FreeTrend trend = falling(1'000'000, -1000, 60, kNoNoise);
  EXPECT_FALSE(add_sample(trend, trend.at(59))) << "the same once more";
  EXPECT_FALSE(add_sample(trend, {trend.at(59).boottime_ns + kSecond / 10, 1}));
  EXPECT_EQ(trend.count, 60U);
  EXPECT_TRUE(add_sample(trend, {trend.at(59).boottime_ns + kSecond, 1}));
  EXPECT_EQ(trend.count, 60U);
  EXPECT_EQ(trend.at(0).boottime_ns, 101 * kSecond);
  EXPECT_TRUE(add_sample(trend, {5, 1})) << "another boot";
  EXPECT_EQ(trend.count, 1U);
  EXPECT_TRUE(add_sample(trend, {5 + 1000 * kSecond, 1})) << "a long gap";
  EXPECT_EQ(trend.count, 1U);
}

}  // namespace
}  // namespace tidegauge::heuristics
