// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "collectors/core/collector.h"
#include "collectors/core/filter.h"
#include "collectors/registry.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;

constexpr OptionSpec kBool{"on", "on", OptionType::kBool, "true", "."};
constexpr OptionSpec kInteger{"count", "count", OptionType::kInteger, "3", ".", -5, 10};
constexpr OptionSpec kDuration{"every", "every",     OptionType::kDuration, "15s",
                               ".",     100'000'000, 3'600'000'000'000};
constexpr std::string_view kColours[] = {"red", "green", "blue"};
constexpr OptionSpec kChoice{.key = "colour",
                             .flag = "colour",
                             .type = OptionType::kChoice,
                             .default_text = "red",
                             .help = ".",
                             .words = kColours};
constexpr OptionSpec kString{"text", "text", OptionType::kString, "", "."};
constexpr OptionSpec kRegex{"match", "match", OptionType::kRegex, "", "."};
constexpr OptionSpec kList{"names", "name", OptionType::kStringList, "a\nb", "."};
constexpr OptionSpec kFields[] = {{"name", "", OptionType::kString, "", "."}};
constexpr OptionSpec kRecords{"groups", "", OptionType::kRecords, "", ".", 0, 10, kFields};

TEST(ParseOption, Bool) {
  EXPECT_EQ(parse_option(kBool, "true"), OptionValue(true));
  EXPECT_EQ(parse_option(kBool, "false"), OptionValue(false));
  for (const char* text : {"", "1", "0", "yes", "True", "TRUE", " true", "true "}) {
    EXPECT_EQ(error_text(parse_option(kBool, text)), "invalid: on: expected true or false") << text;
  }
}

TEST(ParseOption, Integer) {
  EXPECT_EQ(parse_option(kInteger, "10"), OptionValue(std::int64_t{10}));
  EXPECT_EQ(parse_option(kInteger, "-5"), OptionValue(std::int64_t{-5}));
  for (const char* text : {"", "11", "-6", "3.0", "3 ", "three", "0x3", "99999999999999999999"}) {
    EXPECT_EQ(error_text(parse_option(kInteger, text)),
              "invalid: count: expected an integer from -5 to 10")
        << text;
  }
}

TEST(ParseOption, Duration) {
  EXPECT_EQ(parse_option(kDuration, "100ms"), OptionValue(std::int64_t{100'000'000}));
  EXPECT_EQ(parse_option(kDuration, "1h"), OptionValue(std::int64_t{3'600'000'000'000}));
  for (const char* text : {"", "99ms", "1h1ns", "15", "-1s", "soon", "99999999999d"}) {
    EXPECT_EQ(error_text(parse_option(kDuration, text)),
              "invalid: every: expected a duration such as 500ms, 15s or 5m, from 100ms to "
              "3600000ms")
        << text;
  }
}

TEST(ParseOption, String) {
  for (const char* text : {"", " blanks stay ", "a\nb"}) {
    EXPECT_EQ(parse_option(kString, text), OptionValue(std::string(text)));
  }
}

TEST(ParseOption, Regex) {
  EXPECT_EQ(parse_option(kRegex, ""), OptionValue(std::string()));
  EXPECT_EQ(parse_option(kRegex, "^(lo|eth\\d+)$"), OptionValue(std::string("^(lo|eth\\d+)$")));
  EXPECT_EQ(error_text(parse_option(kRegex, "(")),
            "invalid: match: expected a regular expression in RE2 syntax (missing ): ()");
  EXPECT_NE(error_text(parse_option(kRegex, "(?=x)")), "") << "RE2 has no look-ahead";
  EXPECT_NE(error_text(parse_option(kRegex, "[")), "");
  EXPECT_NE(error_text(parse_option(kRegex, "\xFF")), "") << "not UTF-8";
  EXPECT_NE(error_text(parse_option(kRegex, "((a{1000}){1000}){1000}")), "") << "too large";
}

TEST(ParseOption, Choice) {
  EXPECT_EQ(parse_option(kChoice, "blue"), OptionValue(std::string("blue")));
  for (const char* text : {"", "Red", "red ", "yellow"}) {
    EXPECT_EQ(error_text(parse_option(kChoice, text)),
              "invalid: colour: expected red, green or blue")
        << text;
  }
  const OptionSpec one{.key = "k",
                       .flag = "k",
                       .type = OptionType::kChoice,
                       .default_text = "red",
                       .help = ".",
                       .words = std::span(kColours).first(1)};
  EXPECT_EQ(error_text(parse_option(one, "blue")), "invalid: k: expected red");
}

TEST(ParseOption, StringList) {
  using List = std::vector<std::string>;
  EXPECT_EQ(parse_option(kList, ""), OptionValue(List{}));
  EXPECT_EQ(parse_option(kList, "a"), OptionValue(List{"a"}));
  EXPECT_EQ(parse_option(kList, "a\nb c\n"), OptionValue(List{"a", "b c"}));
}

TEST(ParseOption, RecordsAreNotForACommandLine) {
  EXPECT_EQ(parse_option(kRecords, ""), OptionValue(std::vector<OptionRecord>{}));
  EXPECT_EQ(error_text(parse_option(kRecords, "name=a")),
            "invalid: groups: expected a list of records, which only a configuration file can "
            "write");
}

TEST(OptionRecord, HoldsWhatWasWritten) {
  OptionRecord record;
  EXPECT_FALSE(record.has("name"));
  EXPECT_EQ(record.text("name"), "");
  EXPECT_TRUE(record.list("comm").empty());
  EXPECT_TRUE(record.boolean("on", true));
  EXPECT_EQ(record.integer("most", -7), -7);
  record.set("name", std::string("db"));
  record.set("comm", std::vector<std::string>{"a", "b"});
  record.set("on", false);
  record.set("most", std::int64_t{3});
  EXPECT_TRUE(record.has("name"));
  EXPECT_FALSE(record.has("nam"));
  EXPECT_EQ(record.text("name"), "db");
  EXPECT_EQ(record.list("comm"), (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(record.boolean("on", true));
  EXPECT_EQ(record.integer("most", -7), 3);
}

TEST(OptionRecord, EqualWhateverTheOrder) {
  OptionRecord one;
  one.set("name", std::string("db"));
  one.set("on", true);
  OptionRecord other;
  other.set("on", true);
  EXPECT_FALSE(one == other) << "a field is missing";
  other.set("name", std::string("db"));
  EXPECT_EQ(one, other);
  other.set("name", std::string("web"));
  EXPECT_FALSE(one == other);
}

TEST(DefaultOptions, OfEveryType) {
  const OptionSpec specs[] = {kBool,   kInteger, kDuration, kString,
                              kChoice, kRegex,   kList,     kRecords};
  const Options options = default_options(specs);
  EXPECT_TRUE(options.boolean("on"));
  EXPECT_EQ(options.integer("count"), 3);
  EXPECT_EQ(options.integer("every"), 15'000'000'000);
  EXPECT_EQ(options.text("text"), "");
  EXPECT_EQ(options.text("match"), "");
  EXPECT_EQ(options.text("colour"), "red");
  EXPECT_EQ(options.list("names"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(options.records("groups").empty());
  EXPECT_EQ(options, default_options(specs));
  Options other = options;
  other.set("count", std::int64_t{4});
  EXPECT_EQ(other.integer("count"), 4);
  EXPECT_FALSE(options == other);
}

TEST(NameFilter, IncludeExcludeOrNeither) {
  const auto none = NameFilter::make("", "", "device");
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->ignores("sda"));
  EXPECT_FALSE(none->ignores(""));
  const auto include = NameFilter::make("^sd", "", "device");
  ASSERT_TRUE(include);
  EXPECT_FALSE(include->ignores("sda"));
  EXPECT_TRUE(include->ignores("xsda"));
  const auto exclude = NameFilter::make("", "am", "device");
  ASSERT_TRUE(exclude);
  EXPECT_TRUE(exclude->ignores("ram0")) << "unanchored";
  EXPECT_FALSE(exclude->ignores("sda"));
  EXPECT_FALSE(exclude->ignores("\xFF")) << "bytes that are not UTF-8";
}

TEST(NameFilter, ErrorsNameTheOption) {
  EXPECT_EQ(error_text(NameFilter::make("a", "b", "device_")),
            "invalid: device_exclude: cannot be used together with device_include");
  EXPECT_EQ(error_text(NameFilter::make("a", "b", "")),
            "invalid: exclude: cannot be used together with include");
  EXPECT_EQ(error_text(NameFilter::make("(", "", "device_")),
            "invalid: device_include: missing ): (");
  EXPECT_EQ(error_text(NameFilter::make("", "(", "device_")),
            "invalid: device_exclude: missing ): (");
}

// Every option of every collector.

TEST(CollectorOptions, DefaultsParseAndAreWithinTheirRange) {
  for (const CollectorInfo* info : all_collectors()) {
    for (const OptionSpec& spec : info->options) {
      EXPECT_EQ(error_text(parse_option(spec, spec.default_text)), "") << info->name;
    }
  }
}

// The fields of a list of records, which has no flag and no default.
void check_records(const OptionSpec& spec, const std::string& where) {
  EXPECT_EQ(spec.flag, "") << where;
  EXPECT_EQ(spec.default_text, "") << where;
  EXPECT_GT(spec.max, 0) << where;
  EXPECT_FALSE(spec.fields.empty()) << where;
  std::set<std::string_view> keys;
  for (const OptionSpec& field : spec.fields) {
    const std::string at = where + "." + std::string(field.key);
    EXPECT_TRUE(keys.insert(field.key).second) << at;
    EXPECT_EQ(field.key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"),
              std::string_view::npos)
        << at;
    EXPECT_FALSE(field.key.empty()) << at;
    EXPECT_TRUE(field.help.ends_with('.')) << at;
    EXPECT_EQ(field.flag, "") << at;
    EXPECT_NE(field.type, OptionType::kDuration) << at;
    EXPECT_NE(field.type, OptionType::kRecords) << at;
  }
}

TEST(CollectorOptions, NamesAreWellFormedAndUnique) {
  for (const CollectorInfo* info : all_collectors()) {
    std::set<std::string_view> keys;
    std::set<std::string_view> flags;
    for (const OptionSpec& spec : info->options) {
      const std::string where = std::string(info->name) + "." + std::string(spec.key);
      EXPECT_TRUE(keys.insert(spec.key).second) << where;
      EXPECT_FALSE(spec.key.empty()) << where;
      EXPECT_EQ(spec.key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"),
                std::string_view::npos)
          << where;
      EXPECT_EQ(spec.flag.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-."),
                std::string_view::npos)
          << where;
      EXPECT_TRUE(spec.help.ends_with('.')) << where;
      EXPECT_EQ(spec.help.find('\n'), std::string_view::npos) << where;
      if (spec.type == OptionType::kRecords) {
        check_records(spec, where);
        continue;
      }
      EXPECT_TRUE(flags.insert(spec.flag).second) << where;
      EXPECT_FALSE(spec.flag.empty()) << where;
      // A list is a plural in YAML and repeats a singular flag; all others are spelled alike.
      if (spec.type != OptionType::kStringList) {
        std::string key(spec.flag);
        std::replace_if(
            key.begin(), key.end(), [](char c) { return c == '-' || c == '.'; }, '_');
        EXPECT_EQ(spec.key, key) << where;
      }
    }
  }
}

TEST(CollectorOptions, ChoicesHaveWords) {
  for (const CollectorInfo* info : all_collectors()) {
    for (const OptionSpec& spec : info->options) {
      EXPECT_EQ(spec.words.empty(), spec.type != OptionType::kChoice)
          << info->name << "." << spec.key;
    }
  }
}

TEST(CollectorOptions, EveryCollectorIsMadeFromItsDefaults) {
  for (const CollectorInfo* info : all_collectors()) {
    const auto collector = testing::make(*info, testing::fixture("linux-6.12"));
    ASSERT_TRUE(collector) << info->name << ": " << error_text(collector);
    EXPECT_NE(*collector, nullptr) << info->name;
  }
}

TEST(CollectorOptions, IncludeAndExcludeTogetherAreRefused) {
  constexpr std::string_view kInclude = "_include";
  // These take both in node_exporter, too: their include has a default there.
  const std::set<std::string_view> kTakeBoth = {"slabinfo"};
  for (const CollectorInfo* info : all_collectors()) {
    for (const OptionSpec& spec : info->options) {
      if (!spec.key.ends_with(kInclude)) {
        continue;
      }
      const std::string exclude =
          std::string(spec.key.substr(0, spec.key.size() - kInclude.size())) + "_exclude";
      const bool has_exclude =
          std::any_of(info->options.begin(), info->options.end(),
                      [&](const OptionSpec& other) { return other.key == exclude; });
      if (!has_exclude) {
        continue;
      }
      const auto collector = testing::make(*info, testing::fixture("linux-6.12"),
                                           {std::string(spec.key) + "=a", exclude + "=b"});
      EXPECT_EQ(collector.has_value(), kTakeBoth.contains(info->name)) << info->name;
      if (!collector) {
        EXPECT_EQ(collector.error().kind, ErrorKind::kInvalid) << info->name;
      }
    }
  }
}

}  // namespace
}  // namespace tidegauge
