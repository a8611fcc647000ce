// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/ksmd.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

TEST(ParseKsmNumber, OneNumber) {
  EXPECT_EQ(parse_ksm_number("run", "1\n").value(), 1);
  EXPECT_EQ(parse_ksm_number("general_profit", "-20480").value(), -20480);
  for (const char* text : {"", "\n", "x\n", "1 2\n", "9223372036854775808\n", "1.5\n"}) {
    EXPECT_EQ(testing::error_text(parse_ksm_number("run", text)),
              "malformed: run line 1: expected one number")
        << text;
  }
}

TEST(KsmdCollector, NewKernel) {
  const auto section = testing::run_once(kKsmdCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = testing::flatten(*section);
  EXPECT_EQ(series.size(), 10U);
  EXPECT_EQ(series.at("node_ksmd_full_scans_total"), 12);
  EXPECT_EQ(series.at("node_ksmd_sleep_seconds"), 0.02);
  EXPECT_EQ(series.at("node_ksmd_general_profit_bytes"), -20480);
}

TEST(KsmdCollector, OlderKernelsHaveNoProfit) {
  for (const char* name : {"linux-3.10", "linux-4.19", "linux-5.10"}) {
    const auto section = testing::run_once(kKsmdCollector, testing::fixture(name));
    ASSERT_TRUE(section) << name << ": " << testing::error_text(section);
    EXPECT_EQ(testing::flatten(*section).size(), 9U);
  }
}

TEST(KsmdCollector, AMissingFileIsAnAbsentSeriesAndNoneAtAllAnError) {
  testing::FixtureTree tree("linux-6.12");
  tree.remove("sys/kernel/mm/ksm/merge_across_nodes");  // no CONFIG_NUMA
  const auto section = testing::run_once(kKsmdCollector, tree.files());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_EQ(testing::flatten(*section).size(), 9U);
  tree.remove("sys/kernel/mm/ksm");
  const auto none = testing::run_once(kKsmdCollector, tree.files());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::kMissing);
}

TEST(KsmdCollector, EmptyOrNegativeFileIsAnError) {
  testing::FixtureTree tree("linux-6.12");
  tree.write("sys/kernel/mm/ksm/run", "");
  EXPECT_FALSE(testing::run_once(kKsmdCollector, tree.files()));
  tree.write("sys/kernel/mm/ksm/run", "-1\n");
  EXPECT_FALSE(testing::run_once(kKsmdCollector, tree.files()));
}

TEST(KsmdCollector, ThisMachine) {
  const auto section = testing::run_once(kKsmdCollector, KernelFiles());
  if (!section && section.error().kind == ErrorKind::kMissing) {
    GTEST_SKIP() << "this kernel has no CONFIG_KSM";
  }
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_TRUE(testing::flatten(*section).contains("node_ksmd_run"));
}

}  // namespace
}  // namespace tidegauge
