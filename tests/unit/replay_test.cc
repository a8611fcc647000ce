// SPDX-License-Identifier: Apache-2.0

// Recordings as what Prometheus would have seen of them.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <bit>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "collectors/core/table_builder.h"
#include "collectors/registry.h"
#include "daemon/config/load.h"
#include "daemon/recorder/ring.h"
#include "daemon/replay/dump_rows.h"
#include "daemon/replay/incident_list.h"
#include "daemon/replay/open_metrics.h"
#include "daemon/replay/pace.h"
#include "daemon/replay/raw_text.h"
#include "daemon/replay/recorded_text.h"
#include "daemon/replay/recording_walk.h"
#include "daemon/replay/replay_source.h"
#include "daemon/service/collector_set.h"
#include "tests/unit/exposition_parser.h"
#include "tests/unit/testing.h"

namespace tidegauge::replay {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kStart = 1'795'656'752 * kSecond;

std::string end_chunk() {
  return recording::ChunkCompressor(1).finish({.kind = recording::ChunkKind::kEnd});
}

std::string recording_of(const std::vector<SnapshotPtr>& snapshots, std::int64_t chunk_ns,
                         const recording::Checkpoint& checkpoint = {}) {
  recording::RingOptions options;
  options.chunk_ns = chunk_ns;
  options.window_ns = INT64_MAX / 2;
  options.max_bytes = std::size_t{1} << 30U;
  recording::Ring ring(options, [&] { return checkpoint; });
  for (const SnapshotPtr& snapshot : snapshots) {
    ring.add(snapshot);
  }
  ring.seal();
  std::string out = recording::file_header();
  for (const auto& chunk : ring.chunks()) {
    out += chunk->bytes;
  }
  return out + end_chunk();
}

ColumnInfo column(std::string family, MetricKind kind, std::string suffix = "",
                  std::vector<Label> labels = {}) {
  ColumnInfo out;
  out.family = std::move(family);
  out.suffix = std::move(suffix);
  out.help = "A \"thing\" with \\ and\nlines.";
  out.kind = kind;
  out.labels = std::move(labels);
  return out;
}

// Snapshots of made-up collectors, a second apart.
class Maker {
 public:
  using Part = std::pair<std::string_view, std::shared_ptr<const Section>>;

  std::shared_ptr<const Section> section(std::vector<Table> tables) {
    auto out = std::make_shared<Section>();
    out->tables = std::move(tables);
    out->read_start_boottime_ns = ++reads_;
    out->read_end_boottime_ns = reads_ + 1;
    return out;
  }
  SnapshotPtr snapshot(const std::vector<Part>& parts, std::int64_t step_ns = kSecond) {
    realtime_ns_ += step_ns;
    boottime_ns_ += kSecond;
    auto out = std::make_shared<Snapshot>();
    out->sequence = ++sequence_;
    out->ticks = sequence_;
    out->realtime_ns = realtime_ns_;
    out->boottime_ns = boottime_ns_;
    for (const auto& [name, section] : parts) {
      CollectorStatus status;
      status.ran = status.success = section != nullptr;
      out->entries.push_back({name, section, status});
    }
    return out;
  }

 private:
  std::int64_t realtime_ns_ = kStart;
  std::int64_t boottime_ns_ = 5 * kSecond;
  std::int64_t reads_ = 0;
  std::uint64_t sequence_ = 0;
};

Table table(RowTable& rows, const std::vector<std::pair<std::string, std::uint64_t>>& values) {
  rows.begin();
  for (const auto& [label, value] : values) {
    rows.row({label});
    for (std::size_t i = 0; i < rows.columns().size(); ++i) {
      rows.set(i, value);
    }
  }
  return rows.take();
}

class Replay : public ::testing::Test {
 protected:
  std::string write(const std::string& bytes) {
    tree_.write("root/x.tgrec", bytes);
    return tree_.path("root/x.tgrec");
  }
  RecordingWalk walk(const std::string& bytes, const WalkRange& range = {}) {
    damages_.clear();
    auto out = RecordingWalk::open(write(bytes), range, [this](const recording::Damage& damage) {
      damages_.push_back(damage);
    });
    EXPECT_TRUE(out) << out.error().message();
    return std::move(*out);
  }
  std::string open_metrics(const std::string& bytes, std::size_t max_bytes = 1U << 30U,
                           const std::string& family = "") {
    RecordingWalk from = walk(bytes);
    RecordedText text(all_collectors());
    auto matcher = FamilyMatcher::make(family);
    OpenMetricsDump dump(from, text, *matcher, max_bytes);
    std::string out;
    EXPECT_TRUE(dump.run([&](std::string_view part) {
      out += part;
      return true;
    }));
    stats_ = dump.stats();
    return out;
  }

  testing::FixtureTree tree_;
  std::vector<recording::Damage> damages_;
  OpenMetricsStats stats_;
};

void expect_live_text_again(RecordingWalk walk, const std::vector<SnapshotPtr>& snapshots,
                            const std::vector<ExportedCollector>& exports) {
  Exposition live({}, exports, nullptr);
  RecordedExposition recorded(all_collectors());
  for (const SnapshotPtr& snapshot : snapshots) {
    const SnapshotPtr again = walk.next();
    ASSERT_TRUE(again);
    EXPECT_EQ(again->sequence, snapshot->sequence);
    const auto then = live.body(snapshot, {}, false);
    const auto now = recorded.body(again, walk.node_families());
    EXPECT_GT(then->size(), 1000U);
    EXPECT_TRUE(*then == *now);
    // The parts are the whole.
    RecordedText text(all_collectors());
    text.begin(again, true);
    std::string joined;
    for (std::size_t i = 0; i < again->entries.size(); ++i) {
      joined += text.section(i);
    }
    EXPECT_TRUE(joined + text.status() == *now);
  }
  EXPECT_FALSE(walk.next());
  EXPECT_EQ(walk.damages(), 0U);
}

TEST_F(Replay, FixturesSayWhatTheySaidLive) {
  for (const char* machine : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    std::vector<std::pair<const CollectorInfo*, std::unique_ptr<Collector>>> collectors;
    std::vector<ExportedCollector> exports;
    for (const CollectorInfo* info : all_collectors()) {
      auto made = testing::make(*info, testing::fixture(machine));
      if (made && info->name != "ebpf") {
        exports.push_back({info->name, info->help, info->metrics()});
        collectors.emplace_back(info, std::move(*made));
      }
    }
    Maker maker;
    std::vector<SnapshotPtr> snapshots;
    for (int i = 1; i <= 4; ++i) {
      std::vector<Maker::Part> parts;
      for (auto& [info, collector] : collectors) {
        auto section = testing::run(*collector, i * kSecond);
        parts.emplace_back(info->name,
                           section ? std::make_shared<const Section>(*section) : nullptr);
      }
      snapshots.push_back(maker.snapshot(parts));
    }
    expect_live_text_again(walk(recording_of(snapshots, 2 * kSecond)), snapshots, exports);
  }
}

TEST_F(Replay, ThisMachineSaysWhatItSaidLive) {
  const Config config = default_config(all_collectors());
  auto collectors = make_collectors(config);
  ASSERT_TRUE(collectors);
  const auto exports = exported(*collectors);
  SystemClock clock;
  Scheduler scheduler(scheduler_options(config), std::move(*collectors), clock,
                      [](std::string_view, const Error*) {});
  const SnapshotPtr snapshot = scheduler.collect_once(5 * kSecond);
  expect_live_text_again(walk(recording_of({snapshot}, kSecond)), {snapshot}, exports);
  ASSERT_TRUE(scheduler.stop());
}

TEST_F(Replay, CollectorsComeAndGo) {
  Maker maker;
  RowTable gone({"device"}, {column("gone_things_total", MetricKind::kCounter)});
  RowTable thief({"device"},
                 {column("node_load1", MetricKind::kGauge), column("own", MetricKind::kGauge)});
  const auto a = maker.section({table(gone, {{"x", 1}})});
  const auto b = maker.section({table(thief, {{"y", 2}})});
  RecordingWalk from = walk(recording_of(
      {maker.snapshot({{"gone", a}}), maker.snapshot({{"gone", a}, {"loadavg", nullptr}, {"t", b}}),
       maker.snapshot({})},
      60 * kSecond));
  RecordedExposition exposition(all_collectors());
  std::vector<std::string> texts;
  ReplaySource source;
  ReplayHandler handler(source, all_collectors());
  EXPECT_TRUE(std::holds_alternative<HttpPending>(handler.handle({"GET", "/metrics", {}}, false)));
  while (const SnapshotPtr snapshot = from.next()) {
    texts.push_back(*exposition.body(snapshot, true));
    EXPECT_EQ(testing::parse_exposition(texts.back()).error, "");
    source.publish({snapshot, true});
    const auto answer = std::get<HttpResponse>(handler.handle({"GET", "/metrics", {}}, false));
    EXPECT_EQ(*answer.body, texts.back());
    for (const char* path : {"/", "/-/ready", "/-/healthy"}) {
      EXPECT_EQ(std::get<HttpResponse>(handler.handle({"GET", path, {}}, false)).status, 200);
    }
  }
  ASSERT_EQ(texts.size(), 3U);
  EXPECT_NE(texts[0].find("gone_things_total{device=\"x\"} 1\n"), std::string::npos);
  EXPECT_NE(texts[1].find("own{device=\"y\"} 2\n"), std::string::npos);
  EXPECT_EQ(texts[1].find("node_load1"), std::string::npos) << "belongs to loadavg";
  EXPECT_EQ(texts[2].find("own{"), std::string::npos);
  source.end();
  const auto answer = std::get<HttpResponse>(handler.handle({"GET", "/metrics", {}}, false));
  EXPECT_EQ(answer.status, 200) << "the target is up, and Prometheus marks its series as stale";
  EXPECT_TRUE(testing::parse_exposition(*answer.body).families.empty()) << *answer.body;
  for (const char* path : {"/", "/-/ready", "/-/healthy"}) {
    EXPECT_EQ(std::get<HttpResponse>(handler.handle({"GET", path, {}}, false)).status, 200);
  }
}

TEST_F(Replay, NodeFamiliesAsRecorded) {
  Maker maker;
  RowTable rows({"device"}, {column("node_x", MetricKind::kGauge)});
  const auto section = maker.section({table(rows, {{"x", 1}})});
  const std::string bytes = recording_of({maker.snapshot({{"c", section}})}, kSecond,
                                         {{std::string(recording::kNodeFamiliesEntry), "false"}});
  RecordingWalk from = walk(bytes);
  const SnapshotPtr snapshot = from.next();
  EXPECT_FALSE(from.node_families());
  EXPECT_EQ(RecordedExposition(all_collectors()).body(snapshot, false)->find("node_"),
            std::string::npos);
}

// Recordings made before the label of a verdict's subject was renamed.
TEST_F(Replay, NamesAreThoseOfThisBuild) {
  Maker maker;
  RowTable rows({"instance"}, {column("tidegauge_verdict_info", MetricKind::kGauge)});
  RowTable others({"instance"}, {column("of_a_textfile", MetricKind::kGauge)});
  const auto section = maker.section({table(rows, {{"sda", 1}}), table(others, {{"a", 1}})});
  RecordingWalk from = walk(recording_of({maker.snapshot({{"c", section}})}, kSecond));
  const auto text = RecordedExposition(all_collectors()).body(from.next(), true);
  EXPECT_NE(text->find("tidegauge_verdict_info{subject=\"sda\"} 1\n"), std::string::npos);
  EXPECT_NE(text->find("of_a_textfile{instance=\"a\"} 1\n"), std::string::npos);
}

TEST_F(Replay, SpansOfTime) {
  Maker maker;
  std::vector<SnapshotPtr> snapshots;
  for (int i = 0; i < 10; ++i) {
    snapshots.push_back(maker.snapshot({}));
  }
  const std::string bytes = recording_of(snapshots, 2 * kSecond);
  const auto count = [&](const char* from_text, const char* to_text) {
    WalkRange range;
    if (from_text != nullptr) {
      range.from = parse_time_argument(from_text);
    }
    if (to_text != nullptr) {
      range.to = parse_time_argument(to_text);
    }
    RecordingWalk from = walk(bytes, range);
    int n = 0;
    while (from.next()) {
      ++n;
    }
    return n;
  };
  EXPECT_EQ(count(nullptr, nullptr), 10);
  EXPECT_EQ(count("-3s", nullptr), 4);
  EXPECT_EQ(count(nullptr, "-3s"), 7);
  EXPECT_EQ(count("1795656755", "1795656756.5"), 2);
  EXPECT_EQ(count("-1h", nullptr), 10);
  EXPECT_EQ(count("1900000000", nullptr), 0);
  const auto inverted =
      RecordingWalk::open(write(bytes), {parse_time_argument("-1s"), parse_time_argument("-2s")},
                          [](const recording::Damage&) {});
  ASSERT_FALSE(inverted);
  EXPECT_NE(inverted.error().where.find("x.tgrec: --from is "), std::string::npos);
}

TEST_F(Replay, EveryPrintedTimeSelectsItsSnapshot) {
  Maker maker;
  std::vector<SnapshotPtr> snapshots;
  for (int i = 0; i < 3; ++i) {
    snapshots.push_back(maker.snapshot({}, kSecond + 123'456));
  }
  const std::string bytes = recording_of(snapshots, kSecond);
  for (const SnapshotPtr& snapshot : snapshots) {
    const auto time = parse_time_argument(time_text(snapshot->realtime_ns));
    RecordingWalk from = walk(bytes, {time, time});
    const SnapshotPtr found = from.next();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->sequence, snapshot->sequence);
    EXPECT_FALSE(from.next());
  }
}

TEST_F(Replay, OpenMetricsOfSeries) {
  Maker maker;
  RowTable rows({"device"},
                {column("a_total", MetricKind::kCounter), column("b", MetricKind::kCounter),
                 column("c_total", MetricKind::kCounter), column("c", MetricKind::kGauge),
                 column("d", MetricKind::kHistogram, "_bucket", {{"le", "9"}}),
                 column("d", MetricKind::kHistogram, "_bucket", {{"le", "10"}}),
                 column("d", MetricKind::kHistogram, "_bucket", {{"le", "+Inf"}}),
                 column("d", MetricKind::kHistogram, "_sum"), column("e", MetricKind::kUntyped)});
  const auto first = maker.section({table(rows, {{"x\"\\\n", 1}})});
  const auto second = maker.section({table(rows, {{"x\"\\\n", 1}, {"y", 2}})});
  const auto third = maker.section({table(rows, {{"y", 3}})});
  const std::string bytes =
      recording_of({maker.snapshot({{"q", first}}), maker.snapshot({{"q", first}}),
                    maker.snapshot({{"q", second}}), maker.snapshot({{"q", third}}, 500'000'000),
                    maker.snapshot({{"q", maker.section({table(rows, {{"y", 4}})})}}, -kSecond),
                    maker.snapshot({{"q", nullptr}})},
                   2 * kSecond);
  const std::string text = open_metrics(bytes, 1U << 30U, "[a-e](_total)?");
  EXPECT_EQ(text.substr(0, text.find("# HELP c ")),
            "# HELP a A \\\"thing\\\" with \\\\ and\\nlines.\n"
            "# TYPE a counter\n"
            "a_total{device=\"x\\\"\\\\\\n\"} 1 1795656753.000\n"
            "a_total{device=\"x\\\"\\\\\\n\"} 1 1795656755.000\n"
            "a_total{device=\"y\"} 2 1795656755.000\n"
            "a_total{device=\"y\"} 3 1795656755.500\n"
            "# HELP b A \\\"thing\\\" with \\\\ and\\nlines.\n"
            "# TYPE b unknown\n"
            "b{device=\"x\\\"\\\\\\n\"} 1 1795656753.000\n"
            "b{device=\"x\\\"\\\\\\n\"} 1 1795656755.000\n"
            "b{device=\"y\"} 2 1795656755.000\n"
            "b{device=\"y\"} 3 1795656755.500\n");
  EXPECT_NE(text.find("# TYPE c gauge\n"), std::string::npos);
  EXPECT_NE(text.find("# TYPE c_total unknown\n"), std::string::npos);
  EXPECT_NE(text.find("# TYPE d histogram\n"), std::string::npos);
  EXPECT_NE(text.find("# TYPE e unknown\n"), std::string::npos);
  EXPECT_LT(text.find("device=\"y\",le=\"9\""), text.find("device=\"y\",le=\"10\""));
  EXPECT_LT(text.find("device=\"y\",le=\"10\""), text.find("device=\"y\",le=\"+Inf\""));
  EXPECT_TRUE(text.ends_with("\n# EOF\n"));
  EXPECT_EQ(stats_.not_later, 9U);
  EXPECT_EQ(stats_.collisions, 0U);
  EXPECT_EQ(stats_.passes, 1U);
  // With the status, which is in every Snapshot, and in parts.
  const std::string whole = open_metrics(bytes);
  EXPECT_NE(whole.find("\n# TYPE tidegauge_ticks counter\n"), std::string::npos);
  const OpenMetricsStats once = stats_;
  for (const std::size_t max_bytes : {1U, 1000U, 3000U, 8000U}) {
    EXPECT_EQ(open_metrics(bytes, max_bytes), whole) << max_bytes;
    EXPECT_GT(stats_.passes, 1U);
    EXPECT_EQ(stats_.samples, once.samples);
    EXPECT_EQ(stats_.not_later, once.not_later);
  }
}

TEST_F(Replay, CollidingSeriesAreWrittenOnce) {
  Maker maker;
  RowTable rows({"device"}, {column("a", MetricKind::kGauge)});
  RowTable load({"device"}, {column("node_load1", MetricKind::kGauge)});
  const std::string bytes = recording_of(
      {maker.snapshot({{"p", maker.section({table(rows, {{"x", 1}})})},
                       {"q", maker.section({table(rows, {{"x", 2}}), table(load, {{"x", 9}})})},
                       {"loadavg", maker.section({table(load, {{"y", 3}})})}})},
      kSecond);
  EXPECT_EQ(open_metrics(bytes, 1U << 30U, "a|node_load1"),
            "# HELP a A \\\"thing\\\" with \\\\ and\\nlines.\n# TYPE a gauge\n"
            "a{device=\"x\"} 1 1795656753.000\n"
            "# HELP node_load1 A \\\"thing\\\" with \\\\ and\\nlines.\n# TYPE node_load1 gauge\n"
            "node_load1{device=\"y\"} 3 1795656753.000\n# EOF\n");
  EXPECT_EQ(stats_.collisions, 1U);
}

// Families and their help count, too: with much help and little else it takes several passes.
TEST_F(Replay, HelpTakesMemory) {
  Maker maker;
  std::vector<ColumnInfo> columns;
  for (int i = 0; i < 200; ++i) {
    columns.push_back(column("f" + std::to_string(1000 + i), MetricKind::kGauge));
    columns.back().help = std::string(4000, 'h');
  }
  RowTable rows({"device"}, std::move(columns));
  const std::string bytes =
      recording_of({maker.snapshot({{"q", maker.section({table(rows, {{"x", 1}})})}}),
                    maker.snapshot({{"q", maker.section({table(rows, {{"x", 2}})})}})},
                   kSecond);
  const std::string whole = open_metrics(bytes);
  EXPECT_EQ(stats_.passes, 1U);
  EXPECT_EQ(open_metrics(bytes, 300'000), whole);
  EXPECT_GT(stats_.passes, 2U);
}

TEST(ReplayTimes, PrometheusReadsTheSameMilliseconds) {
  for (std::int64_t ms = 1'795'656'752'000; ms < 1'795'656'754'000; ++ms) {
    const std::string text = open_metrics_time(ms);
    EXPECT_EQ(static_cast<std::int64_t>(std::strtod(text.c_str(), nullptr) * 1000), ms) << text;
  }
  EXPECT_EQ(open_metrics_time(1'795'656'752'000), "1795656752.000");
  EXPECT_EQ(open_metrics_time(-1500), "-1.500");
  EXPECT_EQ(open_metrics_time(0), "0.000");
  EXPECT_EQ(time_text(kStart + 123'999'999), "2026-11-26T01:32:32.123Z");
  EXPECT_EQ(time_text(-1), "1969-12-31T23:59:59.999Z");
  time_text(INT64_MIN);
  open_metrics_time(INT64_MIN);
}

TEST(ReplayTimes, AsWrittenOnACommandLine) {
  const auto ns = [](const char* text) {
    const auto time = parse_time_argument(text);
    return time ? time->resolve(kStart) : 1;
  };
  EXPECT_EQ(ns("2026-11-26T01:32:32Z"), kStart);
  EXPECT_EQ(ns("2026-11-26t01:32:32z"), kStart);
  EXPECT_EQ(ns("2026-11-26 02:32:32.25+01:00"), kStart + kSecond / 4);
  EXPECT_EQ(ns("2026-11-25T22:02:32.1234567891-03:30"), kStart + 123'456'789);
  EXPECT_EQ(ns("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(ns("2000-02-29T00:00:00Z"), 951'782'400 * kSecond);
  EXPECT_EQ(ns("1795656752"), kStart);
  EXPECT_EQ(ns("1795656752.5"), kStart + kSecond / 2);
  EXPECT_EQ(ns("-5m"), kStart - 300 * kSecond);
  EXPECT_EQ(ns("-1h30m"), kStart - 5400 * kSecond);
  for (const char* bad :
       {"", "-", "now", "5m", "2026-11-26", "2026-11-26T01:32:32", "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z", "2026-11-26T24:00:00Z", "2026-11-26T01:32Z", "1795656752.",
        "99999999999999", "1e9", "+5m", "-5", "2026-11-26T01:32:32+1:00", "2026-11-26T01:32:32.Z",
        "9999-01-01T00:00:00Z", "1795656752 "}) {
    EXPECT_FALSE(parse_time_argument(bad)) << bad;
  }
}

TEST_F(Replay, RowsForOtherPrograms) {
  Maker maker;
  RowTable rows({"device"}, {column("a", MetricKind::kGauge)});
  RowTable real({"device"}, {[] {
                  ColumnInfo out = column("r", MetricKind::kGauge);
                  out.type = NumberType::kReal;
                  return out;
                }()});
  const auto section =
      maker.section({table(rows, {{"x,\"\\\n", 1}}),
                     table(real, {{"n", std::bit_cast<std::uint64_t>(std::strtod("nan", nullptr))},
                                  {"i", std::bit_cast<std::uint64_t>(std::strtod("-inf", nullptr))},
                                  {"e", std::bit_cast<std::uint64_t>(1e-20)}})});
  const std::string bytes =
      recording_of({maker.snapshot({{"q", section}}), maker.snapshot({{"q", section}})}, kSecond);
  RecordedText text(all_collectors());
  auto matcher = FamilyMatcher::make("a|r");
  std::string out;
  const TextSink sink = [&](std::string_view part) {
    out += part;
    return true;
  };
  RecordingWalk from = walk(bytes);
  EXPECT_TRUE(dump_csv(from, text, *matcher, sink));
  const std::string time = "2026-11-26T01:32:33.000Z,";
  EXPECT_EQ(out, "time,metric,labels,value\n" + time + "a,\"device=\"\"x,\\\"\"\\\\\\n\"\"\",1\n" +
                     time + "r,\"device=\"\"n\"\"\",NaN\n" + time +
                     "r,\"device=\"\"i\"\"\",-Inf\n" + time + "r,\"device=\"\"e\"\"\",1e-20\n");
  out.clear();
  from.rewind();
  EXPECT_TRUE(dump_json(from, text, *matcher, sink));
  const std::size_t line = out.find('\n');
  EXPECT_EQ(out.find('\n', line + 1), out.size() - 1);
  const auto object = nlohmann::json::parse(out.substr(0, line));
  EXPECT_EQ(object["time"], "2026-11-26T01:32:33.000Z");
  EXPECT_EQ(object["sequence"], 1);
  ASSERT_EQ(object["metrics"].size(), 4U);
  EXPECT_EQ(object["metrics"][0],
            nlohmann::json::parse(R"({"name":"a","labels":{"device":"x,\"\\\n"},"value":1})"));
  EXPECT_EQ(object["metrics"][1]["value"], "NaN");
  EXPECT_EQ(object["metrics"][2]["value"], "-Inf");
  EXPECT_EQ(object["metrics"][3]["value"], 1e-20);
  EXPECT_EQ(nlohmann::json::parse(out.substr(line + 1))["metrics"].size(), 4U);
}

TEST(ReplayFamilies, WholeNames) {
  auto matcher = FamilyMatcher::make("node_(cpu|disk).*");
  ASSERT_TRUE(matcher);
  EXPECT_TRUE(matcher->matches("node_cpu_seconds_total"));
  EXPECT_FALSE(matcher->matches("x_node_cpu"));
  EXPECT_FALSE(matcher->matches("node_"));
  EXPECT_TRUE(FamilyMatcher::make("")->matches("anything"));
  EXPECT_EQ(FamilyMatcher::make("node_[a").error().where,
            "--family: at character 6: missing ]: [a");
  EXPECT_EQ(FamilyMatcher::make("(a").error().where, "--family: at character 3: missing ): (a");
  EXPECT_NE(FamilyMatcher::make("a**").error().where.find("at character 2"), std::string::npos);
}

TEST(ReplayPace, FollowsTheRecordedClock) {
  Maker maker;
  Pace pace(2);
  EXPECT_EQ(pace.next(*maker.snapshot({}), 100), 100);
  EXPECT_EQ(pace.end_ns(), 100 + kSecond) << "one that stands alone can be seen";
  EXPECT_EQ(pace.next(*maker.snapshot({}), 5000), 100 + kSecond / 2);
  EXPECT_EQ(pace.next(*maker.snapshot({}, -kSecond), 9 * kSecond), 100 + kSecond);
  pace.begin_again();
  Snapshot first;
  first.boottime_ns = INT64_MIN;
  EXPECT_EQ(pace.next(first, 9 * kSecond), 9 * kSecond + kSecond / 10);
  Pace slow(0.1);
  slow.next(*maker.snapshot({}), 0);
  slow.next(*maker.snapshot({}), 0);
  EXPECT_EQ(slow.end_ns(), 20 * kSecond);
  Snapshot far;
  far.boottime_ns = INT64_MAX;
  far.realtime_ns = INT64_MAX;
  EXPECT_GE(pace.next(far, 9 * kSecond), 9 * kSecond);
  EXPECT_GE(pace.end_ns(), 9 * kSecond);
  pace.next(first, 0);
  EXPECT_GE(pace.next(far, 0), 0);
}

TEST_F(Replay, Incidents) {
  Maker maker;
  const std::string good =
      recording_of({maker.snapshot({}), maker.snapshot({}), maker.snapshot({})}, kSecond);
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
  const std::string dir = "root/incidents/";
  tree_.write(dir + "20261126T021233Z-io-stall.tgrec", good);
  tree_.write(dir + "20261126T021234Z-memory.tgrec", flipped);
  tree_.write(dir + "20261126T021235Z-cpu.tgrec", good.substr(0, good.size() - 60));
  tree_.write(dir + ".20261126T021236Z-cpu.tgrec.partial", good.substr(0, good.size() - 48));
  tree_.write(dir + "20261126T021237Z-\x1b[31m\n.tgrec", "hello, this is no recording");
  tree_.write(dir + "other.txt", "");
  tree_.write(dir + "dir.tgrec/x", "");
  ASSERT_EQ(::mkfifo(tree_.path(dir + "fifo.tgrec").c_str(), 0600), 0);
  const auto list = list_incidents(tree_.path(dir));
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 7U);
  std::vector<std::string> states;
  for (const Incident& incident : *list) {
    states.emplace_back(to_string(incident.state));
  }
  EXPECT_EQ(states, (std::vector<std::string>{"complete", "damaged", "torn", "torn", "unreadable",
                                              "unreadable", "unreadable"}));
  EXPECT_EQ((*list)[0].reason, "io-stall");
  EXPECT_EQ((*list)[0].snapshots, 3U);
  EXPECT_EQ((*list)[3].reason, "cpu");
  const std::string text = incidents_text(*list, Charset::kAscii);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_TRUE(text.starts_with("2026-11-26T01:32:33.000Z        2s       3 snapshots  "));
  EXPECT_NE(text.find("unreadable: not a regular file\n"), std::string::npos);
  EXPECT_NE(text.find("not a recording of Tidegauge\n"), std::string::npos);
  const auto json = nlohmann::json::parse(incidents_json(*list));
  EXPECT_EQ(json.size(), 7U);
  EXPECT_EQ(json[0]["duration_seconds"], 2.0);
  EXPECT_EQ(json[5]["state"], "unreadable");
  EXPECT_FALSE(list_incidents("/nonexistent"));
  const std::string partial = tree_.path(dir + ".20261126T021236Z-cpu.tgrec.partial");
  const int fd = ::open(partial.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  const auto locked = list_incidents(tree_.path(dir));
  EXPECT_EQ(to_string(locked->at(3).state), "being written");
  EXPECT_EQ(locked->at(3).snapshots, 3U);
  ::close(fd);
  EXPECT_EQ(reason_of("2026-11-26T02-12-33Z-a-b.tgrec"), "a-b");
  EXPECT_EQ(reason_of("1795656752-a-b.tgrec"), "a-b");
  EXPECT_EQ(reason_of("x.tgrec"), "");
}

TEST(ReplayRaw, HasHarmlessHeadings) {
  const recording::RawFiles files{
      "on\nset", kStart, {{"/proc/x\x1b", "a\tb\x1b[1m\nend"}, {"/proc/y", ""}}};
  EXPECT_EQ(raw_text(files),
            "==> /proc/x? (on?set, 2026-11-26T01:32:32.000Z) <==\na\tb\x1b[1m\nend\n\n"
            "==> /proc/y (on?set, 2026-11-26T01:32:32.000Z) <==\n\n");
  EXPECT_EQ(printable_lines("a\tb\x1b[1m\x7f\xc2\x9b\xff\r\n\xe2\x80\xae", Charset::kAscii),
            "a\tb?[1m????\n?");
}

}  // namespace
}  // namespace tidegauge::replay
