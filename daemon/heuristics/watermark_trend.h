// SPDX-License-Identifier: Apache-2.0
#pragma once

// How fast a node's free memory falls, and how sure that is: a least-squares line through its last samples.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace tidegauge::heuristics {

struct FreeSample {
  std::int64_t boottime_ns = 0;
  double free_pages = 0;
};

// The last samples, oldest first from `first`. A minute at one a second; with a longer interval as many samples.
struct FreeTrend {
  static constexpr std::size_t kSamples = 60;

  std::array<FreeSample, kSamples> samples{};
  std::size_t first = 0;
  std::size_t count = 0;

  [[nodiscard]] const FreeSample& at(std::size_t i) const {
    return samples[(first + i) % kSamples];
  }
};

// Adds a sample. Returns whether it was kept: those less than 0.9 s after the last one are not, so that faster
// ticks do not shorten the minute. A gap of a quarter of an hour or a time that falls begins anew.
bool add_sample(FreeTrend& trend, FreeSample sample);

struct TrendEstimate {
  double pages_per_second = 0;      // negative: falling
  double standard_error = 0;        // of it, with what follows included
  double excess_pages = 0;          // of the line over the last sample, at its time
  double level_variance = 0;        // of the line at the middle of the samples, pages squared
  double seconds_since_middle = 0;  // from there to the last sample
};

// None with fewer than 10 samples or of one moment. Noise of a minute of samples is seldom independent: kswapd
// makes a saw-tooth. So errors are widened by what the residuals' correlation with their neighbours says
// ((1 + r) / (1 - r), as for an AR(1) process).
std::optional<TrendEstimate> estimate(const FreeTrend& trend);

struct TimeToMark {
  double seconds = 0;
  double uncertainty_seconds = 0;  // half the width of its 95 % interval
};

// Until `headroom_pages`, as of the last sample, are used up. None when there are none, when memory does not fall
// by at least four times the slope's standard error, and when it would take more than a day.
std::optional<TimeToMark> time_to_mark(const FreeTrend& trend, double headroom_pages);

}  // namespace tidegauge::heuristics
