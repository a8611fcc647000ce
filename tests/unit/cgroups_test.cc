// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cgroups.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::string_view kHeader = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n";

std::string error_of(std::string_view text) {
  std::vector<CgroupController> out;
  return testing::error_text(parse_cgroups(text, out));
}

TEST(ParseCgroups, Lines) {
  std::vector<CgroupController> out(9);
  const std::string text = std::string(kHeader) + "cpuset\t3\t1\t1\nmemory\t0\t118\t0\n";
  ASSERT_TRUE(parse_cgroups(text, out));
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].name, "cpuset");
  EXPECT_EQ(out[0].cgroups, 1U);
  EXPECT_EQ(out[0].enabled, 1U);
  EXPECT_EQ(out[1].name, "memory");
  EXPECT_EQ(out[1].cgroups, 118U);
  EXPECT_EQ(out[1].enabled, 0U);
}

TEST(ParseCgroups, AcceptsWhatMayCome) {
  EXPECT_EQ(error_of(kHeader), "") << "a kernel without controllers";
  EXPECT_EQ(error_of("cpu 1 2 1 new fields"), "") << "no header, no newline, more fields";
  EXPECT_EQ(error_of("cpu\t0\t18446744073709551615\t1\n"), "");
}

TEST(ParseCgroups, RefusesTheRest) {
  EXPECT_EQ(error_of(""), "malformed: cgroups: expected a header");
  for (const std::string_view bad : {"cpu", "cpu\t1\t1", "cpu\t1\tx\t1", "cpu\t1\t-1\t1",
                                     "cpu\t1\t18446744073709551616\t1", "\n", "\xff\xfe\xfd"}) {
    EXPECT_EQ(error_of(std::string(kHeader).append(bad)),
              "malformed: cgroups line 2: expected a controller's name and three numbers")
        << bad;
  }
}

TEST(Cgroups, EveryKernel) {
  struct Expected {
    std::string_view fixture;
    std::size_t controllers;
    double memory_cgroups;
    double memory_enabled;
  };
  for (const Expected& expected :
       {Expected{"linux-3.10", 12, 58, 1}, Expected{"linux-4.19", 12, 1, 0},
        Expected{"linux-5.10", 13, 74, 1}, Expected{"linux-6.12", 14, 96, 1}}) {
    const auto section = testing::run_once(kCgroupsCollector, testing::fixture(expected.fixture));
    ASSERT_TRUE(section) << expected.fixture << testing::error_text(section);
    const auto series = testing::flatten(*section);
    EXPECT_EQ(series.size(), expected.controllers * 2) << expected.fixture;
    EXPECT_EQ(series.at("node_cgroups_cgroups{subsys_name=\"memory\"}"), expected.memory_cgroups);
    EXPECT_EQ(series.at("node_cgroups_enabled{subsys_name=\"memory\"}"), expected.memory_enabled);
  }
}

TEST(Cgroups, MissingIsMissing) {
  const testing::FixtureTree tree;
  const auto section = testing::run_once(kCgroupsCollector, tree.files());
  ASSERT_FALSE(section);
  EXPECT_EQ(section.error().kind, ErrorKind::kMissing);
}

TEST(Cgroups, ThisMachine) {
  const auto section = testing::run_once(kCgroupsCollector, KernelFiles());
  if (!section && section.error().kind == ErrorKind::kMissing) {
    GTEST_SKIP() << "a kernel without CONFIG_CGROUPS: " << testing::error_text(section);
  }
  EXPECT_TRUE(section) << testing::error_text(section);
}

}  // namespace
}  // namespace tidegauge
