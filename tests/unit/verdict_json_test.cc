// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/verdict_json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "daemon/heuristics/utc_text.h"
#include "tests/unit/verdict_samples.h"

namespace tidegauge::heuristics {
namespace {

using Json = nlohmann::ordered_json;
using testing::sample_report;
using testing::sample_verdict;

TEST(VerdictJson, SaysEverything) {
  const Json json = verdict_json(sample_verdict());
  EXPECT_EQ(json["verdict"], "page_cache_thrash");
  EXPECT_EQ(json["title"], "Page cache thrash");
  EXPECT_EQ(json["instance"], "vgca0");
  EXPECT_EQ(json["severity"], "critical");
  EXPECT_EQ(json["confidence"], 0.92);
  EXPECT_EQ(json["is_active"], true);
  EXPECT_EQ(json["onset"], "2026-11-26T01:29:12.000Z");
  EXPECT_EQ(json["onset_seconds"], 1795656552.0);
  EXPECT_EQ(json["onset_resolution_seconds"], 1.0);
  EXPECT_EQ(json["detected"], "2026-11-26T01:29:18.000Z");
  EXPECT_EQ(json["detection_delay_seconds"], 6.0);
  EXPECT_FALSE(json.contains("ended"));
  const Json& cause = json["causes"][0];
  EXPECT_EQ(cause["text"], "python (pid 3920, thread reader, container web)");
  EXPECT_EQ(cause["pid"], "3920");
  EXPECT_EQ(cause["file"], "/data/blob");
  EXPECT_EQ(cause["share"], 0.85);
  EXPECT_FALSE(cause.contains("zone"));
  EXPECT_EQ(json["victims"][0]["device"], "sda");
  const Json& figure = json["evidence"][0];
  EXPECT_EQ(figure["value"], 180'000.0);
  EXPECT_EQ(figure["unit"], "pages per second");
  EXPECT_EQ(figure["threshold"], 1000.0);
  EXPECT_EQ(figure["source"], "node_vmstat_pgsteal_kswapd");
  EXPECT_TRUE(json["evidence"][1]["threshold"].is_null());
  EXPECT_TRUE(json["evidence"][2]["value"].is_null()) << "unknown is not 0";
  EXPECT_EQ(json["evidence"][2]["text"], "unknown");
  EXPECT_EQ(json["ruled_out"][0]["alternative"], "swapping");
  EXPECT_EQ(json["timeline"][0]["offset_seconds"], -9.8);
  EXPECT_EQ(json["timeline"][0]["time"], "2026-11-26T01:29:02.200Z");
  EXPECT_EQ(json["next_steps"].size(), 2U);
}

TEST(VerdictJson, OfAnEndedOne) {
  const Json json = verdict_json(testing::ended(sample_verdict(), 20));
  EXPECT_EQ(json["is_active"], false);
  EXPECT_EQ(json["ended"], "2026-11-26T01:32:12.000Z");
  EXPECT_EQ(json["lasted_seconds"], 180.0);
}

TEST(VerdictJson, ReportHasSeverityHeadroomAndTheLastThatEndedFirst) {
  Report report = sample_report();
  EXPECT_EQ(report_json(report)["severity"], "ok");
  report.active = {sample_verdict(), testing::bare_verdict(VerdictId::kDiskBurst, Severity::kInfo)};
  auto early = testing::ended(sample_verdict(), 100);
  auto late = testing::ended(sample_verdict(), 50);
  late.number = 9;
  report.recent = {std::make_shared<const Verdict>(early), std::make_shared<const Verdict>(late)};
  const Json json = report_json(report);
  EXPECT_EQ(json["severity"], "critical");
  EXPECT_EQ(json["host"], "host1");
  EXPECT_EQ(json["time"], "2026-11-26T01:32:32.000Z");
  EXPECT_EQ(json["active"].size(), 2U);
  EXPECT_EQ(json["recent"][0]["number"], 9);
  EXPECT_EQ(json["headroom"][0]["text"], "4.84 GiB");
  EXPECT_EQ(json["unchecked"].size(), 1U);
}

TEST(VerdictJson, HostileTextsAreAsciiAndValid) {
  Verdict verdict = sample_verdict();
  verdict.finding.causes[0].comm = "\x1b[31m\xff\"\n\xe2\x80\xae";
  verdict.finding.instance = std::string("a\0b", 3);
  verdict.finding.sentence = std::string(100'000, '\xfe');
  verdict.finding.confidence = std::numeric_limits<double>::infinity();
  const std::string text = json_text(verdict_json(verdict));
  EXPECT_TRUE(
      std::ranges::all_of(text, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
  EXPECT_EQ(std::ranges::count(text, '\n'), 1);
  EXPECT_TRUE(Json::parse(text)["confidence"].is_null());
}

TEST(VerdictJson, IsBoundedHoweverMuchThereIs) {
  Verdict huge = sample_verdict();
  const std::string name(5000, 'x');
  huge.finding.sentence = std::string(5000, '\x01');  // six bytes each in JSON
  for (int i = 0; i < 60; ++i) {
    Party party;
    party.comm = party.group = party.unit = party.container = party.file = party.doing = name;
    huge.finding.causes.push_back(party);
    huge.finding.victims.push_back(party);
    huge.finding.evidence.push_back({name, 1, Unit::kNumber, 1, name});
    huge.finding.ruled_out.push_back({name, name});
    huge.finding.next_steps.push_back(name);
  }
  Report report = sample_report();
  report.active.assign(kVerdicts * 8, huge);
  const auto shared = std::make_shared<const Verdict>(testing::ended(huge, 1));
  report.recent.assign(32, shared);
  report.headroom.assign(500, {name, 1, Unit::kNumber, 1, name});
  const std::string text = json_text(report_json(report));
  EXPECT_LT(text.size(), std::size_t{1} << 20U) << "more than daemon_client takes";
  const Json json = Json::parse(text);
  EXPECT_FALSE(json["active"][0].contains("is_short"));
  EXPECT_GT(json["active"].size(), 10U);
  EXPECT_EQ(json["active"].back()["is_short"], true);
}

TEST(UtcText, RoundsDown) {
  EXPECT_EQ(utc_text(testing::kSampleRealtimeNs + 123'999'999), "2026-11-26T01:32:32.123Z");
  EXPECT_EQ(utc_text(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(utc_text(0), "1970-01-01T00:00:00.000Z");
}

}  // namespace
}  // namespace tidegauge::heuristics
