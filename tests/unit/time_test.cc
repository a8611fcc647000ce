// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/time.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::FixtureTree;
using testing::flatten;
using testing::make;
using testing::run;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kWinter = 1'705'000'000 * kSecond;  // 2024-01-11
constexpr std::int64_t kSummer = 1'720'000'000 * kSecond;  // 2024-07-03
constexpr const char* kSources = "sys/devices/system/clocksource/";

// A time zone of the test's own for as long as it lives.
class TimeZone {
 public:
  explicit TimeZone(const char* value) {
    if (const char* before = ::getenv("TZ")) {
      before_ = before;
    }
    ::setenv("TZ", value, 1);
  }
  ~TimeZone() {
    before_ ? ::setenv("TZ", before_->c_str(), 1) : ::unsetenv("TZ");
    ::tzset();
  }
  TimeZone(const TimeZone&) = delete;
  TimeZone& operator=(const TimeZone&) = delete;

 private:
  std::optional<std::string> before_;
};

TEST(Time, FixtureRun) {
  const TimeZone zone("UTC0");
  const auto collector = make(kTimeCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(collector);
  const auto section = run(**collector, kSecond, 1'700'000'000'250'000'000);
  ASSERT_TRUE(section) << testing::error_text(section);
  using Series = std::map<std::string, double>;
  EXPECT_EQ(flatten(*section),
            (Series{
                {"node_time_seconds", 1.70000000025e18 / 1e9},
                {"node_time_zone_offset_seconds{time_zone=\"UTC\"}", 0},
                {"node_time_clocksource_available_info{device=\"0\",clocksource=\"tsc\"}", 1},
                {"node_time_clocksource_available_info{device=\"0\",clocksource=\"hpet\"}", 1},
                {"node_time_clocksource_available_info{device=\"0\",clocksource=\"acpi_pm\"}", 1},
                {"node_time_clocksource_current_info{device=\"0\",clocksource=\"tsc\"}", 1},
            }));
}

TEST(Time, CurrentSourceOfEveryKernel) {
  for (const auto& [name, current] :
       {std::pair("linux-3.10", "tsc"), std::pair("linux-4.19", "kvm-clock"),
        std::pair("linux-5.10", "hpet"), std::pair("linux-6.12", "tsc")}) {
    const auto section = testing::run_once(kTimeCollector, testing::fixture(name));
    ASSERT_TRUE(section) << name << testing::error_text(section);
    EXPECT_TRUE(flatten(*section).contains(
        std::string("node_time_clocksource_current_info{device=\"0\",clocksource=\"") + current +
        "\"}"))
        << name;
  }
}

TEST(Time, OffsetFollowsTheSeason) {
  const TimeZone zone("CET-1CEST,M3.5.0,M10.5.0/3");
  const auto collector = make(kTimeCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(collector);
  const auto winter = run(**collector, kSecond, kWinter);
  const auto summer = run(**collector, 2 * kSecond, kSummer);
  ASSERT_TRUE(winter && summer);
  EXPECT_EQ(flatten(*winter).at("node_time_zone_offset_seconds{time_zone=\"CET\"}"), 3600);
  EXPECT_EQ(flatten(*summer).at("node_time_zone_offset_seconds{time_zone=\"CEST\"}"), 7200);
}

TEST(Time, WestIsNegative) {
  const TimeZone zone("<-0330>3:30");
  const auto section = testing::run_once(kTimeCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section);
  EXPECT_EQ(flatten(*section).at("node_time_zone_offset_seconds{time_zone=\"-0330\"}"), -12600);
}

TEST(Time, ClockSourcesAreReadOncePerMinute) {
  const FixtureTree tree("linux-6.12");
  const auto collector = make(kTimeCollector, tree.files());
  ASSERT_TRUE(collector);
  const std::string hpet = "node_time_clocksource_current_info{device=\"0\",clocksource=\"hpet\"}";
  ASSERT_TRUE(run(**collector, kSecond));
  tree.write(std::string(kSources) + "clocksource0/current_clocksource", "hpet\n");
  EXPECT_FALSE(flatten(*run(**collector, 60 * kSecond)).contains(hpet));
  EXPECT_TRUE(flatten(*run(**collector, 61 * kSecond)).contains(hpet));
}

TEST(Time, DevicesAreNumberedInTheOrderOfTheirNames) {
  FixtureTree tree;
  for (const char* name : {"clocksource0", "clocksource10", "clocksource2"}) {
    const std::string base = std::string(kSources) + name;
    tree.write(base + "/available_clocksource", std::string("of-") + name + " \n");
    tree.write(base + "/current_clocksource", std::string("of-") + name + "\n");
  }
  tree.write(std::string(kSources) + "power/control", "auto\n");
  tree.write(std::string(kSources) + "clocksourceX/current_clocksource", "no\n");
  const auto section = testing::run_once(kTimeCollector, tree.files());
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = flatten(*section);
  const auto current = [&](const char* device, const char* name) {
    return series.contains(std::string("node_time_clocksource_current_info{device=\"") + device +
                           "\",clocksource=\"of-" + name + "\"}");
  };
  EXPECT_TRUE(current("0", "clocksource0"));
  EXPECT_TRUE(current("1", "clocksource10"));
  EXPECT_TRUE(current("2", "clocksource2"));
  EXPECT_EQ(series.size(), 8U);
}

TEST(Time, WithoutClockSourcesTheTimeRemains) {
  const FixtureTree tree;
  const auto section = testing::run_once(kTimeCollector, tree.files());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_EQ(flatten(*section).size(), 2U);
}

TEST(Time, BrokenClockSourceIsAnError) {
  const FixtureTree tree("linux-6.12");
  const std::string current = std::string(kSources) + "clocksource0/current_clocksource";
  const auto text = [&] {
    return testing::error_text(testing::run_once(kTimeCollector, tree.files()));
  };
  for (const char* bad : {"", "\n", "two names\n", "two\nlines\n"}) {
    tree.write(current, bad);
    EXPECT_NE(text().find("current_clocksource line 1: expected one name"), std::string::npos)
        << bad;
  }
  tree.write(current, "tsc\n");
  EXPECT_EQ(text(), "");
  const std::string available = std::string(kSources) + "clocksource0/available_clocksource";
  for (const char* bad : {"", " \n", "tsc\nhpet\n",
                          "ts\x01"
                          "c\n",
                          "ts\xFF\n"}) {
    tree.write(available, bad);
    EXPECT_NE(text().find("available_clocksource line 1: expected names"), std::string::npos)
        << bad;
  }
  tree.remove(available);
  EXPECT_NE(text().find("missing: "), std::string::npos);
}

}  // namespace
}  // namespace tidegauge
