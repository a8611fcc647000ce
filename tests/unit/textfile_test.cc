// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/textfile.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "collectors/procfs/prom_text.h"
#include "collectors/procfs/textfile_tables.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;
using testing::FixtureTree;
using Series = std::map<std::string, double>;

constexpr std::int64_t kLater = 4'000'000'000'000'000'000;

Result<std::vector<PromFamily>> parse(std::string_view text) {
  return parse_prom_text(text, "x.prom", 100);
}

TEST(ParsePromText, ReadsEveryKind) {
  const auto families = parse(
      "# HELP a Text with \\\\ and \\n.\n"
      "# TYPE a counter\n"
      "a{x=\"1\",b=\"q\\\"\\\\\\n\",} 2.5\n"
      "a 3\n"
      "\n"
      "  # any comment\n"
      "plain -Inf\n"
      "# TYPE h histogram\n"
      "h_bucket{le=\"1\",k=\"v\"} 1\nh_bucket{k=\"v\",le=\"+Inf\"} 4\nh_sum{k=\"v\"} "
      "9\nh_count{k=\"v\"} 4\n"
      "# TYPE s Summary\n"
      "s{quantile=\"0.5\"} 7\ns_sum 8\ns_count 9\n"
      "{\"quoted\",\"l\"=\"v\"} 1\n");
  ASSERT_TRUE(families) << error_text(families);
  ASSERT_EQ(families->size(), 5U);
  const PromFamily& a = (*families)[0];
  EXPECT_EQ(a.help, "Text with \\ and \n.");
  EXPECT_EQ(a.kind, MetricKind::kCounter);
  ASSERT_EQ(a.metrics.size(), 2U);
  EXPECT_EQ(a.metrics[0].labels, (std::vector<Label>{{"b", "q\"\\\n"}, {"x", "1"}}));
  EXPECT_EQ(a.metrics[0].value, 2.5);
  EXPECT_EQ((*families)[1].kind, MetricKind::kUntyped);
  EXPECT_TRUE(std::isinf((*families)[1].metrics[0].value));
  const PromFamily& h = (*families)[2];
  ASSERT_EQ(h.metrics.size(), 1U);
  EXPECT_EQ(h.metrics[0].labels, (std::vector<Label>{{"k", "v"}}));
  EXPECT_EQ(h.metrics[0].points.size(), 2U);
  EXPECT_EQ(h.metrics[0].sum, 9);
  EXPECT_EQ(h.metrics[0].count, 4);
  EXPECT_EQ((*families)[3].metrics[0].points[0].at, 0.5);
  EXPECT_EQ((*families)[4].name, "quoted");
}

TEST(ParsePromText, AcceptsNothing) {
  for (const char* text : {"", "\n", "  ", "# EOF\n", "#\n# HELP\n# TYPE x\n# TYPE x gauge\n"}) {
    const auto families = parse(text);
    ASSERT_TRUE(families) << text << error_text(families);
    EXPECT_TRUE(families->empty()) << text;
  }
}

TEST(ParsePromText, RefusesWhatNodeExporterRefuses) {
  const char* const kBad[] = {
      "a",
      "a 1",                  // no newline at the end
      "a 1 1700000000000\n",  // a timestamp
      "a 1 \n",               // nor a blank
      "a 1\r\n",
      "a\n",
      "1a 1\n",
      "a one\n",
      "a 0x10\n",
      "a 1_0\n",
      "a +nan\n",
      "a nan(1)\n",
      "a 1e999\n",
      "a{b=\"c\"\n",
      "a{b=\"c} 1\n",
      "a{b=c} 1\n",
      "a{b} 1\n",
      "a{1b=\"c\"} 1\n",
      "a{b:c=\"d\"} 1\n",
      "a{b=\"c\" d=\"e\"} 1\n",
      "a{,} 1\n",
      "a{b=\"1\",b=\"2\"} 1\n",
      "a{__name__=\"x\"} 1\n",
      "a{b=\"\\x\"} 1\n",
      "a{b=\"\xff\"} 1\n",
      "{} 1\n",
      "{\"a b\"} 1\n",
      "# HELP 1a x\n",
      "# HELP a x\n# HELP a y\n",
      "# HELP a bad \\t escape\n",
      "# TYPE a wat\n",
      "# TYPE a gaugehistogram\n",
      "# TYPE a gauge \n",
      "# TYPE a gauge\n# TYPE a gauge\n",
      "a 1\n# TYPE a gauge\n",
      "# TYPE h histogram\nh_bucket{le=\"x\"} 1\n",
      "# TYPE h histogram\nh_bucket{le=\"1\"} -1\n",
      "# TYPE s summary\ns{quantile=\"\"} 1\n",
  };
  for (const char* text : kBad) {
    const auto families = parse(text);
    ASSERT_FALSE(families) << text;
    EXPECT_EQ(families.error().kind, ErrorKind::kMalformed) << text;
  }
  EXPECT_EQ(error_text(parse("a 1\n\nb x\n")),
            "malformed: x.prom line 3: expected a number as the sample's value");
}

TEST(ParsePromText, BoundsWhatALabelOfItsOwnForEachSampleCosts) {
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    text += "m{l" + std::to_string(i) + "=\"x\"} 1\n";
  }
  EXPECT_FALSE(parse_prom_text(text, "x.prom", 50'000))
      << "44 kB that would make nine million cells";
  text.clear();
  for (int i = 0; i < 3000; ++i) {
    text += "m{l=\"" + std::to_string(i) + "\",k=\"v\"} 1\n";
  }
  EXPECT_TRUE(parse_prom_text(text, "x.prom", 50'000));
  text.clear();
  for (int i = 0; i < 200; ++i) {
    text += "# HELP f" + std::to_string(i) + " h\n";
  }
  EXPECT_FALSE(parse_prom_text(text, "x.prom", 100)) << "families count, too";
}

TEST(ParsePromText, BoundsItsSamples) {
  EXPECT_TRUE(parse_prom_text("a 1\na 2\n", "f", 2));
  EXPECT_FALSE(parse_prom_text("a 1\na 2\n", "f", 1));
}

TEST(ParsePromText, SurvivesTruncationAndGarbageAnywhere) {
  const std::string text =
      "# HELP h help \\n\n# TYPE h histogram\nh_bucket{a=\"\\\"\",le=\"1\"} 1\nh_sum "
      "2\n{\"q\",w=\"e\"} 1e5\n";
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const std::vector<char> part(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
    static_cast<void>(parse({part.data(), part.size()}));
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'\0', '"', '\\', '{', '}', '\n', '\xff'}) {
      std::string garbled = text;
      garbled[i] = c;
      static_cast<void>(parse(garbled));
    }
  }
}

TEST(ParsePromValue, ReadsWhatGoReads) {
  EXPECT_EQ(parse_prom_value("+7"), 7);
  EXPECT_EQ(parse_prom_value(".5"), 0.5);
  EXPECT_EQ(parse_prom_value("5."), 5);
  EXPECT_EQ(parse_prom_value("-1e3"), -1000);
  EXPECT_EQ(parse_prom_value("1e-999"), 0);
  EXPECT_EQ(parse_prom_value("5e-324"), 5e-324);
  EXPECT_TRUE(std::isnan(*parse_prom_value("NaN")));
  EXPECT_TRUE(std::isinf(*parse_prom_value("-infinity")));
  for (const char* text : {"", "+", "-", "--1", "+-1", "1e", "0x1", "-NaN", "1 ", "1e400"}) {
    EXPECT_FALSE(parse_prom_value(text)) << text;
  }
}

TEST(GoNumber, PrintsBoundsAsNodeExporterDoes) {
  EXPECT_EQ(go_number(0), "0");
  EXPECT_EQ(go_number(0.5), "0.5");
  EXPECT_EQ(go_number(0.0001), "0.0001");
  EXPECT_EQ(go_number(0.00001), "1e-05");
  EXPECT_EQ(go_number(409600), "409600");
  EXPECT_EQ(go_number(1e6), "1e+06");
  EXPECT_EQ(go_number(1638400), "1.6384e+06");
  EXPECT_EQ(go_number(-2), "-2");
  EXPECT_EQ(go_number(1e300), "1e+300");
  EXPECT_EQ(go_number(INFINITY), "+Inf");
  EXPECT_EQ(go_number(-INFINITY), "-Inf");
  EXPECT_EQ(go_number(NAN), "NaN");
}

class TextfileCollectorTest : public ::testing::Test {
 protected:
  void put(const std::string& name, std::string_view text) { tree_.write("root/" + name, text); }
  [[nodiscard]] std::string path(const std::string& name) const {
    return tree_.path("root/" + name);
  }

  Result<Section> collect(const std::string& directories) {
    auto made = testing::make(kTextfileCollector, tree_.files(), {"directory=" + directories});
    EXPECT_TRUE(made);
    collector_ = std::move(*made);
    return again();
  }
  Result<Section> again() { return testing::run(*collector_, 1, kLater); }
  Series series(const std::string& directories) { return flat(collect(directories)); }
  static Series flat(const Result<Section>& section) {
    EXPECT_TRUE(section) << error_text(section);
    Series out = section ? testing::flatten(*section) : Series{};
    // Times are the file system's.
    std::erase_if(out, [](const auto& entry) {
      return entry.first.starts_with("node_textfile_mtime_seconds");
    });
    return out;
  }

  FixtureTree tree_;
  std::unique_ptr<Collector> collector_;
};

TEST_F(TextfileCollectorTest, ShowsNothingByDefault) {
  const Series expected{{"node_textfile_scrape_error", 0}};
  EXPECT_EQ(series(""), expected);
}

TEST_F(TextfileCollectorTest, ShowsFilesAndTheirTimes) {
  put("d/b.prom", "b{x=\"1\"} 2\n");
  put("d/a.prom", "# TYPE a gauge\na 1\n");
  put("d/ignored.txt", "c 1\n");
  std::filesystem::last_write_time(path("d/a.prom"), std::filesystem::file_time_type::clock::now());
  const auto section = collect(path("d") + "/");
  ASSERT_TRUE(section) << error_text(section);
  const Series all = testing::flatten(*section);
  EXPECT_EQ(all.at("a"), 1);
  EXPECT_EQ(all.at("b{x=\"1\"}"), 2);
  EXPECT_EQ(all.at("node_textfile_scrape_error"), 0);
  const double mtime = all.at("node_textfile_mtime_seconds{file=\"" + path("d/a.prom") + "\"}");
  EXPECT_EQ(mtime, std::floor(mtime));
  EXPECT_GT(mtime, 1.6e9);
  EXPECT_EQ(all.size(), 5U);
  EXPECT_EQ(section->tables[0].shape->columns[0].help, "Metric read from " + path("d/a.prom"));
}

TEST_F(TextfileCollectorTest, LeavesOutABadFileWhole) {
  put("d/bad.prom", "good 1\nbad 1 1700000000000\n");
  put("d/ok.prom", "ok 1\n");
  const Series expected{{"ok", 1}, {"node_textfile_scrape_error", 1}};
  EXPECT_EQ(series(path("d")), expected);
}

TEST_F(TextfileCollectorTest, SaysWhenADirectoryIsMissing) {
  const Series expected{{"node_textfile_scrape_error", 1}};
  EXPECT_EQ(series(path("nowhere")), expected);
  EXPECT_EQ(series(path("none*")), expected);
}

TEST_F(TextfileCollectorTest, ExpandsPatterns) {
  put("one/a.prom", "a 1\n");
  put("two/b.prom", "b 2\n");
  put(".hidden/c.prom", "c 3\n");
  const Series expected{{"a", 1}, {"b", 2}, {"node_textfile_scrape_error", 0}};
  EXPECT_EQ(series(path("[ot]*")), expected);
  EXPECT_EQ(series(path("one") + "\n" + path("t?o")), expected);
  EXPECT_EQ(series(path("*")).size(), 4U);
}

TEST_F(TextfileCollectorTest, MergesAFamilyOfSeveralFiles) {
  put("d/a.prom", "# HELP m same\n# TYPE m counter\nm{f=\"a\"} 1\n");
  put("d/b.prom", "# HELP m same\n# TYPE m counter\nm{f=\"b\",g=\"x\"} 2\nm{f=\"c\"} 3\n");
  const auto section = collect(path("d"));
  ASSERT_TRUE(section);
  const Series expected{{"m{f=\"a\"}", 1},
                        {"m{f=\"b\",g=\"x\"}", 2},
                        {"m{f=\"c\",g=\"\"}", 3},
                        {"node_textfile_scrape_error", 0}};
  EXPECT_EQ(flat(section), expected);
  EXPECT_EQ(section->tables[0].shape->columns[0].family, "m");
  EXPECT_EQ(section->tables[1].shape->columns[0].family, "m");
}

TEST_F(TextfileCollectorTest, SettlesContradictionsForTheFirstFile) {
  put("d/a.prom", "# HELP m one\nm{f=\"a\"} 1\n# TYPE t gauge\nt 1\ns 1\n");
  put("d/b.prom", "# HELP m two\nm{f=\"b\"} 1\n");
  const Series help{{"m{f=\"a\"}", 1}, {"t", 1}, {"s", 1}, {"node_textfile_scrape_error", 1}};
  EXPECT_EQ(series(path("d")), help);
  put("d/b.prom", "# TYPE t counter\nt{f=\"b\"} 1\ns{e=\"\"} 2\ns{e=\"1\"} 3\n");
  const Series type{
      {"m{f=\"a\"}", 1}, {"t", 1}, {"s", 1}, {"s{e=\"1\"}", 3}, {"node_textfile_scrape_error", 0}};
  EXPECT_EQ(series(path("d")), type);
}

TEST_F(TextfileCollectorTest, ShowsHistogramsAndSummaries) {
  put("d/h.prom",
      "# TYPE h histogram\n"
      "h_bucket{le=\"1e6\"} 3\nh_bucket{le=\"0.5\"} 1\nh_sum 9\nh_count 4\n"
      "# TYPE s summary\n"
      "s{quantile=\"0.9\",k=\"v\"} 7\ns_sum{k=\"v\"} 8\ns_count{k=\"v\"} 2\n");
  const Series expected{{"h_bucket{le=\"0.5\"}", 1},
                        {"h_bucket{le=\"1e+06\"}", 3},
                        {"h_bucket{le=\"+Inf\"}", 4},
                        {"h_sum", 9},
                        {"h_count", 4},
                        {"s{k=\"v\",quantile=\"0.9\"}", 7},
                        {"s_sum{k=\"v\"}", 8},
                        {"s_count{k=\"v\"}", 2},
                        {"node_textfile_scrape_error", 0}};
  EXPECT_EQ(series(path("d")), expected);
}

TEST_F(TextfileCollectorTest, DropsFamiliesThatCollide) {
  put("d/a.prom", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n");
  put("d/b.prom", "h_count 5\nnode_textfile_scrape_error 7\n");
  const Series expected{{"h_bucket{le=\"+Inf\"}", 1},
                        {"h_sum", 1},
                        {"h_count", 1},
                        {"node_textfile_scrape_error", 0}};
  EXPECT_EQ(series(path("d")), expected);
}

TEST_F(TextfileCollectorTest, NeverWaitsForAFifo) {
  put("d/a.prom", "a 1\n");
  ASSERT_EQ(::mkfifo(path("d/fifo.prom").c_str(), 0600), 0);
  std::filesystem::create_directory(path("d/dir.prom"));
  std::filesystem::create_symlink("/dev/zero", path("d/zero.prom"));
  const Series expected{{"a", 1}, {"node_textfile_scrape_error", 1}};
  EXPECT_EQ(series(path("d")), expected);
}

TEST_F(TextfileCollectorTest, RefusesLargeFiles) {
  put("d/a.prom", "# " + std::string(8U * 1024 * 1024, 'x') + "\na 1\n");
  std::string many;
  for (int i = 0; i < 50'001; ++i) {
    many += "b{i=\"" + std::to_string(i) + "\"} 1\n";
  }
  put("d/b.prom", many);
  const Series expected{{"node_textfile_scrape_error", 1}};
  EXPECT_EQ(series(path("d")), expected);
}

TEST_F(TextfileCollectorTest, NoticesEveryChange) {
  put("d/a.prom", "a 1\n");
  const auto first = collect(path("d"));
  const auto same = again();
  put("d/a.prom", "a 2\n");
  const auto changed = again();
  ASSERT_TRUE(first && same && changed);
  EXPECT_EQ(flat(changed).at("a"), 2);
  EXPECT_EQ(first->tables[0].shape, same->tables[0].shape);
  EXPECT_EQ(first->tables[0].shape, changed->tables[0].shape);  // only a number is new
  put("d/b.prom", "b 1\n");
  EXPECT_EQ(flat(again()).count("b"), 1U);
  tree_.remove("root/d/a.prom");
  EXPECT_EQ(flat(again()).count("a"), 0U);
  put("d/b.prom", "bad");
  EXPECT_EQ(flat(again()).at("node_textfile_scrape_error"), 1);
  EXPECT_EQ(flat(again()).at("node_textfile_scrape_error"), 1);
  tree_.remove("root/d");
  EXPECT_EQ(flat(again()).at("node_textfile_scrape_error"), 1);
}

}  // namespace
}  // namespace tidegauge
