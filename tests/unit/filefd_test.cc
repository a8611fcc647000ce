// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/filefd.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;

TEST(FileNr, ReadsAllocatedAndMaximum) {
  for (const char* text : {"1504\t0\t786432\n", "1504\t0\t786432", "1504 0 786432 12\n"}) {
    const auto parsed = parse_file_nr(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->allocated, 1504U);
    EXPECT_EQ(parsed->maximum, 786432U);
  }
  EXPECT_EQ(parse_file_nr("1\t0\t9223372036854775807\n")->maximum, 9223372036854775807U);
}

TEST(FileNr, RefusesWhatTheKernelDoesNotWrite) {
  for (const char* text : {"", "\n", "1504", "1504\t0", "1504\t0\t", "x\t0\t1", "1\t0\t-1",
                           "1\t0\t99999999999999999999"}) {
    EXPECT_EQ(error_text(parse_file_nr(text)).find("malformed: sys/fs/file-nr"), 0U) << text;
  }
}

TEST(FilefdCollector, ShowsEachGeneration) {
  struct Case {
    const char* fixture;
    double allocated;
    double maximum;
  };
  for (const Case& c : {Case{"linux-3.10", 1504, 786432}, Case{"linux-4.19", 992, 202510},
                        Case{"linux-5.10", 2208, 9223372036854775807.0},
                        Case{"linux-6.12", 7104, 9223372036854775807.0}}) {
    const auto section = testing::run_once(kFilefdCollector, testing::fixture(c.fixture));
    ASSERT_TRUE(section) << error_text(section);
    const std::map<std::string, double> expected{{"node_filefd_allocated", c.allocated},
                                                 {"node_filefd_maximum", c.maximum}};
    EXPECT_EQ(testing::flatten(*section), expected) << c.fixture;
  }
}

TEST(FilefdCollector, FailsWithoutTheFile) {
  const testing::FixtureTree tree;
  EXPECT_EQ(testing::run_once(kFilefdCollector, tree.files()).error().kind, ErrorKind::kMissing);
  tree.write("proc/sys/fs/file-nr", "");
  EXPECT_EQ(testing::run_once(kFilefdCollector, tree.files()).error().kind, ErrorKind::kMalformed);
}

TEST(FilefdCollector, ReadsThisMachine) {
  const auto section = testing::run_once(kFilefdCollector, KernelFiles(KernelRoots{}));
  if (!section && section.error().kind == ErrorKind::kMissing) {
    GTEST_SKIP() << error_text(section);
  }
  ASSERT_TRUE(section) << error_text(section);
  EXPECT_GT(testing::flatten(*section).at("node_filefd_allocated"), 0);
}

}  // namespace
}  // namespace tidegauge
