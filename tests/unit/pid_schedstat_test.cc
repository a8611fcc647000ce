// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/pid_schedstat.h"

#include <gtest/gtest.h>

#include <string>

#include "collectors/core/kernel_files.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;

TEST(PidSchedstat, ThreeNumbers) {
  for (const std::string_view text : {"932680 41230 17\n", "932680 41230 17 4\n"}) {
    const auto stat = parse_pid_schedstat(text);
    ASSERT_TRUE(stat) << error_text(stat);
    EXPECT_EQ(stat->run_ns, 932680U);
    EXPECT_EQ(stat->run_delay_ns, 41230U);
    EXPECT_EQ(stat->slices, 17U);
  }
  const auto huge = parse_pid_schedstat("1 18446744073709551615 3\n");
  ASSERT_TRUE(huge);
  EXPECT_EQ(huge->run_delay_ns, 18446744073709551615U);
}

TEST(PidSchedstat, RefusesWhatIsNotTheKernels) {
  for (const std::string_view text : {"", "\n", "1\n", "1 2\n", "1 2 3", "1 2 x\n", "-1 2 3\n",
                                      "1 18446744073709551616 3\n", "1 2\n3\n", "\xff\n"}) {
    const auto stat = parse_pid_schedstat(text);
    ASSERT_FALSE(stat) << text;
    EXPECT_TRUE(stat.error().where.starts_with("PID/schedstat line 1") ||
                stat.error().where.starts_with("PID/schedstat: "))
        << stat.error().where;
  }
}

TEST(PidSchedstat, ThisProcess) {
  ReadBuffer buffer;
  const auto text = read_file("/proc/self/schedstat", buffer);
  if (!text) {
    GTEST_SKIP() << text.error().message();
  }
  EXPECT_TRUE(parse_pid_schedstat(*text));
}

}  // namespace
}  // namespace tidegauge
