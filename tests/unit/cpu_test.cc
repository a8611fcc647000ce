// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cpu.h"

#include <gtest/gtest.h>

#include "collectors/procfs/cpu_list.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::map<std::string, double> series_of(const KernelFiles& files,
                                        const std::vector<std::string>& options = {}) {
  const auto section = testing::run_once(kCpuCollector, files, options);
  EXPECT_TRUE(section) << testing::error_text(section);
  return section ? testing::flatten(*section) : std::map<std::string, double>{};
}

std::string stat_of(std::string_view cpu_lines) {
  return "cpu  1 1 1 1 1 1 1 1 1 1\n" + std::string(cpu_lines) +
         "intr 5 1\nctxt 6\nbtime 7\nprocesses 8\nprocs_running 1\nprocs_blocked 0\n"
         "softirq 10 1 1 1 1 1 1 1 1 1 1\n";
}

TEST(HoldCpuTimes, KeepsTheGreatestValueOfEachMode) {
  std::vector<HeldCpuTimes> held;
  NumberedCpuTimes now{"0", {.user_ticks = 10, .idle_ticks = 1000, .iowait_ticks = 50}};
  EXPECT_TRUE(hold_cpu_times(std::span(&now, 1), held));
  now.times = {.user_ticks = 11, .idle_ticks = 701, .iowait_ticks = 49};
  EXPECT_FALSE(hold_cpu_times(std::span(&now, 1), held));
  EXPECT_EQ(held[0].times.user_ticks, 11U);
  EXPECT_EQ(held[0].times.idle_ticks, 1000U);
  EXPECT_EQ(held[0].times.iowait_ticks, 50U);
}

TEST(HoldCpuTimes, IdleBackByThreeSecondsStartsTheCpuAnew) {
  std::vector<HeldCpuTimes> held;
  std::vector<NumberedCpuTimes> now = {{"0", {.user_ticks = 10, .idle_ticks = 1000}},
                                       {"1", {.user_ticks = 20, .idle_ticks = 1000}}};
  hold_cpu_times(now, held);
  now[0].times = {.user_ticks = 1, .idle_ticks = 700};
  now[1].times = {.user_ticks = 2, .idle_ticks = 701};
  hold_cpu_times(now, held);
  EXPECT_EQ(held[0].times.user_ticks, 1U);
  EXPECT_EQ(held[0].times.idle_ticks, 700U);
  EXPECT_EQ(held[1].times.user_ticks, 20U);
  EXPECT_EQ(held[1].times.idle_ticks, 1000U);
}

TEST(HoldCpuTimes, ForgetsCpusThatLeave) {
  std::vector<HeldCpuTimes> held;
  const NumberedCpuTimes zero{"0", {.user_ticks = 10}};
  const NumberedCpuTimes one{"1", {.user_ticks = 20}};
  const NumberedCpuTimes one_later{"1", {.user_ticks = 5}};
  const std::vector<NumberedCpuTimes> both = {zero, one};
  hold_cpu_times(both, held);
  EXPECT_TRUE(hold_cpu_times(std::span(&zero, 1), held));
  ASSERT_EQ(held.size(), 1U);
  const std::vector<NumberedCpuTimes> again = {zero, one_later};
  EXPECT_TRUE(hold_cpu_times(again, held));
  ASSERT_EQ(held.size(), 2U);
  EXPECT_EQ(held[1].times.user_ticks, 5U);  // not what it had before it left
  // One leaves while another comes: the number stays, the set does not.
  const NumberedCpuTimes two{"2", {.user_ticks = 1}};
  const std::vector<NumberedCpuTimes> swapped = {zero, two};
  EXPECT_TRUE(hold_cpu_times(swapped, held));
  EXPECT_EQ(held[1].number, "2");
  EXPECT_EQ(held[1].times.user_ticks, 1U);
}

TEST(CpuCollector, TimesOfEveryKernelGeneration) {
  int generation = 0;
  for (const char* kernel : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    const auto series = series_of(testing::fixture(kernel));
    EXPECT_EQ(series.at(R"(node_cpu_seconds_total{cpu="0",mode="user"})"),
              (412345 + generation) / 100.0)
        << kernel;
    EXPECT_EQ(series.at(R"(node_cpu_seconds_total{cpu="1",mode="steal"})"), 0.21);
    EXPECT_EQ(series.at(R"(node_cpu_seconds_total{cpu="1",mode="iowait"})"), 198.76);
    EXPECT_EQ(series.at(R"(node_cpu_guest_seconds_total{cpu="0",mode="user"})"), 12.0);
    EXPECT_EQ(series.at(R"(node_cpu_guest_seconds_total{cpu="1",mode="nice"})"), 0.09);
    EXPECT_FALSE(series.contains(R"(node_cpu_seconds_total{cpu="2",mode="user"})"));
    ++generation;
  }
}

TEST(CpuCollector, SysfsFamilies) {
  const auto old = series_of(testing::fixture("linux-3.10"));
  EXPECT_EQ(old.at(R"(node_cpu_core_throttles_total{package="0",core="1"})"), 1);
  EXPECT_EQ(old.at(R"(node_cpu_package_throttles_total{package="0"})"), 0);
  EXPECT_FALSE(old.contains(R"(node_cpu_online{cpu="1"})"));  // its first CPU has no such file
  EXPECT_EQ(old.size(), 23U);
  const auto hotplug = series_of(testing::fixture("linux-4.19"));
  EXPECT_EQ(hotplug.at(R"(node_cpu_online{cpu="0"})"), 1);
  EXPECT_EQ(hotplug.at(R"(node_cpu_online{cpu="1"})"), 1);
  const auto recent = series_of(testing::fixture("linux-6.12"));
  EXPECT_EQ(recent.at(R"(node_cpu_isolated{cpu="1"})"), 1);
  EXPECT_FALSE(recent.contains(R"(node_cpu_isolated{cpu="0"})"));
  EXPECT_EQ(recent.at(R"(node_cpu_package_throttles_total{package="0"})"), 60);
}

TEST(CpuCollector, GuestAndInfoOptions) {
  EXPECT_EQ(series_of(testing::fixture("linux-5.10"), {"guest=false"}).size(), 16U);
  const auto info = series_of(testing::fixture("linux-6.12"), {"info=true"});
  EXPECT_EQ(
      info.at(R"(node_cpu_info{package="0",core="1",cpu="1",vendor="GenuineIntel",family="6",)"
              R"(model="106",model_name="Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz",)"
              R"(microcode="0xd0003e7",stepping="6",cachesize="43008 KB"})"),
      1);
  EXPECT_FALSE(info.contains(R"(node_cpu_flag_info{flag="aes"})"));
  const auto flags = series_of(testing::fixture("linux-6.12"),
                               {"info_flags_include=^(aes|avx.?)$", "info_bugs_include=^spectre"});
  EXPECT_EQ(flags.at(R"(node_cpu_flag_info{flag="avx2"})"), 1);
  EXPECT_FALSE(flags.contains(R"(node_cpu_flag_info{flag="fpu"})"));
  EXPECT_EQ(flags.at(R"(node_cpu_bug_info{bug="spectre_v1"})"), 1);
  EXPECT_FALSE(flags.contains(R"(node_cpu_bug_info{bug="mds"})"));
  EXPECT_EQ(flags.size(), info.size() + 5);
  EXPECT_FALSE(
      testing::make(kCpuCollector, testing::fixture("linux-6.12"), {"info_flags_include=("}));
}

TEST(CpuCollector, HotplugShowsAtOnceAndCountersNeverFall) {
  const testing::FixtureTree tree("linux-4.19");
  tree.write("proc/stat", stat_of("cpu0 100 0 0 900 50\ncpu1 100 0 0 900 50\n"));
  const auto collector = testing::make(kCpuCollector, tree.files());
  ASSERT_TRUE(collector);
  const auto at = [&](std::int64_t seconds) {
    const auto section = testing::run(**collector, seconds * kSecond);
    EXPECT_TRUE(section) << testing::error_text(section);
    return section ? testing::flatten(*section) : std::map<std::string, double>{};
  };
  EXPECT_EQ(at(1).at(R"(node_cpu_seconds_total{cpu="1",mode="iowait"})"), 0.5);
  tree.write("proc/stat", stat_of("cpu0 101 0 0 905 40\n"));
  tree.write("sys/devices/system/cpu/cpu1/online", "0\n");
  tree.remove("sys/devices/system/cpu/cpu1/topology");
  tree.remove("sys/devices/system/cpu/cpu1/thermal_throttle");
  const auto later = at(2);
  EXPECT_EQ(later.at(R"(node_cpu_seconds_total{cpu="0",mode="iowait"})"), 0.5);
  EXPECT_EQ(later.at(R"(node_cpu_seconds_total{cpu="0",mode="idle"})"), 9.05);
  EXPECT_FALSE(later.contains(R"(node_cpu_seconds_total{cpu="1",mode="idle"})"));
  EXPECT_EQ(later.at(R"(node_cpu_online{cpu="1"})"), 0);
  EXPECT_FALSE(later.contains(R"(node_cpu_core_throttles_total{package="0",core="1"})"));
  // Without a sign in /proc/stat sysfs is read again within seconds.
  tree.write("sys/devices/system/cpu/cpu1/online", "1\n");
  EXPECT_EQ(at(3).at(R"(node_cpu_online{cpu="1"})"), 0);
  EXPECT_EQ(at(7).at(R"(node_cpu_online{cpu="1"})"), 1);
}

TEST(CpuCollector, SiblingSpeaksForACoreWhoseFirstCpuLeft) {
  const testing::FixtureTree tree("linux-4.19");
  tree.write("sys/devices/system/cpu/cpu1/topology/core_id", "0\n");
  const auto collector = testing::make(kCpuCollector, tree.files());
  ASSERT_TRUE(collector);
  const std::string core = R"(node_cpu_core_throttles_total{package="0",core="0"})";
  auto section = testing::run(**collector, kSecond);
  ASSERT_TRUE(section);
  EXPECT_EQ(testing::flatten(*section).at(core), 10);
  tree.remove("sys/devices/system/cpu/cpu0/thermal_throttle");
  testing::run(**collector, 7 * kSecond).value();
  section = testing::run(**collector, 13 * kSecond);
  ASSERT_TRUE(section);
  EXPECT_EQ(testing::flatten(*section).at(core), 11);
}

TEST(CpuCollector, WithoutSysfsTheTimesRemain) {
  const testing::FixtureTree tree("linux-4.19");
  tree.remove("sys");
  EXPECT_EQ(series_of(tree.files()).size(), 20U);
}

TEST(CpuCollector, MalformedFilesFail) {
  const char* const kSys = "sys/devices/system/cpu/";
  const std::pair<std::string, std::string> cases[] = {
      {"proc/stat", ""},
      {"proc/stat", "garbage\n"},
      {"proc/stat", "cpu  1 2 3 4\ncpu0 1 2 x 4\n"},
      {"proc/stat", "cpu  1 2 3 4\ncpu0 1 2 3\n"},
      {"proc/stat", "cpu  1 2 3 4\ncpu0 1 2 3 18446744073709551616\n"},
      {std::string(kSys) + "isolated", "1-\n"},
      {std::string(kSys) + "cpu1/online", ""},
      {std::string(kSys) + "cpu1/online", "2\n"},
      {std::string(kSys) + "cpu0/topology/core_id", "x\n"},
      {std::string(kSys) + "cpu0/thermal_throttle/core_throttle_count", "\n"},
  };
  for (const auto& [file, content] : cases) {
    const testing::FixtureTree tree("linux-4.19");
    tree.write(file, content);
    const auto section = testing::run_once(kCpuCollector, tree.files());
    EXPECT_NE(testing::error_text(section).find("malformed: "), std::string::npos)
        << file << ": " << content;
  }
}

TEST(CpuCollector, ThisMachine) {
  const auto series = series_of(KernelFiles());
  EXPECT_GT(series.at(R"(node_cpu_seconds_total{cpu="0",mode="idle"})"), 0);
}

TEST(ParseCpuList, RangesAndSingles) {
  std::vector<std::uint32_t> cpus;
  ASSERT_TRUE(parse_cpu_list("x", "1,3-5,9\n", cpus));
  EXPECT_EQ(cpus, (std::vector<std::uint32_t>{1, 3, 4, 5, 9}));
  ASSERT_TRUE(parse_cpu_list("x", "0-65535", cpus));
  EXPECT_EQ(cpus.size(), kMaxCpus);
  for (const char* none : {"", "\n"}) {
    ASSERT_TRUE(parse_cpu_list("x", none, cpus));
    EXPECT_TRUE(cpus.empty());
  }
}

TEST(ParseCpuList, RejectsOtherText) {
  std::vector<std::uint32_t> cpus;
  for (const char* text : {"-", "1-", "-1", "3-1", "1,,2", "1,", ",1", "a", "1-2-3", "65536",
                           "0-65535,1", "0-18446744073709551615", "18446744073709551616"}) {
    EXPECT_NE(testing::error_text(parse_cpu_list("x", text, cpus)).find("malformed: x"),
              std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace tidegauge
