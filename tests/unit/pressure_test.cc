// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/pressure.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::string_view kSome = "some avg10=0.18 avg60=0.34 avg300=0.10 total=159886802\n";
constexpr std::string_view kFull = "full avg10=0.18 avg60=0.34 avg300=0.10 total=159229614\n";

TEST(ParsePressure, BothLinesOrOne) {
  const auto both = parse_pressure("pressure/io", std::string(kSome).append(kFull));
  ASSERT_TRUE(both);
  EXPECT_EQ(both->some_total_us, 159886802U);
  EXPECT_EQ(both->full_total_us, 159229614U);
  const auto some = parse_pressure("pressure/cpu", kSome);
  ASSERT_TRUE(some);
  EXPECT_FALSE(some->full_total_us);
  const auto newer = parse_pressure(
      "pressure/x", "none total=1\nfull avg10=1.00 new=2 total=18446744073709551615 more=3");
  ASSERT_TRUE(newer);
  EXPECT_EQ(newer->full_total_us, ~std::uint64_t{0});
  EXPECT_FALSE(newer->some_total_us);
}

TEST(ParsePressure, RejectsOtherText) {
  for (const char* text :
       {"", "\n", "garbage", "some", "some avg10=0.00\n", "some total=\n", "some total=x\n",
        "some total=-1\n", "full avg10=0.00 avg60=0.00 avg300=0.00 total=18446744073709551616\n"}) {
    EXPECT_NE(
        testing::error_text(parse_pressure("pressure/io", text)).find("malformed: pressure/io"),
        std::string::npos)
        << text;
  }
}

TEST(PressureCollector, AllFourResources) {
  const auto section = testing::run_once(kPressureCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = testing::flatten(*section);
  EXPECT_EQ(series.size(), 6U);
  EXPECT_EQ(series.at("node_pressure_cpu_waiting_seconds_total"), 812345678 / 1000.0 / 1000.0);
  EXPECT_EQ(series.at("node_pressure_io_stalled_seconds_total"), 351234567 / 1000.0 / 1000.0);
  EXPECT_EQ(series.at("node_pressure_memory_waiting_seconds_total"), 20123456 / 1000.0 / 1000.0);
  // node_exporter's two divisions: one division by a million gives another last bit.
  EXPECT_EQ(series.at("node_pressure_irq_stalled_seconds_total"), 8.855099000000001);
}

TEST(PressureCollector, OlderKernelsLackIrqAndCpuFull) {
  const auto section = testing::run_once(kPressureCollector, testing::fixture("linux-5.10"));
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = testing::flatten(*section);
  EXPECT_EQ(series.size(), 5U);
  EXPECT_FALSE(series.contains("node_pressure_irq_stalled_seconds_total"));
}

TEST(PressureCollector, NoFilesAtAllIsMissing) {
  for (const char* name : {"linux-3.10", "linux-4.19"}) {
    const auto section = testing::run_once(kPressureCollector, testing::fixture(name));
    ASSERT_FALSE(section);
    EXPECT_EQ(section.error().kind, ErrorKind::kMissing);
  }
}

TEST(PressureCollector, AFileWithoutItsLineIsMalformed) {
  testing::FixtureTree tree("linux-6.12");
  tree.write("proc/pressure/memory", kSome);
  EXPECT_EQ(testing::error_text(testing::run_once(kPressureCollector, tree.files())),
            "malformed: pressure/memory: expected a \"full\" line");
  tree.write("proc/pressure/memory", "");
  EXPECT_NE(testing::error_text(testing::run_once(kPressureCollector, tree.files())), "");
}

TEST(PressureCollector, RecoversWhenAFileComesBack) {
  testing::FixtureTree tree("linux-6.12");
  tree.write("proc/pressure/cpu", "garbage\n");
  auto collector = testing::make(kPressureCollector, tree.files());
  ASSERT_TRUE(collector);
  EXPECT_FALSE(testing::run(**collector));
  tree.write("proc/pressure/cpu", kSome);
  EXPECT_TRUE(testing::run(**collector));
  tree.remove("proc/pressure/irq");
  const auto section = testing::run(**collector);
  ASSERT_TRUE(section);
  EXPECT_EQ(testing::flatten(*section).size(), 5U) << "the irq value of the last run must not stay";
}

TEST(PressureCollector, ThisMachine) {
  if (!std::filesystem::exists("/proc/pressure/cpu")) {
    GTEST_SKIP() << "this kernel has no /proc/pressure";
  }
  const auto section = testing::run_once(kPressureCollector, KernelFiles());
  if (!section && section.error().kind == ErrorKind::kUnsupported) {
    GTEST_SKIP() << "pressure stall information is switched off here (psi=0)";
  }
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_TRUE(testing::flatten(*section).contains("node_pressure_cpu_waiting_seconds_total"));
}

}  // namespace
}  // namespace tidegauge
