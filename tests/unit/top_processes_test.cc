// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/top_processes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace tidegauge {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::size_t kRead = static_cast<std::size_t>(TopCriterion::kRead);
using Ids = std::vector<std::uint64_t>;

// Scores by reading alone, ids from 1.
Ids update(TopProcesses& top, const std::vector<float>& rates, std::int64_t seconds,
           const std::set<std::uint64_t>& gone = {}) {
  std::vector<TopScores> scores(rates.size());
  std::vector<TopProcesses::Candidate> candidates;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    scores[i].per_second[kRead] = rates[i];
    candidates.push_back({i + 1, &scores[i], !gone.contains(i + 1)});
  }
  return top.update(candidates, seconds * kSecondNs);
}

TEST(TopScores, MeansOverHalfAMinute) {
  TopScores scores;
  for (int second = 0; second < 300; ++second) {
    scores.update(TopCriterion::kRead, 1000, 1);
  }
  EXPECT_NEAR(scores.per_second[kRead], 1000, 1);
  for (int second = 0; second < 30; ++second) {
    scores.update(TopCriterion::kRead, 0, 1);
  }
  EXPECT_NEAR(scores.per_second[kRead], 1000 / std::exp(1.0), 1);
  scores.update(TopCriterion::kRead, 0, 3600);
  EXPECT_EQ(scores.per_second[kRead], 0.0F) << "nothing, not almost nothing";
}

TEST(TopScores, OddGrowth) {
  struct Case {
    double growth;
    double elapsed_s;
  };
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const Case kCases[] = {{1000, 0}, {1000, -1}, {kNan, 1}, {1.8e19, 1e-9}, {-1e12, 1}};
  for (const Case& one : kCases) {
    TopScores scores;
    scores.update(TopCriterion::kRead, one.growth, one.elapsed_s);
    EXPECT_TRUE(std::isfinite(scores.per_second[kRead])) << one.growth;
    for (int second = 0; second < 3600; ++second) {
      scores.update(TopCriterion::kRead, 10, 1);
    }
    EXPECT_NEAR(scores.per_second[kRead], 10, 0.1) << "and it recovers from " << one.growth;
  }
}

TEST(TopProcesses, TheBusiestEnterAtOnce) {
  TopProcesses top(2);
  EXPECT_EQ(update(top, {5e4F, 1e4F, 9e4F, 2e4F}, 1), (Ids{1, 3}));
  EXPECT_EQ(update(top, {5e4F, 1e4F, 9e4F, 2e6F}, 2), (Ids{1, 3, 4}));
}

TEST(TopProcesses, TheyLeaveLate) {
  TopProcesses top(1);
  EXPECT_EQ(update(top, {9e4F, 1e4F}, 100), (Ids{1}));
  EXPECT_EQ(update(top, {0, 1e4F}, 101), (Ids{1, 2}));
  EXPECT_EQ(update(top, {0, 1e4F}, 160), (Ids{1, 2}));
  EXPECT_EQ(update(top, {0, 1e4F}, 161), (Ids{2}));
}

TEST(TopProcesses, TheDeadAreHeldAndNotRanked) {
  TopProcesses top(1);
  EXPECT_EQ(update(top, {9e4F, 1e4F}, 100), (Ids{1}));
  EXPECT_EQ(update(top, {9e4F, 1e4F}, 101, {1}), (Ids{1, 2}));
  EXPECT_EQ(update(top, {9e4F, 1e4F}, 160, {1}), (Ids{1, 2}));
  EXPECT_EQ(update(top, {9e4F, 1e4F}, 161, {1}), (Ids{2}));
}

TEST(TopProcesses, TheyAreHeldForThreePassesHoweverSeldomThoseAre) {
  TopProcesses top(1);
  EXPECT_EQ(update(top, {9e4F, 1e4F}, 300), (Ids{1}));
  EXPECT_EQ(update(top, {0, 1e4F}, 600), (Ids{1, 2}));
  EXPECT_EQ(update(top, {0, 1e4F}, 1200), (Ids{1, 2}));
  EXPECT_EQ(update(top, {0, 1e4F}, 1500), (Ids{2}));
}

TEST(TopProcesses, TheYoungEnterByTheDozenAndNotByTheThousand) {
  TopProcesses top(2);
  TopScores busy;
  busy.per_second[0] = 1e6F;
  std::set<std::uint64_t> entered;
  for (std::uint64_t second = 1; second <= 120; ++second) {
    std::vector<TopProcesses::Candidate> all;
    for (std::uint64_t i = 0; i < 10; ++i) {
      all.push_back({second * 10 + i, &busy, true, kSecondNs});
    }
    for (const std::uint64_t id : top.update(all, static_cast<std::int64_t>(second) * kSecondNs)) {
      entered.insert(id);
    }
  }
  EXPECT_GE(entered.size(), 4U) << "two K at once";
  EXPECT_LE(entered.size(), 4U + 2 * 2U) << "and K a minute";
  const auto& grown = top.update({{9999, &busy, true, TopProcesses::kGrownUpNs}}, 121 * kSecondNs);
  EXPECT_NE(std::find(grown.begin(), grown.end(), 9999U), grown.end());
}

TEST(TopProcesses, NoFlappingAroundTheLastRank) {
  TopProcesses top(2);
  update(top, {9e4F, 5e4F, 4e4F}, 1);
  const Ids first = update(top, {9e4F, 4e4F, 5e4F}, 2);
  EXPECT_EQ(first, (Ids{1, 2, 3}));
  for (std::int64_t second = 3; second < 600; ++second) {
    const bool odd = second % 2 != 0;
    ASSERT_EQ(update(top, {9e4F, odd ? 5e4F : 4e4F, odd ? 4e4F : 5e4F}, second), first);
  }
}

TEST(TopProcesses, TiesAreStable) {
  TopProcesses top(2);
  for (std::int64_t second = 1; second < 200; ++second) {
    ASSERT_EQ(update(top, {5e4F, 5e4F, 5e4F, 5e4F}, second), (Ids{1, 2}));
  }
}

TEST(TopProcesses, NobodyWhereNoneAreWanted) {
  TopProcesses top(0);
  EXPECT_EQ(update(top, {9e9F, 5e4F}, 1), Ids{});
}

TEST(TopProcesses, BelowTheFloorNobodyIsACulprit) {
  TopProcesses top(3);
  EXPECT_EQ(update(top, {4095, 4096, 1}, 1), (Ids{2}));
  update(top, {std::numeric_limits<float>::quiet_NaN(), -1e9F}, 50);
  EXPECT_EQ(update(top, {std::numeric_limits<float>::quiet_NaN(), -1e9F}, 62), Ids{});
  const std::array<float, kTopCriteria> kFloors{4096, 4096, 0.1F, 0.001F, 0.1F, 65536};
  for (std::size_t i = 0; i < kTopCriteria; ++i) {
    TopProcesses each(1);
    TopScores below;
    below.per_second[i] = kFloors[i] * 0.99F;
    EXPECT_TRUE(each.update({{1, &below, true}}, kSecondNs).empty()) << i;
    TopScores above;
    above.per_second[i] = kFloors[i] * 1.01F;
    EXPECT_EQ(each.update({{1, &above, true}}, kSecondNs), (Ids{1})) << i;
  }
}

TEST(TopProcesses, NeverMoreThanTwiceKAndThePresentKAreAmongThem) {
  constexpr std::size_t kK = 5;
  std::mt19937 random(3);
  TopProcesses top(kK);
  for (std::int64_t second = 1; second < 500; ++second) {
    std::vector<float> rates(60);
    std::vector<std::pair<float, std::uint64_t>> ranked;
    for (std::size_t i = 0; i < rates.size(); ++i) {
      rates[i] = static_cast<float>(random() % 1'000'000);
      ranked.emplace_back(-rates[i], i + 1);
    }
    std::sort(ranked.begin(), ranked.end());
    const Ids shown = update(top, rates, second);
    ASSERT_LE(shown.size(), 2 * kK);
    ASSERT_TRUE(std::is_sorted(shown.begin(), shown.end()));
    for (std::size_t i = 0; i < kK; ++i) {
      if (ranked[i].first <= -4096) {
        ASSERT_TRUE(std::binary_search(shown.begin(), shown.end(), ranked[i].second));
      }
    }
  }
}

TEST(TopProcesses, CriteriaAreAddedUp) {
  TopProcesses top(1);
  TopScores reader;
  reader.per_second[kRead] = 1e6F;
  TopScores burner;
  burner.per_second[static_cast<std::size_t>(TopCriterion::kCpu)] = 1;
  TopScores both = reader;
  both.per_second[static_cast<std::size_t>(TopCriterion::kCpu)] = 0.5F;
  EXPECT_EQ(top.update({{7, &reader, true}, {3, &burner, true}, {9, &both, true}}, kSecondNs),
            (Ids{3, 7}));
}

}  // namespace
}  // namespace tidegauge
