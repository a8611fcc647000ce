// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {
namespace {

using Lines = std::vector<std::string_view>;
using namespace std::string_view_literals;

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

Lines lines_of(std::string_view text) {
  Lines out;
  LineReader reader(text);
  for (std::string_view line; reader.next(line);) {
    out.push_back(line);
    EXPECT_EQ(reader.number(), out.size());
  }
  return out;
}

TEST(LineReader, Lines) {
  EXPECT_EQ(lines_of(""), Lines{});
  EXPECT_EQ(lines_of("\n"), Lines{""});
  EXPECT_EQ(lines_of("a"), Lines{"a"});
  EXPECT_EQ(lines_of("a\n"), Lines{"a"});
  EXPECT_EQ(lines_of("a\n\nb"), (Lines{"a", "", "b"}));
  EXPECT_EQ(lines_of("a\r\n\n"), (Lines{"a\r", ""}));
  EXPECT_EQ(lines_of("a\0b\nc"sv), (Lines{"a\0b"sv, "c"}));
}

TEST(LineReader, RestIsWhatIsLeft) {
  LineReader reader("one\ntwo\nthree");
  EXPECT_EQ(reader.number(), 0U);
  EXPECT_EQ(reader.rest(), "one\ntwo\nthree");
  std::string_view line;
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(reader.rest(), "two\nthree");
  ASSERT_TRUE(reader.next(line) && reader.next(line));
  EXPECT_EQ(reader.rest(), "");
  EXPECT_FALSE(reader.next(line));
  EXPECT_EQ(line, "three") << "untouched at the end";
  EXPECT_EQ(reader.number(), 3U);
}

TEST(NextField, Fields) {
  std::string_view line = "  cpu0\t\t12 x\n y ";
  EXPECT_EQ(next_field(line), "cpu0");
  EXPECT_EQ(next_field(line), "12");
  EXPECT_EQ(next_field(line), "x\n") << "a newline is the LineReader's business";
  EXPECT_EQ(next_field(line), "y");
  EXPECT_EQ(next_field(line), "");
  EXPECT_EQ(next_field(line), "");
  std::string_view none;
  EXPECT_EQ(next_field(none), "");
  std::string_view blank = " \t ";
  EXPECT_EQ(next_field(blank), "");
  EXPECT_TRUE(blank.empty());
}

TEST(Trim, BothEnds) {
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim(" \t\r\n"), "");
  EXPECT_EQ(trim("\n a b \r\n"), "a b");
  EXPECT_EQ(trim("a"), "a");
}

TEST(ParseUnsigned, Table) {
  const std::pair<std::string_view, std::optional<std::uint64_t>> kTable[] = {
      {"0", 0},
      {"007", 7},
      {"18446744073709551615", kMax},
      {"18446744073709551616", std::nullopt},
      {"99999999999999999999999", std::nullopt},
      {"", std::nullopt},
      {"-1", std::nullopt},
      {"-0", std::nullopt},
      {"+1", std::nullopt},
      {" 1", std::nullopt},
      {"1 ", std::nullopt},
      {"1\n", std::nullopt},
      {"1\0"sv, std::nullopt},
      {"1.0", std::nullopt},
      {"1e3", std::nullopt},
      {"0x1", std::nullopt},
      {"1k", std::nullopt},
  };
  for (const auto& [text, value] : kTable) {
    EXPECT_EQ(parse_unsigned(text), value) << text;
  }
}

TEST(ParseSigned, Table) {
  const std::pair<std::string_view, std::optional<std::int64_t>> kTable[] = {
      {"0", 0},
      {"-1", -1},
      {"9223372036854775807", std::numeric_limits<std::int64_t>::max()},
      {"-9223372036854775808", std::numeric_limits<std::int64_t>::min()},
      {"9223372036854775808", std::nullopt},
      {"-9223372036854775809", std::nullopt},
      {"", std::nullopt},
      {"-", std::nullopt},
      {"--1", std::nullopt},
      {"+1", std::nullopt},
      {"- 1", std::nullopt},
      {"1-", std::nullopt},
  };
  for (const auto& [text, value] : kTable) {
    EXPECT_EQ(parse_signed(text), value) << text;
  }
}

TEST(ParseHex, Table) {
  const std::pair<std::string_view, std::optional<std::uint64_t>> kTable[] = {
      {"0", 0},
      {"ff", 255},
      {"FF", 255},
      {"0xfF", 255},
      {"0XFF", 255},
      {"ffffffffffffffff", kMax},
      {"0xffffffffffffffff", kMax},
      {"10000000000000000", std::nullopt},
      {"", std::nullopt},
      {"0x", std::nullopt},
      {"0x0x1", std::nullopt},
      {"-1", std::nullopt},
      {"0x-1", std::nullopt},
      {"g", std::nullopt},
      {"1 ", std::nullopt},
  };
  for (const auto& [text, value] : kTable) {
    EXPECT_EQ(parse_hex(text), value) << text;
  }
}

TEST(ParseReal, Table) {
  const std::pair<std::string_view, std::optional<double>> kTable[] = {
      {"0", 0.0},
      {"-1.5", -1.5},
      {"+1.5", 1.5},
      {"1e3", 1000.0},
      {"1E-3", 0.001},
      {"1.7976931348623157e308", std::numeric_limits<double>::max()},
      {"Inf", std::numeric_limits<double>::infinity()},
      {"+Inf", std::numeric_limits<double>::infinity()},
      {"-inf", -std::numeric_limits<double>::infinity()},
      {"1e999", std::nullopt},
      {"", std::nullopt},
      {"+", std::nullopt},
      {"-", std::nullopt},
      {".", std::nullopt},
      {"e5", std::nullopt},
      {"++1", std::nullopt},
      {"+-1", std::nullopt},
      {"--1", std::nullopt},
      {"1,5", std::nullopt},
      {"1.5 ", std::nullopt},
      {" 1.5", std::nullopt},
      {"0x10", std::nullopt},
      {"1.5\0"sv, std::nullopt},
  };
  for (const auto& [text, value] : kTable) {
    EXPECT_EQ(parse_real(text), value) << text;
  }
  const auto nan = parse_real("NaN");
  ASSERT_TRUE(nan);
  EXPECT_TRUE(std::isnan(*nan));
}

TEST(ParseDecimal, Table) {
  struct Case {
    std::string_view text;
    unsigned digits;
    std::optional<std::uint64_t> value;
  };
  const Case kTable[] = {
      {"0.52", 2, 52},
      {"0.05", 2, 5},
      {"12.5", 2, 1250},
      {"12", 2, 1200},
      {"12", 0, 12},
      {"0.00", 2, 0},
      {"184467440737095516.15", 2, kMax},
      {"184467440737095516.16", 2, std::nullopt},
      {"18446744073709551615", 0, kMax},
      {"18446744073709551615", 1, std::nullopt},
      {"0.523", 2, std::nullopt},
      {"1.0", 0, std::nullopt},
      {"12.", 2, std::nullopt},
      {".52", 2, std::nullopt},
      {".", 2, std::nullopt},
      {"", 2, std::nullopt},
      {"-0.5", 2, std::nullopt},
      {"+0.5", 2, std::nullopt},
      {"0.-5", 2, std::nullopt},
      {"0.5-", 2, std::nullopt},
      {"1.2.3", 3, std::nullopt},
      {"0,52", 2, std::nullopt},
      {"0.5 ", 2, std::nullopt},
      {"1e2", 2, std::nullopt},
      {"nan", 2, std::nullopt},
  };
  for (const Case& c : kTable) {
    EXPECT_EQ(parse_decimal(c.text, c.digits), c.value) << c.text << " with " << c.digits;
  }
}

TEST(NextUnsigned, StopsAtWhatIsNoNumber) {
  std::string_view line = "1 x 3";
  EXPECT_EQ(next_unsigned(line), 1U);
  EXPECT_EQ(next_unsigned(line), std::nullopt);
  EXPECT_EQ(next_unsigned(line), 3U);
  EXPECT_EQ(next_unsigned(line), std::nullopt);
}

constexpr std::string_view kBad = "\xEF\xBF\xBD";

TEST(SanitizeLabel, WellFormedStaysAsItIs) {
  for (const std::string_view text : {
           ""sv, "plain \"quotes\" \\ back\nline\ttab"sv,
           "\x7F\x01\x1F"sv,       // controls are the exposition's business
           "\xC2\x80 \xDF\xBF"sv,  // first and last of two bytes
           "\xE0\xA0\x80 \xEF\xBF\xBF"sv,
           "\xED\x9F\xBF \xEE\x80\x80"sv,  // either side of the surrogates
           "\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF"sv,
           "\xEF\xBF\xBE \xEF\xBF\xBD"sv,  // a noncharacter and U+FFFD itself
       }) {
    EXPECT_EQ(sanitize_label(text), text);
  }
}

TEST(SanitizeLabel, EveryMalformedClass) {
  for (const std::string_view bad : {
           "\0"sv,
           "\x80"sv,  // a continuation alone
           "\xBF"sv,
           "\xC0\x80"sv,      // overlong NUL
           "\xC1\xBF"sv,      // overlong DEL
           "\xC2"sv,          // cut after one byte
           "\xDF\xDF"sv,      // two leads
           "\xE0\x80\x80"sv,  // overlong
           "\xE0\x9F\xBF"sv,
           "\xE2\x82"sv,      // cut after two of three
           "\xED\xA0\x80"sv,  // surrogates
           "\xED\xBF\xBF"sv,
           "\xED\xA0\x80\xED\xB0\x80"sv,  // a pair of them (CESU-8)
           "\xF0\x80\x80\x80"sv,          // overlong
           "\xF0\x8F\xBF\xBF"sv,
           "\xF0\x9F\x98"sv,      // cut after three of four
           "\xF4\x90\x80\x80"sv,  // above U+10FFFF
           "\xF5\x80\x80\x80"sv,
           "\xF8\x88\x80\x80\x80"sv,  // five and six bytes
           "\xFC\x84\x80\x80\x80\x80"sv,
           "\xFE"sv,
           "\xFF"sv,
           "\xFF\xFE\xFD"sv,
       }) {
    const std::string in_between = "a" + std::string(bad) + "b";
    EXPECT_EQ(sanitize_label(in_between), "a" + std::string(kBad) + "b")
        << testing::PrintToString(bad);
    EXPECT_EQ(sanitize_label(bad), kBad) << testing::PrintToString(bad);
  }
}

TEST(SanitizeLabel, RunsAreOneAndSeparateOnesAreNot) {
  EXPECT_EQ(sanitize_label("\xFF\xFE"), kBad);
  EXPECT_EQ(sanitize_label("\xFFx\xFE"), std::string(kBad) + "x" + std::string(kBad));
  EXPECT_EQ(sanitize_label("\xE2\x82\xAC\xE2\x82"), "\xE2\x82\xAC" + std::string(kBad));
  EXPECT_EQ(sanitize_label("\xF0\x9F\x98\xC3\xA4"), std::string(kBad) + "\xC3\xA4");
}

TEST(SanitizeLabel, LengthIsCutBetweenCharacters) {
  EXPECT_EQ(sanitize_label("abc", 3), "abc");
  EXPECT_EQ(sanitize_label("abc", 2), "ab");
  EXPECT_EQ(sanitize_label("abc", 0), "");
  EXPECT_EQ(sanitize_label("a\xC3\xA4z", 3), "a\xC3\xA4");
  EXPECT_EQ(sanitize_label("a\xC3\xA4z", 2), "a");
  EXPECT_EQ(sanitize_label("\xF0\x9F\x98\x80", 3), "");
  EXPECT_EQ(sanitize_label("ab\xFF", 4), "ab") << "no room for U+FFFD";
  EXPECT_EQ(sanitize_label("ab\xFF", 5), "ab" + std::string(kBad));
  EXPECT_EQ(sanitize_label(std::string(5000, 'x')).size(), kMaxLabelBytes);
  EXPECT_EQ(sanitize_label(std::string(1023, 'x') + "\xC3\xA4").size(), 1023U);
  EXPECT_EQ(sanitize_label(std::string(5000, '\xFF')), kBad);
}

TEST(SanitizeLabel, IsIdempotentAndBoundedOnGarbage) {
  std::mt19937 random(11);
  for (int round = 0; round < 5000; ++round) {
    std::string text(random() % 64, '\0');
    for (char& c : text) {
      c = static_cast<char>(random());
    }
    const std::string once = sanitize_label(text, 40);
    EXPECT_LE(once.size(), 40U);
    EXPECT_EQ(once.find('\0'), std::string::npos);
    EXPECT_EQ(sanitize_label(once, 40), once);
  }
}

TEST(SanitizeMetricName, Table) {
  EXPECT_EQ(sanitize_metric_name("nr_free_pages"), "nr_free_pages");
  EXPECT_EQ(sanitize_metric_name("Active(anon)"), "Active_anon_");
  EXPECT_EQ(sanitize_metric_name("a-b.c:d e"), "a_b_c_d_e");
  EXPECT_EQ(sanitize_metric_name("\xC3\xA4\0x"sv), "___x");
  EXPECT_EQ(sanitize_metric_name(""), "");
}

TEST(UnescapeOctal, Table) {
  const std::pair<std::string_view, std::string_view> kTable[] = {
      {"", ""},
      {"/plain", "/plain"},
      {"/a\\040b", "/a b"},
      {"\\011\\012\\134\\043", "\t\n\\#"},
      {"\\000x"sv, "\0x"sv},
      {"\\377", "\xFF"},
      {"\\400", "\\400"},  // more than a byte
      {"\\777", "\\777"},
      {"\\04", "\\04"},  // cut off
      {"\\0", "\\0"},
      {"\\", "\\"},
      {"\\089", "\\089"},
      {"\\x41", "\\x41"},
      {"\\\\040", "\\ "},  // the kernel escapes '\\' itself as \134: this is no escaped backslash
      {"\\134040", "\\040"},  // and is undone once only
      {"\\040\\040", "  "},
  };
  for (const auto& [text, value] : kTable) {
    EXPECT_EQ(unescape_octal(text), value) << text;
  }
}

TEST(ParseDuration, Table) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::pair<std::string_view, std::optional<std::int64_t>> kTable[] = {
      {"1ns", 1},
      {"1us", 1000},
      {"500ms", kSecond / 2},
      {"15s", 15 * kSecond},
      {"5m", 300 * kSecond},
      {"2h", 7200 * kSecond},
      {"1d", 86400 * kSecond},
      {"1m30s", 90 * kSecond},
      {"1h0m1ms", 3600 * kSecond + 1'000'000},
      {"0s", 0},
      {"106751d", 106751 * (86400 * kSecond)},
      {"106752d", std::nullopt},  // beyond 64 bits of nanoseconds
      {"106751d24h", std::nullopt},
      {"9223372036854775807ns", std::numeric_limits<std::int64_t>::max()},
      {"9223372036854775808ns", std::nullopt},
      {"99999999999999999999s", std::nullopt},
      {"", std::nullopt},
      {"15", std::nullopt},
      {"s", std::nullopt},
      {"-1s", std::nullopt},
      {"+1s", std::nullopt},
      {"1.5s", std::nullopt},
      {" 1s", std::nullopt},
      {"1s ", std::nullopt},
      {"1 s", std::nullopt},
      {"1S", std::nullopt},
      {"1w", std::nullopt},
      {"1m30", std::nullopt},
      {"1sm", std::nullopt},
  };
  for (const auto& [text, value] : kTable) {
    EXPECT_EQ(parse_duration(text), value) << text;
  }
}

}  // namespace
}  // namespace tidegauge
