// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/pid_stat.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "collectors/core/kernel_files.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;

constexpr std::string_view kTail =
    " S 1 845 845 34816 901 4194560 1210 44 7 3 31 58 9 2 20 0 4 0 412 228466688 1633 "
    "18446744073709551615 1 1 0 0 0 0 0 4096 1260 1 0 0 17 0 0 0 3 0 0";
constexpr std::string_view kNewer = " 0 0 0 0 0 0 0 0";  // fields 45 to 52, since 3.3 and 3.5

std::string line(std::string_view name, std::string_view tail = kTail) {
  return "845 (" + std::string(name) + ")" + std::string(tail) + std::string(kNewer) + "\n";
}

TEST(PidStat, ReadsTheFieldsItNames) {
  const auto stat = parse_pid_stat(line("rsyslogd"));
  ASSERT_TRUE(stat) << error_text(stat);
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->user_ticks, 31U);
  EXPECT_EQ(stat->system_ticks, 58U);
  EXPECT_EQ(stat->threads, 4U);
  EXPECT_EQ(stat->start_ticks, 412U);
  EXPECT_EQ(stat->virtual_bytes, 228466688U);
  EXPECT_EQ(stat->resident_pages, 1633U);
  EXPECT_EQ(stat->comm.view(), "rsyslogd");
  EXPECT_EQ(stat->parent_pid, 1U);
  EXPECT_EQ(stat->flags, 4194560U);
  EXPECT_EQ(stat->minor_faults, 1210U);
  EXPECT_EQ(stat->child_minor_faults, 44U);
  EXPECT_EQ(stat->major_faults, 7U);
  EXPECT_EQ(stat->child_major_faults, 3U);
  EXPECT_EQ(stat->child_user_ticks, 9U);
  EXPECT_EQ(stat->child_system_ticks, 2U);
  EXPECT_EQ(stat->block_delay_ticks, 3U);
}

TEST(PidStat, LongNamesOfKernelWorkersAreCut) {
  const auto stat = parse_pid_stat(line("kworker/u8:3-events_unbound"));
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->comm.view(), "kworker/u8:3-ev");
}

TEST(PidStat, NamesMayHoldAnything) {
  for (const std::string_view name :
       {"", "a b", ")", "(", "((sd-pam))", ") R 1 1 1 1 1", "x\ny", "\xff\xfe", "a) Z (b"}) {
    const auto stat = parse_pid_stat(line(name));
    ASSERT_TRUE(stat) << name << ": " << error_text(stat);
    EXPECT_EQ(stat->state, 'S') << name;
    EXPECT_EQ(stat->threads, 4U) << name;
    EXPECT_EQ(stat->comm.view(), name);
  }
}

TEST(PidStat, AcceptsOlderAndNewerKernels) {
  const std::string oldest = "845 (sh)" + std::string(kTail);  // 44 fields, 2.6.24 to 3.2
  EXPECT_TRUE(parse_pid_stat(oldest + "\n"));
  EXPECT_TRUE(parse_pid_stat(oldest)) << "a fixture without its newline";
  EXPECT_TRUE(parse_pid_stat(oldest + std::string(kNewer) + " 7 8 9\n")) << "fields to come";
}

TEST(PidStat, HugeNumbers) {
  std::string text = line("sh");
  text.replace(text.find("1633"), 4, "18446744073709551615");
  const auto stat = parse_pid_stat(text);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->resident_pages, 18446744073709551615U);
  text.replace(text.find("228466688"), 9, "18446744073709551616");
  EXPECT_EQ(error_text(parse_pid_stat(text)),
            "malformed: PID/stat line 1: expected a number in field 23");
}

TEST(PidStat, RefusesWhatIsNotTheKernels) {
  for (const std::string_view text :
       {"", "\n", "845", "845 (sh", "845 sh) S 1", ")(", "845 (sh)", "845 (sh) ", "845 (sh) SS 1",
        "845 (sh) S", "845 (sh) S 1 2 3", "\xff\xff)\xff"}) {
    const auto stat = parse_pid_stat(text);
    ASSERT_FALSE(stat) << text;
    EXPECT_EQ(stat.error().kind, ErrorKind::kMalformed);
    EXPECT_TRUE(stat.error().where.starts_with("PID/stat line 1: expected ")) << text;
  }
}

TEST(PidStat, TruncatedAnywhereBeforeTheLastFieldIsAnError) {
  const std::string text = "845 (sh)" + std::string(kTail);
  for (std::size_t size = 0; size + 1 < text.size(); ++size) {
    EXPECT_FALSE(parse_pid_stat(text.substr(0, size))) << text.substr(0, size);
  }
}

TEST(PidStat, GarbageIsAnErrorAndNoCrash) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 300, '\0');
    for (char& c : text) {
      c = static_cast<char>(random());
    }
    EXPECT_FALSE(parse_pid_stat(text));
  }
}

TEST(PidStat, ThisProcess) {
  ReadBuffer buffer;
  const auto text = read_file("/proc/self/stat", buffer);
  ASSERT_TRUE(text) << error_text(text);
  const auto stat = parse_pid_stat(*text);
  ASSERT_TRUE(stat) << error_text(stat);
  EXPECT_EQ(stat->state, 'R');
  EXPECT_GE(stat->threads, 1U);
  EXPECT_GT(stat->resident_pages, 0U);
}

}  // namespace
}  // namespace tidegauge
