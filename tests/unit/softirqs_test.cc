// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/softirqs.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::string_view kHeader = "                    CPU0       CPU3\n";
constexpr std::string_view kRest =
    "       TIMER:          2          3\n      NET_TX:          4          5\n"
    "      NET_RX:          6          7\n       BLOCK:          8          9\n"
    "    IRQ_POLL:         10         11\n     TASKLET:         12         13\n"
    "       SCHED:         14         15\n     HRTIMER:         16         17\n";
constexpr std::string_view kRcu = "         RCU:         18         19";

std::string file(std::string_view hi) {
  return std::string(kHeader).append(hi).append(kRest).append(kRcu);
}

TEST(ParseSoftirqs, Columns) {
  std::vector<CpuSoftirqs> cpus;
  ASSERT_TRUE(parse_softirqs(file("HI: 18446744073709551615 1\n"), cpus));
  ASSERT_EQ(cpus.size(), 2U);
  EXPECT_EQ(cpus[0].hi, ~std::uint64_t{0});
  EXPECT_EQ(cpus[1].irq_poll, 11U);
  EXPECT_FALSE(cpus[1].block_iopoll);
  EXPECT_EQ(cpus[1].rcu, 19U);
  ASSERT_TRUE(parse_softirqs(file("HI: 0 1 2\n NEWER: 1 2\n\n"), cpus));
  EXPECT_EQ(cpus.size(), 2U);
}

TEST(ParseSoftirqs, RejectsOtherText) {
  std::vector<CpuSoftirqs> cpus;
  const std::string texts[] = {"",
                               "\n",
                               "garbage\n",
                               std::string(kHeader),
                               file("HI: 1\n"),
                               file("HI: 1 x\n"),
                               file("HI: 1 18446744073709551616\n"),
                               file("HI 1 2\n"),
                               file(""),
                               std::string(kHeader).append("HI: 0 1\n").append(kRest)};
  for (const std::string& text : texts) {
    EXPECT_NE(testing::error_text(parse_softirqs(text, cpus)).find("malformed: softirqs"),
              std::string::npos)
        << text;
  }
}

TEST(SoftirqsCollector, EveryKernelGeneration) {
  for (const char* kernel : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    const auto section = testing::run_once(kSoftirqsCollector, testing::fixture(kernel));
    ASSERT_TRUE(section) << testing::error_text(section);
    const auto series = testing::flatten(*section);
    EXPECT_EQ(series.size(), 20U);
    EXPECT_EQ(series.at(R"(node_softirqs_functions_total{cpu="1",type="SCHED"})"), 4876543);
    const bool old = std::string_view(kernel) == "linux-3.10";
    EXPECT_EQ(series.contains(R"(node_softirqs_functions_total{cpu="0",type="BLOCK_IOPOLL"})"),
              old);
    EXPECT_EQ(series.contains(R"(node_softirqs_functions_total{cpu="0",type="IRQ_POLL"})"), !old);
  }
}

TEST(SoftirqsCollector, ThisMachine) {
  const auto section = testing::run_once(kSoftirqsCollector, KernelFiles());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_GT(testing::flatten(*section).at(R"(node_softirqs_functions_total{cpu="0",type="TIMER"})"),
            0);
}

}  // namespace
}  // namespace tidegauge
