// SPDX-License-Identifier: Apache-2.0

// When verdicts begin and end, and their state as bytes.

#include "daemon/heuristics/condition.h"

#include <gtest/gtest.h>

#include <string>

#include "daemon/heuristics/assess.h"
#include "tests/unit/verdict_samples.h"

namespace tidegauge::heuristics {
namespace {

constexpr std::int64_t kSecond = testing::kSampleSecondNs;

Finding finding(VerdictId id, std::string instance, double confidence = 0.8) {
  Finding out;
  out.id = id;
  out.instance = std::move(instance);
  out.confidence = confidence;
  out.sentence = "It is so.";
  return out;
}

// Ticks of a length, each with what was found at it.
class Ticks {
 public:
  explicit Ticks(double seconds = 1) : seconds_(seconds) {}

  Conditions::Changes tick(Findings findings) {
    now_ns_ += static_cast<std::int64_t>(seconds_ * 1e9);
    for (Finding& one : findings) {
      one.onset_ns = one.onset_ns == 0 ? now_ns_ : one.onset_ns;
    }
    return conditions.update(std::move(findings), now_ns_, testing::kSampleRealtimeNs + now_ns_,
                             seconds_);
  }
  Conditions::Changes tick() { return tick({}); }
  Conditions::Changes tick_saturated(double confidence = 0.8) {
    return tick({finding(VerdictId::kDiskSaturated, "sda", confidence)});
  }
  // Ticks until it begins; none within a minute is 0.
  int until_it_begins() {
    for (int i = 1; i <= 60; ++i) {
      if (!tick_saturated().begun.empty()) {
        return i;
      }
    }
    return 0;
  }
  [[nodiscard]] std::int64_t now_ns() const { return now_ns_; }

  Conditions conditions;

 private:
  double seconds_;
  std::int64_t now_ns_ = 100 * kSecond;
};

TEST(Conditions, BeginsAfterItsTimeAndEndsAfterItsTime) {
  Ticks ticks;
  const VerdictInfo& info = info_of(VerdictId::kDiskSaturated);
  EXPECT_EQ(ticks.until_it_begins(), static_cast<int>(info.enter_seconds));
  ASSERT_EQ(ticks.conditions.active().size(), 1U);
  EXPECT_EQ(ticks.conditions.onsets(VerdictId::kDiskSaturated), 1U);
  for (int i = 1; i < static_cast<int>(info.leave_seconds); ++i) {
    EXPECT_TRUE(ticks.tick().ended.empty()) << i;
  }
  const auto changes = ticks.tick();
  ASSERT_EQ(changes.ended.size(), 1U);
  EXPECT_EQ(changes.ended[0]->ended_boottime_ns, ticks.now_ns());
  EXPECT_TRUE(ticks.conditions.active().empty());
  ASSERT_EQ(ticks.conditions.recent().size(), 1U);
  EXPECT_TRUE(ticks.tick().ended.empty()) << "told once";
}

TEST(Conditions, TheOnsetIsTheFirstThatWasFound) {
  Ticks ticks;
  const std::int64_t onset_ns = ticks.now_ns() + kSecond;
  ticks.until_it_begins();
  const Verdict& verdict = *ticks.conditions.active()[0];
  EXPECT_EQ(verdict.finding.onset_ns, onset_ns);
  EXPECT_EQ(verdict.onset_realtime_ns, testing::kSampleRealtimeNs + onset_ns);
  EXPECT_EQ(verdict.detected_boottime_ns, ticks.now_ns());
  // A detector that finds another one later does not move it.
  ticks.tick_saturated();
  EXPECT_EQ(ticks.conditions.active()[0]->finding.onset_ns, onset_ns);
}

TEST(Conditions, WhatFlickersBeginsNotAndEndsNot) {
  Ticks ticks;
  for (int i = 0; i < 200; ++i) {
    EXPECT_TRUE((i % 3 == 0 ? ticks.tick_saturated() : ticks.tick()).begun.empty());
  }
  EXPECT_TRUE(ticks.conditions.active().empty());
  EXPECT_GT(ticks.until_it_begins(), 0);
  for (int i = 0; i < 200; ++i) {
    const auto changes = i % 15 == 0 ? ticks.tick_saturated() : ticks.tick();
    EXPECT_TRUE(changes.begun.empty() && changes.ended.empty()) << i;
  }
  EXPECT_EQ(ticks.conditions.onsets(VerdictId::kDiskSaturated), 1U);
}

TEST(Conditions, CoarseTicksBeginAtOnce) {
  Ticks ticks(600);
  EXPECT_EQ(ticks.until_it_begins(), 1);
  EXPECT_EQ(ticks.tick().ended.size(), 1U);
}

// The first Snapshot of all stands for no time.
TEST(Conditions, ATickWithoutLengthEndsNothing) {
  Ticks ticks;
  ticks.until_it_begins();
  const auto changes =
      ticks.conditions.update({}, ticks.now_ns() + 1, testing::kSampleRealtimeNs, 0);
  EXPECT_TRUE(changes.ended.empty());
  EXPECT_EQ(ticks.conditions.active().size(), 1U);
}

TEST(Conditions, InstancesAreBounded) {
  Ticks ticks(600);
  Findings many;
  for (int i = 0; i < 100; ++i) {
    many.push_back(finding(VerdictId::kDiskSaturated, "disk" + std::to_string(i)));
  }
  EXPECT_EQ(ticks.tick(many).begun.size(), Conditions::kMaxOfVerdict);
  EXPECT_EQ(ticks.tick(many).begun.size(), 0U);
  EXPECT_EQ(ticks.conditions.active().size(), Conditions::kMaxOfVerdict);
  for (int i = 0; i < 20; ++i) {
    ticks.tick();
    ticks.tick(many);
  }
  EXPECT_EQ(ticks.conditions.recent().size(), Conditions::kMaxRecent);
  EXPECT_LE(ticks.conditions.active().size(), Conditions::kMaxOfVerdict);
}

TEST(Conditions, TheMostImportantIsFirst) {
  Ticks ticks(600);
  ticks.tick({finding(VerdictId::kDiskBurst, "a"), finding(VerdictId::kDiskSaturated, "b", 0.6),
              finding(VerdictId::kDiskSaturated, "c", 0.9), finding(VerdictId::kSwapThrash, "")});
  std::string order;
  for (const Verdict* verdict : ticks.conditions.active()) {
    order += verdict->finding.instance + ",";
  }
  EXPECT_EQ(order, ",c,b,a,");
}

// ---- as bytes ----

Findings some_findings() {
  Findings out{testing::sample_verdict().finding, finding(VerdictId::kDiskSaturated, "sda"),
               finding(VerdictId::kDiskHung, "\xff\0x")};
  out[1].severity = Severity::kCritical;
  return out;
}

std::string saved(const Conditions& conditions) {
  std::string out;
  conditions.save(out);
  return out;
}

TEST(ConditionState, GoesOnWhereItWasSaved) {
  Ticks ticks;
  for (int i = 0; i < 7; ++i) {  // the saturated disk is about to begin
    ticks.tick(some_findings());
  }
  Ticks other(600);
  other.tick(some_findings());
  other.tick();
  const std::string bytes = saved(ticks.conditions);
  std::string_view rest = bytes;
  ASSERT_TRUE(other.conditions.load(rest));
  EXPECT_TRUE(rest.empty());
  EXPECT_EQ(saved(other.conditions), bytes);
  Ticks loaded = ticks;
  loaded.conditions = other.conditions;
  for (int i = 0; i < 60; ++i) {
    const Findings findings = i < 5 ? some_findings() : Findings();
    const auto a = ticks.tick(findings);
    const auto b = loaded.tick(findings);
    ASSERT_EQ(a.begun.size(), b.begun.size()) << i;
    ASSERT_EQ(a.ended.size(), b.ended.size()) << i;
    ASSERT_EQ(saved(ticks.conditions), saved(loaded.conditions)) << i;
  }
  EXPECT_EQ(loaded.conditions.recent().size(), 3U);
  EXPECT_EQ(loaded.conditions.onsets(VerdictId::kDiskSaturated), 1U);
}

TEST(ConditionState, KeepsEverythingOfWhatIsActive) {
  Ticks ticks(600);
  Finding whole = testing::sample_verdict().finding;
  whole.onset_ns = 0;
  ticks.tick({whole});
  const std::string bytes = saved(ticks.conditions);
  std::string_view rest = bytes;
  Conditions loaded;
  ASSERT_TRUE(loaded.load(rest));
  const Finding& finding = loaded.active().at(0)->finding;
  EXPECT_EQ(finding.causes, whole.causes);
  EXPECT_EQ(finding.victims, whole.victims);
  EXPECT_EQ(finding.evidence.size(), whole.evidence.size());
  EXPECT_FALSE(is_known(finding.evidence[2].value));
  EXPECT_EQ(finding.timeline.size(), whole.timeline.size());
  EXPECT_EQ(finding.sentence, whole.sentence);
  EXPECT_EQ(finding.next_steps, whole.next_steps);
}

TEST(ConditionState, RefusesWhatIsCutOffAndWhatIsTooMuch) {
  Ticks ticks(600);
  ticks.tick(some_findings());
  ticks.tick();
  ticks.tick(some_findings());
  const std::string bytes = saved(ticks.conditions);
  const Ticks untouched = ticks;
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    std::string_view cut = std::string_view(bytes).substr(0, length);
    ASSERT_FALSE(ticks.conditions.load(cut)) << length;
    ASSERT_EQ(cut.size(), length);
  }
  EXPECT_EQ(saved(ticks.conditions), saved(untouched.conditions));
  Heuristics heuristics;
  const std::string state = heuristics.save();
  for (std::size_t length = 0; length < state.size(); ++length) {
    ASSERT_FALSE(heuristics.load(state.substr(0, length))) << length;
  }
  EXPECT_FALSE(heuristics.load(state + "x"));
  EXPECT_TRUE(heuristics.load(state));
}

// Whatever bytes there are: refused, or something that can be saved and used.
TEST(ConditionState, SurvivesFlippedBits) {
  Ticks ticks(600);
  ticks.tick(some_findings());
  ticks.tick();
  ticks.tick(some_findings());
  const std::string bytes = saved(ticks.conditions);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const int bit : {0, 3, 7}) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      std::string_view rest = flipped;
      Ticks loaded(1);
      if (loaded.conditions.load(rest)) {
        loaded.tick(some_findings());
        loaded.tick();
        EXPECT_LT(saved(loaded.conditions).size(), 4 * bytes.size());
      }
    }
  }
}

TEST(ConditionState, IsBounded) {
  Ticks ticks(600);
  Findings many;
  for (const VerdictInfo& info : all_verdicts()) {
    for (std::size_t i = 0; i < Conditions::kMaxOfVerdict; ++i) {
      Finding one = testing::sample_verdict().finding;
      one.id = info.id;
      one.instance = std::to_string(i);
      one.onset_ns = 0;
      one.causes.assign(200, one.causes[0]);
      one.sentence = std::string(20'000, 'x');
      many.push_back(std::move(one));
    }
  }
  ticks.tick(many);
  ticks.tick();
  ticks.tick(many);
  const std::string bytes = saved(ticks.conditions);
  EXPECT_LT(bytes.size(), std::size_t{1} << 20U);
  std::string_view rest = bytes;
  Conditions loaded;
  ASSERT_TRUE(loaded.load(rest));
  ASSERT_EQ(loaded.active().size(), kVerdicts * Conditions::kMaxOfVerdict);
  for (const Verdict* verdict : loaded.active()) {
    EXPECT_FALSE(verdict->finding.causes.empty()) << "tidegauge_verdict_info names it";
  }
}

}  // namespace
}  // namespace tidegauge::heuristics
