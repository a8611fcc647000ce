// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/verdict_watch.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/verdict_samples.h"

namespace tidegauge {
namespace {

using heuristics::Severity;
using heuristics::VerdictId;

class VerdictWatchTest : public ::testing::Test {
 protected:
  std::string tell(const heuristics::Verdict& verdict) {
    ::testing::internal::CaptureStderr();
    watch_.add(verdict);
    watch_.tell();
    return ::testing::internal::GetCapturedStderr();
  }

  std::vector<std::string> triggered_;
  Log log_{LogLevel::kInfo, LogFormat::kLogfmt};
  VerdictWatch watch_{log_, [this](std::string_view reason) { triggered_.emplace_back(reason); }};
};

TEST_F(VerdictWatchTest, SaysWhatBeginsAndEnds) {
  const std::string began = tell(testing::sample_verdict());
  for (const char* part : {"level=warn", "msg=\"The page cache is thrashed",
                           "event=\"verdict_began\"", "verdict=\"page_cache_thrash\"",
                           "instance=\"vgca0\"", "severity=\"critical\"", "confidence=\"0.92\"",
                           "onset=\"2026-11-26T01:29:12.000Z\"", "subject=\"python (pid 3920"}) {
    EXPECT_NE(began.find(part), std::string::npos) << part << " in " << began;
  }
  EXPECT_EQ(began.find('\n'), began.size() - 1);
  const std::string over = tell(testing::ended(testing::sample_verdict(), 1));
  EXPECT_NE(over.find("level=info"), std::string::npos) << over;
  EXPECT_NE(over.find("event=\"verdict_ended\""), std::string::npos) << over;
  EXPECT_EQ(tell(testing::sample_verdict()), "") << "the same line once a minute";
}

TEST_F(VerdictWatchTest, OnlyWhatBeginsAndIsBadTriggers) {
  tell(testing::bare_verdict(VerdictId::kDiskBurst, Severity::kInfo));
  tell(testing::ended(testing::sample_verdict(), 1));
  EXPECT_TRUE(triggered_.empty());
  tell(testing::bare_verdict(VerdictId::kDiskSaturated, Severity::kWarning));
  tell(testing::sample_verdict());
  EXPECT_EQ(triggered_,
            (std::vector<std::string>{"verdict-disk_saturated", "verdict-page_cache_thrash"}));
}

TEST_F(VerdictWatchTest, OneThatComesAgainAndAgainTriggersOnceInTenMinutes) {
  heuristics::Verdict verdict = testing::sample_verdict();
  for (int i = 0; i < 40; ++i) {
    tell(verdict);
    verdict.detected_boottime_ns += 31 * testing::kSampleSecondNs;
  }
  EXPECT_EQ(triggered_.size(), 2U);
}

TEST_F(VerdictWatchTest, TellsOnce) {
  watch_.add(testing::sample_verdict());
  EXPECT_TRUE(triggered_.empty()) << "the heuristics are locked here";
  watch_.tell();
  watch_.tell();
  EXPECT_EQ(triggered_.size(), 1U);
}

TEST_F(VerdictWatchTest, HugeHostileTextsBecomeALine) {
  heuristics::Verdict verdict = testing::sample_verdict();
  verdict.finding.sentence = std::string(100'000, '\n') + "\xff\x1b";
  verdict.finding.instance = std::string(100'000, '\x01');
  verdict.finding.causes[0].comm = std::string(100'000, '\"');
  const std::string line = tell(verdict);
  EXPECT_NE(line, "");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

}  // namespace
}  // namespace tidegauge
