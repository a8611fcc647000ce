// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/trend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tidegauge::heuristics {
namespace {

template <class F>
std::vector<Sample> series(int count, const F& value) {
  std::vector<Sample> out;
  for (int i = 0; i < count; ++i) {
    out.push_back({static_cast<double>(i - count + 1), value(i)});
  }
  return out;
}

TEST(Trend, AStraightLine) {
  const auto trend = fit_trend(series(100, [](int i) { return 5.0 + 2 * i; }));
  ASSERT_TRUE(trend);
  EXPECT_NEAR(trend->per_second, 2, 1e-9);
  EXPECT_NEAR(trend->tau, 1, 1e-9);
  EXPECT_NEAR(trend->fit, 1, 1e-9);
  EXPECT_NEAR(trend->error, 0, 1e-9);
  EXPECT_NEAR(trend->last, 203, 1e-6);
  EXPECT_TRUE(std::isinf(still_to_come(*trend)));
}

TEST(Trend, OneJumpIsNoTrend) {
  const auto trend = fit_trend(series(100, [](int i) { return i < 50 ? 0.0 : 100.0; }));
  ASSERT_TRUE(trend);
  EXPECT_LT(trend->tau, 0.8);
  EXPECT_EQ(trend->late, 0);
  EXPECT_EQ(still_to_come(*trend), 0);
}

TEST(Trend, OutliersDoNotBendIt) {
  const auto trend = fit_trend(series(36, [](int i) { return i % 12 == 5 ? 1000.0 : 1.0 * i; }));
  ASSERT_TRUE(trend);
  EXPECT_NEAR(trend->per_second, 1, 0.1);
}

TEST(Trend, AWarmUpComesToAnEnd) {
  const auto value = [](int i) { return 130 * (1 - std::exp(-i / 25.0)); };
  const auto trend = fit_trend(series(20, value));
  ASSERT_TRUE(trend);
  EXPECT_NEAR(still_to_come(*trend), 130 - value(19), 12);
}

TEST(Trend, TooFewSamplesOrNoTime) {
  EXPECT_FALSE(fit_trend({}));
  EXPECT_FALSE(fit_trend(series(7, [](int i) { return 1.0 * i; })));
  const std::vector<Sample> same(10, Sample{5, 1});
  EXPECT_FALSE(fit_trend(same));
  EXPECT_EQ(rise_began({}, 1), 0);
  EXPECT_EQ(largest_rise({}), 0);
}

TEST(Trend, WhenItBegan) {
  const auto flat_first =
      series(100, [](int i) { return 10 + (i % 3) * 0.1 + (i < 60 ? i * 0.01 : 2.0 * (i - 60)); });
  EXPECT_NEAR(rise_began(flat_first, 2), -39, 2);
  const auto from_the_begin = series(100, [](int i) { return 2.0 * i; });
  EXPECT_NEAR(rise_began(from_the_begin, 2), -99, 1);
  const auto saw = series(100, [](int i) { return 1.0 * (i % 40); });
  EXPECT_NEAR(rise_began(saw, 1), -19, 1) << "the last rise, from 80 on";
  EXPECT_NEAR(largest_rise(saw), 39, 1e-9);
}

TEST(Trend, BinsAreMeans) {
  const auto bins = binned(series(100, [](int i) { return 1.0 * i; }), 10);
  ASSERT_EQ(bins.size(), 10U);
  EXPECT_NEAR(bins.front().value, 4.5, 0.51);
}

}  // namespace
}  // namespace tidegauge::heuristics
