// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/process_report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "collectors/process/pid_limits.h"

namespace tidegauge {
namespace {

constexpr std::string_view kRollup =
    "563b0a5c4000-7ffd8b9f5000 ---p 00000000 00:00 0                          [rollup]\n"
    "Rss:                3544 kB\nPss:                 422 kB\nPss_Dirty:           188 kB\n"
    "Private_Dirty:       184 kB\nAnonymous:           200 kB\nSwap:                  7 kB\n"
    "VmFlags: rd ex\n";

TEST(PidSmapsRollup, Fields) {
  const auto rollup = parse_pid_smaps_rollup(kRollup);
  ASSERT_TRUE(rollup);
  EXPECT_EQ(rollup->rss_kib, 3544U);
  EXPECT_EQ(rollup->pss_kib, 422U);
  EXPECT_EQ(rollup->private_dirty_kib, 184U);
  EXPECT_EQ(rollup->anonymous_kib, 200U);
  EXPECT_EQ(rollup->swap_kib, 7U);
  EXPECT_FALSE(rollup->locked_kib) << "a kernel without it";
}

TEST(PidSmapsRollup, WhatIsNone) {
  for (const char* text : {"", "Pss: 1 kB\n", "Rss: x kB\n", "Rss:\n", "Rss: 1\n", "Rss: 1 MB\n",
                           "Rss: 1 kB\nPss: -1 kB\n", "Rss: 99999999999999999999 kB\n"}) {
    EXPECT_FALSE(parse_pid_smaps_rollup(text)) << text;
  }
}

TEST(PidLimits, OpenFiles) {
  constexpr std::string_view kHead =
      "Limit                     Soft Limit           Hard Limit           Units     \n";
  const auto limits = [&](const char* line) { return parse_pid_limits(std::string(kHead) + line); };
  EXPECT_EQ(limits("Max open files            1024                 524288     files\n")->open_files,
            1024U);
  EXPECT_EQ(limits("Max open files            unlimited            unlimited  files\n")->open_files,
            std::nullopt);
  EXPECT_FALSE(limits("Max open files            many\n"));
  EXPECT_FALSE(limits(""));
}

TEST(ProcessFilesOfThisMachine, AreParsed) {
  ReadBuffer buffer;
  EXPECT_TRUE(parse_pid_smaps_rollup(*read_file("/proc/self/smaps_rollup", buffer)));
  EXPECT_TRUE(parse_pid_limits(*read_file("/proc/self/limits", buffer)));
  const KernelFiles files;
  const auto threads = read_threads(files, static_cast<std::uint32_t>(::getpid()));
  ASSERT_FALSE(threads.empty());
  EXPECT_EQ(threads[0].tid, static_cast<std::uint32_t>(::getpid()));
}

ThreadTime thread_of(std::uint32_t tid, const char* name, std::uint64_t ticks, char state = 'S',
                     std::uint64_t start = 1) {
  ThreadTime thread;
  thread.tid = tid;
  thread.state = state;
  thread.cpu_ticks = ticks;
  thread.start_ticks = start;
  thread.name.assign(name);
  return thread;
}

TEST(ThreadRows, ByNameBusiestFirst) {
  const auto rows = thread_rows(
      {thread_of(1, "main", 100), thread_of(2, "w", 10), thread_of(3, "w", 10),
       thread_of(5, "reused", 500)},
      {thread_of(1, "main", 101), thread_of(2, "w", 30), thread_of(3, "w", 15, 'D'),
       thread_of(4, "w", 5), thread_of(5, "reused", 2, 'S', 9), thread_of(6, "z", 0, 'D')},
      1'000'000'000);
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].name, "w");
  EXPECT_EQ(rows[0].threads, 3U);
  EXPECT_DOUBLE_EQ(*rows[0].cpu_ratio, 0.30);
  EXPECT_EQ(rows[0].tid, 3U) << "the one that is stuck";
  EXPECT_EQ(rows[0].state, 'D');
  EXPECT_EQ(rows[0].stuck, 1U);
  EXPECT_EQ(rows[1].name, "reused");
  EXPECT_DOUBLE_EQ(*rows[1].cpu_ratio, 0.02);
  EXPECT_EQ(rows[2].name, "main");
  EXPECT_EQ(rows[3].name, "z");
}

TEST(ThreadRows, WithoutTimeNothingIsKnown) {
  const auto rows = thread_rows({thread_of(1, "a", 1)}, {thread_of(1, "a", 9)}, 0);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_FALSE(rows[0].cpu_ratio);
  EXPECT_TRUE(thread_rows({thread_of(1, "a", 1)}, {}, 1).empty());
}

ProcessReport hostile_report() {
  ProcessReport report;
  report.facts.source = "procfs";
  report.process.sample.key.pid = 42;
  report.process.sample.comm.assign("a\x1b[2J\nb");
  report.process.group = "g\x1bg";
  report.executable = "/tmp/" + std::string(300, 'x') + "\n";
  report.command_line = OrReason<std::string>{"prog\x1b]0;t\a --password=x"};
  report.smaps.reason = "did not answer in time";
  ThreadRow& row = report.threads.emplace_back();
  row.name = "t\x1b";
  row.state = 'D';
  return report;
}

TEST(ProcessReportText, IsSafeAndWithinTheLine) {
  for (const std::size_t columns : {20U, 80U, 200U}) {
    std::size_t xs = 0;
    for (const std::string& line : report_text(hostile_report(), columns, Charset::kAscii)) {
      EXPECT_LE(line.size(), columns) << line;
      EXPECT_EQ(line.find_first_of("\x1b\n\a"), std::string::npos) << line;
      const bool is_path = line.find("xxx") != std::string::npos;
      xs += is_path ? 1U : 0U;
    }
    EXPECT_GE(xs, 2U) << "a long path goes on";
  }
}

TEST(ProcessReportText, UnknownIsADash) {
  std::string all;
  for (const std::string& line : report_text(hostile_report(), 80, Charset::kAscii)) {
    all.append(line).append("\n");
  }
  EXPECT_NE(all.find("read -, written -, cancelled -, waited -"), std::string::npos) << all;
  EXPECT_NE(all.find("smaps_rollup: did not answer in time"), std::string::npos) << all;
}

TEST(ProcessReportJson, IsOneSafeLine) {
  const std::string text = report_json(hostile_report());
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["pid"], 42);
  EXPECT_TRUE(json["since_start"]["storage_read_bytes"].is_null());
  EXPECT_TRUE(json["smaps_rollup"].is_null());
  EXPECT_EQ(json["smaps_rollup_missing"], "did not answer in time");
}

}  // namespace
}  // namespace tidegauge
