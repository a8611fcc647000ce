// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/uname.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

TEST(Uname, SaysWhatTheKernelSaysInProcSys) {
  const auto section = testing::run_once(kUnameCollector, KernelFiles());
  ASSERT_TRUE(section) << testing::error_text(section);
  ASSERT_EQ(section->tables.size(), 1U);
  const Shape& shape = *section->tables[0].shape;
  EXPECT_EQ(shape.label_names, (std::vector<std::string>{"sysname", "release", "version", "machine",
                                                         "nodename", "domainname"}));
  ASSERT_EQ(shape.rows.size(), 1U);
  const auto& row = shape.rows[0];
  const auto kernel = [](const char* name) {
    return read_attribute(std::string("/proc/sys/kernel/") + name).value_or("unreadable");
  };
  EXPECT_EQ(row[0], kernel("ostype"));
  EXPECT_EQ(row[1], kernel("osrelease"));
  EXPECT_EQ(row[2], kernel("version"));
  EXPECT_EQ(row[4], kernel("hostname"));
  EXPECT_EQ(row[5], kernel("domainname"));
  EXPECT_FALSE(row[3].empty());
  EXPECT_EQ(section->tables[0].value(0, 0), 1);
}

TEST(Uname, ReadsNoFile) {
  const testing::FixtureTree empty;
  EXPECT_TRUE(testing::run_once(kUnameCollector, empty.files()));
}

}  // namespace
}  // namespace tidegauge
