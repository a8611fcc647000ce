// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/top_table.h"

#include <gtest/gtest.h>

#include <clocale>
#include <nlohmann/json.hpp>

namespace tidegauge {
namespace {

class Utf8 : public testing::Test {
 protected:
  void SetUp() override {
    if (std::setlocale(LC_CTYPE, "C.UTF-8") == nullptr) {
      GTEST_SKIP() << "no C.UTF-8";
    }
  }
  void TearDown() override { std::setlocale(LC_CTYPE, "C"); }
};
using TerminalText = Utf8;
using TopTable = Utf8;

constexpr Charset kUtf8 = Charset::kUtf8;

TEST_F(TerminalText, KeepsWhatIsHarmless) {
  EXPECT_EQ(printable("postgres: writer", 80, kUtf8), "postgres: writer");
  EXPECT_EQ(printable("größe", 80, kUtf8), "größe");
  EXPECT_EQ(printable("", 80, kUtf8), "");
}

TEST_F(TerminalText, ReplacesWhatIsNot) {
  for (const std::string raw :
       {"\x1b", "\n", "\r", "\t", "\x7f", "\xC2\x9B", "\xFF\xFE", "\xE2\x80\xAE", "\xE2\x81\xA7",
        "\xE2\x80\x8B", "\xCC\x81", "\xEF\xBB\xBF", "\xC2\xAD", "\xE2\x80\xA8"}) {
    EXPECT_EQ(printable("a" + raw + "b", 80, kUtf8),
              "a\xEF\xBF\xBD"
              "b");
    EXPECT_EQ(printable("a" + raw + "b", 80, Charset::kAscii), "a?b");
  }
  EXPECT_EQ(printable("größe", 80, Charset::kAscii), "gr??e");
}

TEST_F(TerminalText, CutsByColumns) {
  EXPECT_EQ(printable("abcdef", 6, kUtf8), "abcdef");
  EXPECT_EQ(printable("abcdef", 5, kUtf8), "abcd+");
  EXPECT_EQ(printable("abcdef", 1, kUtf8), "+");
  EXPECT_EQ(printable("abcdef", 0, kUtf8), "");
  EXPECT_EQ(printable("世界世界", 8, kUtf8), "世界世界");
  EXPECT_EQ(printable("世界世界", 7, kUtf8), "世界世+");
  EXPECT_EQ(printable("世界世界", 6, kUtf8), "世界+");
  EXPECT_EQ(left_aligned("世界", 6, kUtf8), "世界  ");
  EXPECT_EQ(columns_of("世界x"), 5U);
}

TEST_F(TerminalText, EveryByteStringKeepsItsColumns) {
  std::uint32_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string raw;
    for (int i = 0; i < 20; ++i) {
      state = state * 1664525U + 1013904223U;
      raw.push_back(static_cast<char>(state >> 24U));
    }
    const std::string text = left_aligned(raw, 12, kUtf8);
    EXPECT_EQ(columns_of(text), 12U);
    EXPECT_EQ(text.find_first_of("\x1b\n\r\t\x7f"), std::string::npos);
    EXPECT_EQ(printable(text, 12, kUtf8), text) << "is stable";
  }
}

TEST(TerminalNumbers, AreShort) {
  EXPECT_EQ(human(std::nullopt), "-");
  EXPECT_EQ(human(0.0), "0");
  EXPECT_EQ(human(0.5), "0.5");
  EXPECT_EQ(human(512.0), "512");
  EXPECT_EQ(human(1000.0), "0.98K");
  EXPECT_EQ(human(1024.0), "1.00K");
  EXPECT_EQ(human(12.34 * 1024 * 1024), "12.3M");
  EXPECT_EQ(human(1234.0, 1000), "1.23K");
  EXPECT_EQ(human(-1.0), "0");
  for (double value = 0.01; value < 1e18; value *= 1.07) {
    EXPECT_LE(human(value).size(), 5U) << value;
    EXPECT_LE(human(value, 1000).size(), 5U) << value;
  }
  EXPECT_EQ(percent(std::nullopt), "-");
  EXPECT_EQ(percent(0.0), "0.0");
  EXPECT_EQ(percent(0.123), "12.3");
  EXPECT_EQ(percent(1.0), "100");
  EXPECT_EQ(percent(16.0), "1600");
}

TopRow row_of(std::uint32_t pid, const std::string& comm, const std::string& group) {
  TopRow row;
  row.pid = pid;
  row.user = "a_very_long_user_name";
  row.comm = comm;
  row.group = group;
  row.state = 'R';
  row.processes = 1;
  row.rates[static_cast<std::size_t>(TopRate::kRead)] = 123'456'789.0;
  return row;
}

TopFrame hostile_frame() {
  TopFrame frame;
  frame.host = "ho\x1b[2Jst-of-some-length-that-nobody-would-want-to-see-in-full";
  frame.interval_s = 1;
  frame.facts.source = "procfs";
  frame.facts.reason = "no BPF iterator: a reason\nof \x1b[31m two lines";
  frame.facts.processes = 3;
  frame.facts.missing = {
      {"io", "the I/O of other users' processes needs CAP_SYS_PTRACE", 143},
      {"block_delay", "delay accounting is off (sysctl kernel.task_delayacct=1; ...)", 3},
      {"switches", "not read yet", 7}};
  frame.rows = {row_of(4'194'304, "a\x1b]0;x\a", "g\ng"),
                row_of(2, "世界世界世界世界", "世界世界世界世界"),
                row_of(3, "\xFF\xFE\xE2\x80\xAE", std::string(200, 'x'))};
  TopRow ended = row_of(0, "cc1", "make");
  ended.pid.reset();
  ended.ended = 1234;
  ended.processes = 0;
  ended.state = 'X';
  frame.rows.push_back(ended);
  return frame;
}

std::vector<std::string> all_lines(const TopText& text) {
  std::vector<std::string> lines = text.head;
  lines.push_back(text.titles);
  lines.insert(lines.end(), text.lines.begin(), text.lines.end());
  return lines;
}

TEST_F(TopTable, NoLineIsTooWideOrUnsafe) {
  for (const bool groups : {false, true}) {
    for (const std::size_t columns : {20U, 60U, 80U, 109U, 110U, 300U}) {
      const TopView view{.groups = groups, .columns = columns, .charset = kUtf8};
      for (const std::string& line : all_lines(top_text(hostile_frame(), view))) {
        EXPECT_LE(columns_of(line), columns) << line;
        EXPECT_EQ(line.find_first_of("\x1b\n\a"), std::string::npos) << line;
      }
    }
  }
}

TEST_F(TopTable, ColumnsStandBelowTheirTitles) {
  const TopView view{.rows = 10, .charset = kUtf8};
  const TopText text = top_text(hostile_frame(), view);
  EXPECT_EQ(text.titles,
            "    PID USER       R/s   W/s CCWR/s  IO%  CPU%   MEM S COMMAND      GROUP");
  ASSERT_EQ(text.lines.size(), 5U);
  EXPECT_EQ(text.lines[0], "  TOTAL           471M     -      -    -     -     -   4 rows");
  EXPECT_EQ(text.lines[1],
            "      - a_very_+  118M     -      -    -     -     - X cc1 x1234    make");
  EXPECT_EQ(text.lines[2],
            "      2 a_very_+  118M     -      -    -     -     - R 世界世界世+  世界世界世+");
}

TEST_F(TopTable, SaysWhatIsMissing) {
  const TopText text = top_text(hostile_frame(), TopView{.charset = kUtf8});
  ASSERT_EQ(text.head.size(), 4U);
  EXPECT_EQ(text.head[2], "I/O of 143 processes unknown: needs CAP_SYS_PTRACE");
  EXPECT_EQ(text.head[3], "IO% unknown: delay accounting is off (sysctl kernel.task_delayacct=1)");
}

TEST_F(TopTable, TellsWhatIsBeyondTheLastRow) {
  const TopView view{.rows = 1, .charset = kUtf8};
  const TopText text = top_text(hostile_frame(), view);
  ASSERT_EQ(text.lines.size(), 3U);
  EXPECT_EQ(text.lines[2], "   REST           353M     -      -    -     -     -   3 more");
}

TEST_F(TopTable, Groups) {
  const TopView view{.groups = true, .charset = kUtf8};
  const TopText text = top_text(hostile_frame(), view);
  EXPECT_EQ(text.titles, "  PROCS    ENDED   R/s   W/s CCWR/s  IO%  CPU%   MEM   GROUP");
  EXPECT_EQ(text.lines[2], "      0     1234  118M     -      -    -     -     -   make");
}

TEST(TopJson, IsOneSafeLineThatKeepsAbsentApart) {
  const std::string text = top_json(hostile_frame(), TopView{.rows = 10});
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  for (const char c : text.substr(0, text.size() - 1)) {
    EXPECT_TRUE(c >= 0x20 && c < 0x7F);
  }
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["rows"].size(), 4U);
  EXPECT_TRUE(json["rows"][0]["pid"].is_null());
  EXPECT_EQ(json["rows"][0]["ended"], 1234);
  EXPECT_TRUE(json["rows"][0]["written_bytes_per_second"].is_null());
  EXPECT_EQ(json["rows"][1]["comm"], "世界世界世界世界");
  EXPECT_EQ(json["total"]["read_bytes_per_second"], 4 * 123'456'789.0);
  EXPECT_TRUE(json["rows"][0]["time"].is_null());
  EXPECT_TRUE(json["rows"][0]["interval_seconds"].is_null());
}

TEST(TopJson, TellsWhenAProcessWasReadAndOverWhichTime) {
  TopFrame frame;
  frame.interval_s = 3;
  frame.facts.realtime_ns = 1'000'000'000'000;
  frame.facts.boottime_ns = 60'000'000'000;
  TopRow& row = frame.rows.emplace_back();
  row.pid = 7;
  row.read_ns = 60'250'000'000;
  row.interval_ns = 2'500'000'000;
  const auto json = nlohmann::json::parse(top_json(frame, {}));
  EXPECT_EQ(json["time"], 1000);
  EXPECT_EQ(json["interval_seconds"], 3);
  EXPECT_EQ(json["rows"][0]["time"], 1000.25);
  EXPECT_EQ(json["rows"][0]["interval_seconds"], 2.5);
}

}  // namespace
}  // namespace tidegauge
