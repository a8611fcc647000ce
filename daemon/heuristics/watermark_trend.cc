// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/watermark_trend.h"

#include <algorithm>
#include <cmath>

#include "daemon/heuristics/reclaim_cells.h"

namespace tidegauge::heuristics {

namespace {

constexpr std::int64_t kLeastDistanceNs = 900'000'000;
constexpr std::size_t kFewestSamples = 10;
constexpr double kLongestSeconds = 86'400;
// A line that is four standard errors steep is not noise, and its time is known within a factor of two.
constexpr double kSignificance = 4;
// Free pages are counted on each CPU and added up once a second or every few dozen (mm/vmstat.c,
// calculate_normal_threshold): no count is exact to the page.
constexpr double kLeastNoisePages = 1;
constexpr double kMostCorrelation = 0.9;

double seconds_between(std::int64_t from_ns, std::int64_t to_ns) {
  return static_cast<double>(to_ns - from_ns) / 1e9;
}

}  // namespace

bool add_sample(FreeTrend& trend, FreeSample sample) {
  if (trend.count != 0) {
    const std::int64_t last = trend.at(trend.count - 1).boottime_ns;
    if (sample.boottime_ns < last || sample.boottime_ns - last > kLongestGapNs) {
      trend = {};
    } else if (sample.boottime_ns - last < kLeastDistanceNs) {
      return false;
    }
  }
  if (trend.count == FreeTrend::kSamples) {
    trend.samples[trend.first] = sample;
    trend.first = (trend.first + 1) % FreeTrend::kSamples;
  } else {
    trend.samples[(trend.first + trend.count) % FreeTrend::kSamples] = sample;
    ++trend.count;
  }
  return true;
}

std::optional<TrendEstimate> estimate(const FreeTrend& trend) {
  if (trend.count < kFewestSamples) {
    return std::nullopt;
  }
  const auto n = static_cast<double>(trend.count);
  const FreeSample& last = trend.at(trend.count - 1);
  // Both relative to the last sample, so that nothing is lost to large numbers.
  const auto time = [&](std::size_t i) {
    return seconds_between(last.boottime_ns, trend.at(i).boottime_ns);
  };
  const auto pages = [&](std::size_t i) { return trend.at(i).free_pages - last.free_pages; };

  double mean_time = 0;
  double mean_pages = 0;
  for (std::size_t i = 0; i < trend.count; ++i) {
    mean_time += time(i) / n;
    mean_pages += pages(i) / n;
  }
  double time_squares = 0;
  double products = 0;
  for (std::size_t i = 0; i < trend.count; ++i) {
    const double t = time(i) - mean_time;
    time_squares += t * t;
    products += t * (pages(i) - mean_pages);
  }
  if (!(time_squares > 0)) {
    return std::nullopt;
  }
  const double slope = products / time_squares;

  double squares = 0;
  double neighbours = 0;
  double before = 0;
  for (std::size_t i = 0; i < trend.count; ++i) {
    const double residual = pages(i) - mean_pages - slope * (time(i) - mean_time);
    squares += residual * residual;
    neighbours += residual * before;
    before = residual;
  }
  const double correlation =
      squares > 0 ? std::clamp(neighbours / squares, 0.0, kMostCorrelation) : 0;
  const double variance = std::max(squares / (n - 2), kLeastNoisePages * kLeastNoisePages) *
                          (1 + correlation) / (1 - correlation);

  TrendEstimate out;
  out.pages_per_second = slope;
  out.standard_error = std::sqrt(variance / time_squares);
  out.excess_pages = mean_pages - slope * mean_time;
  out.level_variance = variance / n;
  out.seconds_since_middle = -mean_time;
  return out;
}

std::optional<TimeToMark> time_to_mark(const FreeTrend& trend, double headroom_pages) {
  const auto line = estimate(trend);
  if (!line || !(headroom_pages > 0)) {
    return std::nullopt;
  }
  const double fall = -line->pages_per_second;
  if (!(fall > 0) || fall < kSignificance * line->standard_error) {
    return std::nullopt;
  }
  TimeToMark out;
  out.seconds = std::max(headroom_pages + line->excess_pages, 0.0) / fall;
  if (!(out.seconds <= kLongestSeconds)) {
    return std::nullopt;
  }
  // Where a line with these errors crosses the mark, to first order: the error of its level, and that of its
  // slope times the distance from the middle of the samples to the crossing.
  const double reach = (out.seconds + line->seconds_since_middle) * line->standard_error;
  out.uncertainty_seconds = 2 * std::sqrt(line->level_variance + reach * reach) / fall;
  return out;
}

}  // namespace tidegauge::heuristics
