// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/kernel_hung.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

TEST(ParseHungTaskDetectCount, OneNumber) {
  EXPECT_EQ(parse_hung_task_detect_count("42\n")->detected_tasks, 42U);
  EXPECT_EQ(parse_hung_task_detect_count("18446744073709551615")->detected_tasks,
            ~std::uint64_t{0});
  for (const char* text : {"", "\n", "x", "-1", "1 2", "18446744073709551616"}) {
    EXPECT_NE(testing::error_text(parse_hung_task_detect_count(text))
                  .find("malformed: sys/kernel/hung_task_detect_count"),
              std::string::npos)
        << text;
  }
}

TEST(KernelHungCollector, OnlyRecentKernelsCount) {
  // This fixture stands for a kernel with the later count.
  const auto section = testing::run_once(kKernelHungCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_EQ(testing::flatten(*section).at("node_kernel_hung_tasks_total"), 3);
  const auto old = testing::run_once(kKernelHungCollector, testing::fixture("linux-5.10"));
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().kind, ErrorKind::kMissing);
}

TEST(KernelHungCollector, ThisMachine) {
  if (!std::filesystem::exists("/proc/sys/kernel/hung_task_detect_count")) {
    GTEST_SKIP() << "this kernel does not count hung tasks";
  }
  EXPECT_TRUE(testing::run_once(kKernelHungCollector, KernelFiles()));
}

}  // namespace
}  // namespace tidegauge
