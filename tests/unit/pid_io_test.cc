// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/pid_io.h"

#include <gtest/gtest.h>

#include <string>

#include "collectors/core/kernel_files.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;

constexpr std::string_view kText =
    "rchar: 3980\nwchar: 12\nsyscr: 9\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\n"
    "cancelled_write_bytes: 512\n";

TEST(PidIo, ReadsEveryLine) {
  const auto io = parse_pid_io(kText);
  ASSERT_TRUE(io) << error_text(io);
  EXPECT_EQ(io->syscall_read_bytes, 3980U);
  EXPECT_EQ(io->syscall_write_bytes, 12U);
  EXPECT_EQ(io->read_syscalls, 9U);
  EXPECT_EQ(io->write_syscalls, 1U);
  EXPECT_EQ(io->storage_read_bytes, 4096U);
  EXPECT_EQ(io->storage_write_bytes, 8192U);
  EXPECT_EQ(io->storage_cancelled_bytes, 512U);
}

TEST(PidIo, ALineToComeIsNoMatter) {
  EXPECT_TRUE(parse_pid_io(std::string(kText) + "direct_bytes: 7\n"));
}

TEST(PidIo, HugeNumbers) {
  std::string text(kText);
  text.replace(text.find("3980"), 4, "18446744073709551615");
  const auto io = parse_pid_io(text);
  ASSERT_TRUE(io);
  EXPECT_EQ(io->syscall_read_bytes, 18446744073709551615U);
  text.replace(text.find("18446744073709551615"), 20, "18446744073709551616");
  EXPECT_EQ(error_text(parse_pid_io(text)), "malformed: PID/io line 1: expected a number");
}

TEST(PidIo, TruncatedAnywhereIsAnError) {
  for (std::size_t size = 0; size < kText.size(); ++size) {
    EXPECT_FALSE(parse_pid_io(std::string(kText.substr(0, size)))) << size;
  }
}

TEST(PidIo, RefusesWhatIsNotTheKernels) {
  std::string order(kText);
  order.replace(0, 5, "wchar");
  EXPECT_EQ(error_text(parse_pid_io(order)),
            "malformed: PID/io line 1: expected rchar: and a number");
  for (const std::string_view text : {"", "\n", "\n\n\n\n\n\n\n", "rchar: -1\n", "rchar: \n",
                                      "rchar:1\n", "rchar: 1 2\n", "\xff\xfe\n"}) {
    EXPECT_FALSE(parse_pid_io(text)) << text;
  }
}

TEST(PidIo, ThisProcess) {
  ReadBuffer buffer;
  const auto text = read_file("/proc/self/io", buffer);
  if (!text) {
    GTEST_SKIP() << text.error().message();
  }
  const auto io = parse_pid_io(*text);
  ASSERT_TRUE(io) << error_text(io);
  EXPECT_GT(io->syscall_read_bytes, 0U);
}

}  // namespace
}  // namespace tidegauge
