// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/schedstat.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

TEST(ParseSchedstat, EveryVersion) {
  for (const char* version : {"14", "15", "16", "17", "99"}) {
    std::vector<CpuSchedstat> cpus;
    ASSERT_TRUE(parse_schedstat("version " + std::string(version) +
                                    "\ntimestamp 1\ncpu0 1 2 3 4 5 6 7 8 18446744073709551615\n"
                                    "domain0 MC 3 1 2\nnews 1\ncpu5 1 0 0 0 0 0 10 11 12 13",
                                cpus));
    ASSERT_EQ(cpus.size(), 2U);
    EXPECT_EQ(cpus[0].running_ns, 7U);
    EXPECT_EQ(cpus[0].waiting_ns, 8U);
    EXPECT_EQ(cpus[0].timeslices, ~std::uint64_t{0});
    EXPECT_EQ(cpus[1].cpu, 5U);
    EXPECT_EQ(cpus[1].timeslices, 12U);
  }
}

TEST(ParseSchedstat, RejectsOtherText) {
  std::vector<CpuSchedstat> cpus;
  for (const char* text :
       {"", "\n", "garbage\n", "version\n", "version x\n", "version 15\ntimestamp 1\n",
        "version 15\ncpu0 1 2 3 4 5 6 7 8\n", "version 15\ncpu0 1 2 3 4 5 6 7 8 x\n",
        "version 15\ncpu0 1 2 3 4 5 6 7 8 18446744073709551616\n",
        "version 15\ncpu 1 2 3 4 5 6 7 8 9\n",
        "version 15\ncpu1 1 2 3 4 5 6 7 8 9\ncpu1 1 2 3 4 5 6 7 8 9\n"}) {
    EXPECT_NE(testing::error_text(parse_schedstat(text, cpus)).find("malformed: schedstat"),
              std::string::npos)
        << text;
  }
  const auto ancient = parse_schedstat("version 12\ncpu0 1 2 3 4 5 6 7 8 9 10 11 12\n", cpus);
  ASSERT_FALSE(ancient);
  EXPECT_EQ(ancient.error().kind, ErrorKind::kUnsupported);
}

TEST(SchedstatCollector, EveryKernelGeneration) {
  int generation = 0;
  for (const char* kernel : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    const auto section = testing::run_once(kSchedstatCollector, testing::fixture(kernel));
    ASSERT_TRUE(section) << testing::error_text(section);
    const auto series = testing::flatten(*section);
    EXPECT_EQ(series.size(), 6U);
    EXPECT_EQ(series.at(R"(node_schedstat_running_seconds_total{cpu="1"})"),
              static_cast<double>(5123456789013 + generation) / 1e9);
    EXPECT_EQ(series.at(R"(node_schedstat_timeslices_total{cpu="0"})"), 98765432);
    ++generation;
  }
}

TEST(SchedstatCollector, ThisMachine) {
  if (!std::filesystem::exists("/proc/schedstat")) {
    const auto section = testing::run_once(kSchedstatCollector, KernelFiles());
    ASSERT_FALSE(section);
    EXPECT_EQ(section.error().kind, ErrorKind::kMissing);
    GTEST_SKIP() << "this kernel has no CONFIG_SCHEDSTATS";
  }
  EXPECT_TRUE(testing::run_once(kSchedstatCollector, KernelFiles()));
}

}  // namespace
}  // namespace tidegauge
