// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/stat.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

TEST(StatCollector, EveryKernelGeneration) {
  int generation = 0;
  for (const char* kernel : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    const auto section = testing::run_once(kStatCollector, testing::fixture(kernel));
    ASSERT_TRUE(section) << testing::error_text(section);
    const auto series = testing::flatten(*section);
    EXPECT_EQ(series.size(), 16U) << kernel;
    EXPECT_EQ(series.at("node_intr_total"), 91234567 + generation);
    EXPECT_EQ(series.at("node_context_switches_total"), 198765432 + generation);
    EXPECT_EQ(series.at("node_forks_total"), 812345 + generation);
    EXPECT_EQ(series.at("node_boot_time_seconds"), 1700000000 + generation);
    EXPECT_EQ(series.at("node_procs_running"), 2 + generation);
    EXPECT_EQ(series.at("node_procs_blocked"), generation);
    EXPECT_EQ(series.at(R"(node_softirqs_total{vector="block_iopoll"})"), generation == 0 ? 7 : 0);
    EXPECT_EQ(series.at(R"(node_softirqs_total{vector="rcu"})"), 17023094 + generation);
    ++generation;
  }
}

TEST(StatCollector, SoftirqOption) {
  const auto section =
      testing::run_once(kStatCollector, testing::fixture("linux-6.12"), {"softirq=false"});
  ASSERT_TRUE(section);
  EXPECT_EQ(testing::flatten(*section).size(), 6U);
}

TEST(StatCollector, MalformedFilesFail) {
  for (const char* text : {"", "\n", "garbage\n", "cpu  1 2 3 4\ncpu0 1 2 3 4\nctxt\n",
                           "cpu  1 2 3 4\ncpu0 1 2 3 4\nctxt -1\n",
                           "cpu  1 2 3 4\ncpu0 1 2 3 4\nbtime 18446744073709551616\n",
                           "cpu  1 2 3 4\ncpu0 1 2 3 4\nsoftirq 10 1 2 3\n"}) {
    const testing::FixtureTree tree;
    tree.write("proc/stat", text);
    const auto section = testing::run_once(kStatCollector, tree.files());
    EXPECT_NE(testing::error_text(section).find("malformed: stat"), std::string::npos) << text;
  }
  const testing::FixtureTree none;
  const auto section = testing::run_once(kStatCollector, none.files());
  ASSERT_FALSE(section);
  EXPECT_EQ(section.error().kind, ErrorKind::kMissing);
}

}  // namespace
}  // namespace tidegauge
