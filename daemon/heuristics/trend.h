// SPDX-License-Identifier: Apache-2.0
#pragma once

// Whether a series rises steadily, how fast and how surely, and whether it is about to level off. Robust: the line is
// the median of slopes between all pairs (Theil and Sen), so single jumps do not bend it. Pure.

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace tidegauge::heuristics {

struct Sample {
  double seconds = 0;
  double value = 0;
};

struct Trend {
  double per_second = 0;
  double error = 0;    // standard error of it, widened where neighbours' residuals go together
  double fit = 0;      // share of the variance that the line explains, 0 to 1
  double tau = 0;      // Kendall's: 1 where every sample is above all before it, -1 below
  double early = 0;    // slope of the first third
  double late = 0;     // of the last third
  double seconds = 0;  // from the first to the last sample
  double first = 0;    // of the line, at the first sample
  double last = 0;     // at the last one
};

// Means of equal spans of time; fewer samples than `most` stay as they are. By time.
std::vector<Sample> binned(std::span<const Sample> samples, std::size_t most);

// None with fewer than 8 samples or of one moment. More than 36 are binned.
std::optional<Trend> fit_trend(std::span<const Sample> samples);

// How much more a rise (or fall) brings if it goes on slowing down as it did from the first third to the last one:
// infinite where it does not slow down clearly, 0 where it has stopped.
double still_to_come(const Trend& trend);

// When it began to rise: seconds of the last sample that was as low as all before it, give or take `slack`, and after
// which it no longer merely crept.
double rise_began(std::span<const Sample> samples, double slack);

// From a sample to a later one, at most.
double largest_rise(std::span<const Sample> samples);

}  // namespace tidegauge::heuristics
