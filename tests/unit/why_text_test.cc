// SPDX-License-Identifier: Apache-2.0

// What `tidegauge why` prints. After a wanted change: TIDEGAUGE_UPDATE_GOLDEN=1 build/tidegauge_tests
// --gtest_filter='Golden*', then read the diff.

#include "daemon/commands/why_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "daemon/heuristics/verdict_json.h"
#include "tests/unit/verdict_samples.h"

namespace tidegauge {
namespace {

using heuristics::Report;
using heuristics::Severity;
using heuristics::VerdictId;
using Json = nlohmann::ordered_json;
using testing::sample_report;
using testing::sample_verdict;

Json wrong_report() {
  Report report = sample_report();
  report.active = {sample_verdict(),
                   testing::bare_verdict(VerdictId::kDiskSaturated, Severity::kWarning)};
  report.recent = {std::make_shared<const heuristics::Verdict>(
      testing::ended(testing::bare_verdict(VerdictId::kCpuContention, Severity::kWarning), 20))};
  return heuristics::report_json(report);
}

Json recording_report() {
  std::size_t bytes = 1 << 20U;
  Json out = heuristics::report_frame(sample_report());
  const auto first = testing::ended(sample_verdict(), 20);
  auto again = sample_verdict();
  again.number = 9;
  out["severity"] = "critical";
  out["recording"] = "/var/lib/tidegauge/20261126T013232.123Z-sigusr2.tgrec";
  out["from"] = "2026-11-26T01:17:32.000Z";
  out["to"] = "2026-11-26T01:32:32.000Z";
  out["damages"] = 2;
  out["found"] = heuristics::verdicts_json({&first, &again}, bytes);
  out["left_out"] = 0;
  return out;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    out.push_back(line);
  }
  return out;
}

void expect_narrow(const std::string& text) {
  for (const std::string& line : lines_of(text)) {
    EXPECT_LE(columns_of(line), 80U) << line;
    EXPECT_EQ(line.find_last_not_of(' ') + 1, line.size()) << "blanks at the end: " << line;
  }
}

class GoldenWhy : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenWhy, Text) {
  const std::string name = GetParam();
  const Json report = name == "nothing"     ? heuristics::report_json(sample_report())
                      : name == "recording" ? recording_report()
                                            : wrong_report();
  const std::string now = why_text(report, name == "all", Charset::kAscii);
  expect_narrow(now);
  const std::string path = std::string(TIDEGAUGE_SOURCE_DIR) + "/tests/golden/why-" + name + ".txt";
  if (std::getenv("TIDEGAUGE_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary) << now;
  }
  std::ifstream in(path, std::ios::binary);
  EXPECT_EQ(now, std::string(std::istreambuf_iterator<char>(in), {}));
}

INSTANTIATE_TEST_SUITE_P(All, GoldenWhy, ::testing::Values("nothing", "wrong", "all", "recording"));

TEST(WhyText, NamesOfUntrustedUsersDoNoHarm) {
  heuristics::Verdict verdict = sample_verdict();
  const std::string hostile =
      "\x1b]0;x\x07\x9b"
      "31m\r\n\t\xe2\x80\xae\xf0\x9f\x92\xa9\xff" +
      std::string(300, 'w');
  verdict.finding.causes[0].comm = verdict.finding.instance = verdict.finding.sentence = hostile;
  verdict.finding.evidence[0].what = verdict.finding.evidence[0].source = hostile;
  verdict.finding.timeline[0].what = verdict.finding.next_steps[0] = hostile;
  verdict.finding.ruled_out[0] = {hostile, hostile};
  verdict.finding.unchecked[0] = hostile;
  Report report = sample_report();
  report.host = report.kernel = hostile;
  report.active = {verdict};
  report.recent = {std::make_shared<const heuristics::Verdict>(testing::ended(verdict, 1))};
  report.headroom[0].what = report.unchecked[0] = hostile;
  for (const Charset charset : {Charset::kAscii, Charset::kUtf8}) {
    const std::string text = why_text(heuristics::report_json(report), true, charset);
    expect_narrow(text);
    for (const std::string& line : lines_of(text)) {
      EXPECT_EQ(printable(line, 400, charset), line);
    }
  }
}

// What a daemon of another version or nobody in particular may send.
TEST(WhyText, TakesAnyDocument) {
  const char* const documents[] = {
      "null",
      "[]",
      "7",
      "{}",
      R"({"time":1,"severity":[],"active":{}})",
      R"({"time":"2026","severity":"critical","active":[1,null,{"evidence":7,"causes":[[]]}]})",
      R"({"found":[{"timeline":[{"offset_seconds":1e300}],"lasted_seconds":-1e300}],"damages":1e99})",
      R"({"active":[{"evidence":[{"text":"x","threshold_text":7}],"confidence":1e99}],"recent":[{}]})"};
  for (const char* document : documents) {
    const Json json = Json::parse(document);
    expect_narrow(why_text(json, true, Charset::kAscii));
    expect_narrow(why_text(json, false, Charset::kAscii));
    why_exit_code(json);
    EXPECT_EQ(is_why_report(json),
              std::string_view(document).find("\"2026\"") != std::string::npos);
  }
}

TEST(WhyText, ExitCodes) {
  Report report = sample_report();
  const auto code = [&] { return why_exit_code(heuristics::report_json(report)); };
  EXPECT_EQ(code(), 0);
  report.active = {testing::bare_verdict(VerdictId::kDiskBurst, Severity::kInfo)};
  EXPECT_EQ(code(), 0);
  EXPECT_NE(why_text(heuristics::report_json(report), false, Charset::kAscii)
                .find("Nothing is wrong. For information:"),
            std::string::npos);
  report.active.push_back(testing::bare_verdict(VerdictId::kDiskSaturated, Severity::kWarning));
  EXPECT_EQ(code(), 1);
  report.active = {sample_verdict()};
  EXPECT_EQ(code(), 1);
}

TEST(WhyText, Spans) {
  EXPECT_EQ(span_text(0), "0.0 s");
  EXPECT_EQ(span_text(7.25), "7.2 s");
  EXPECT_EQ(span_text(9.96), "10 s");
  EXPECT_EQ(span_text(59.6), "1 min 0 s");
  EXPECT_EQ(span_text(200), "3 min 20 s");
  EXPECT_EQ(span_text(5 * 3600 + 12 * 60 + 5), "5 h 12 min");
  EXPECT_EQ(span_text(3.2 * 86'400), "3 days 4 h");
  EXPECT_EQ(span_text(-5), "0.0 s");
  EXPECT_EQ(span_text(1e300), "115740 days 17 h");
}

}  // namespace
}  // namespace tidegauge
