// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cpufreq.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "collectors/procfs/cpu.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

std::map<std::string, double> series_of(const KernelFiles& files) {
  const auto section = testing::run_once(kCpufreqCollector, files);
  EXPECT_TRUE(section) << testing::error_text(section);
  return section ? testing::flatten(*section) : std::map<std::string, double>{};
}

TEST(ParseKhz, NumberOrUnknown) {
  EXPECT_EQ(parse_khz("x", "1699981\n").value(), 1699981U);
  EXPECT_EQ(parse_khz("x", "18446744073709551615").value(), ~std::uint64_t{0});
  EXPECT_FALSE(parse_khz("x", "<unknown>\n").value());
  for (const char* text : {"", "\n", "fast", "-1", "1.5", "1 2", "18446744073709551616"}) {
    EXPECT_NE(testing::error_text(parse_khz("x", text)).find("malformed: x"), std::string::npos)
        << text;
  }
}

TEST(ParseGovernors, EachOnce) {
  EXPECT_EQ(parse_governors("performance powersave performance "),
            (std::vector<std::string_view>{"performance", "powersave"}));
  EXPECT_TRUE(parse_governors("").empty());
}

TEST(CpufreqCollector, Drivers) {
  const auto acpi = series_of(testing::fixture("linux-3.10"));
  EXPECT_EQ(acpi.at(R"(node_cpu_frequency_hertz{cpu="1"})"), 1800101000);
  EXPECT_EQ(acpi.at(R"(node_cpu_scaling_governor{cpu="0",governor="ondemand"})"), 1);
  EXPECT_EQ(acpi.at(R"(node_cpu_scaling_governor{cpu="0",governor="performance"})"), 0);
  const auto intel = series_of(testing::fixture("linux-6.12"));
  EXPECT_FALSE(intel.contains(R"(node_cpu_frequency_hertz{cpu="0"})"));
  EXPECT_EQ(intel.at(R"(node_cpu_frequency_avg_hertz{cpu="0"})"), 1900000000);
  EXPECT_EQ(intel.at(R"(node_cpu_frequency_min_hertz{cpu="0"})"), 1200000000);
  EXPECT_EQ(intel.at(R"(node_cpu_frequency_max_hertz{cpu="0"})"), 2600000000);
  EXPECT_EQ(intel.at(R"(node_cpu_scaling_frequency_hertz{cpu="1"})"), 1800001000);
  EXPECT_EQ(intel.at(R"(node_cpu_scaling_frequency_min_hertz{cpu="1"})"), 1200000000);
  EXPECT_EQ(intel.at(R"(node_cpu_scaling_frequency_max_hertz{cpu="1"})"), 2500000000);
  EXPECT_EQ(intel.at(R"(node_cpu_scaling_governor{cpu="1",governor="performance"})"), 1);
  EXPECT_EQ(intel.size(), 15U);
}

TEST(CpufreqCollector, OfflineAndDriverlessCpusAreLeftOut) {
  const testing::FixtureTree tree("linux-6.12");
  tree.write("sys/devices/system/cpu/offline", "1\n");
  EXPECT_EQ(series_of(tree.files()).size(), 8U);
  tree.remove("sys/devices/system/cpu/cpu0/cpufreq");
  EXPECT_TRUE(series_of(tree.files()).empty());
  tree.remove("sys/devices/system/cpu");
  EXPECT_FALSE(testing::run_once(kCpufreqCollector, tree.files()));
}

TEST(CpufreqCollector, UnknownIsAbsentAndGarbageFails) {
  const testing::FixtureTree tree("linux-3.10");
  tree.write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_cur_freq", "<unknown>\n");
  const auto series = series_of(tree.files());
  EXPECT_FALSE(series.contains(R"(node_cpu_frequency_hertz{cpu="0"})"));
  EXPECT_TRUE(series.contains(R"(node_cpu_frequency_hertz{cpu="1"})"));
  tree.write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_cur_freq", "");
  EXPECT_NE(
      testing::error_text(testing::run_once(kCpufreqCollector, tree.files())).find("malformed: "),
      std::string::npos);
}

TEST(CpufreqCollector, ShowsCpuinfosClockWhileCpuInfoIsOn) {
  const auto files = testing::fixture("linux-4.19");
  const std::string name = R"(node_cpu_frequency_hertz{package="0",core="1",cpu="1"})";
  EXPECT_FALSE(series_of(files).contains(name));
  {
    const auto cpu = testing::make(kCpuCollector, files, {"info=true"});
    ASSERT_TRUE(cpu);
    EXPECT_EQ(series_of(files).at(name), 2394.230 * 1e6);
    EXPECT_FALSE(series_of(testing::fixture("linux-5.10")).contains(name));
  }
  EXPECT_FALSE(series_of(files).contains(name));
}

TEST(CpufreqCollector, ThisMachine) {
  if (!std::filesystem::exists("/sys/devices/system/cpu/cpu0/cpufreq")) {
    EXPECT_TRUE(series_of(KernelFiles()).empty());
    GTEST_SKIP() << "this machine has no cpufreq driver";
  }
  EXPECT_FALSE(series_of(KernelFiles()).empty());
}

}  // namespace
}  // namespace tidegauge
