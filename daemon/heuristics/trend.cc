// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/trend.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace tidegauge::heuristics {

namespace {

constexpr std::size_t kLeastSamples = 8;
constexpr std::size_t kMostSamples = 36;
// A rise whose last third is slower than this share of its first one slows down; above it is noise.
constexpr double kSteadyShare = 0.85;
constexpr double kElbowShare = 0.1;  // of the whole rise; less is noise
// From the median distance to the standard deviation of a normal distribution.
constexpr double kMedianToDeviation = 1.4826;

double median(std::vector<double>& values) {
  if (values.empty()) {
    return 0;
  }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double median_slope(std::span<const Sample> samples) {
  std::vector<double> slopes;
  slopes.reserve(samples.size() * (samples.size() - 1) / 2);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    for (std::size_t j = i + 1; j < samples.size(); ++j) {
      const double seconds = samples[j].seconds - samples[i].seconds;
      if (seconds > 0) {
        slopes.push_back((samples[j].value - samples[i].value) / seconds);
      }
    }
  }
  return median(slopes);
}

double kendall(std::span<const Sample> samples) {
  double sum = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    for (std::size_t j = i + 1; j < samples.size(); ++j) {
      sum +=
          samples[j].value > samples[i].value ? 1 : (samples[j].value < samples[i].value ? -1 : 0);
    }
  }
  const auto count = static_cast<double>(samples.size());
  return sum / (count * (count - 1) / 2);
}

}  // namespace

std::vector<Sample> binned(std::span<const Sample> samples, std::size_t most) {
  if (samples.size() <= most || most == 0) {
    return {samples.begin(), samples.end()};
  }
  const double begin = samples.front().seconds;
  const double width = (samples.back().seconds - begin) / static_cast<double>(most);
  std::vector<Sample> out;
  std::size_t bin = SIZE_MAX;
  double count = 0;
  for (const Sample& sample : samples) {
    const std::size_t at =
        width > 0 ? std::min(static_cast<std::size_t>((sample.seconds - begin) / width), most - 1)
                  : 0;
    if (at != bin) {
      bin = at;
      count = 0;
      out.emplace_back();
    }
    ++count;
    out.back().seconds += (sample.seconds - out.back().seconds) / count;
    out.back().value += (sample.value - out.back().value) / count;
  }
  return out;
}

std::optional<Trend> fit_trend(std::span<const Sample> samples) {
  const std::vector<Sample> bins = binned(samples, kMostSamples);
  if (bins.size() < kLeastSamples) {
    return std::nullopt;
  }
  Trend out;
  out.seconds = samples.back().seconds - samples.front().seconds;
  if (out.seconds <= 0) {
    return std::nullopt;
  }
  out.per_second = median_slope(bins);
  out.tau = kendall(bins);
  const std::size_t third = bins.size() / 3;
  // With eight samples a third has two: its slope is that of its ends, and so it takes one more.
  const std::size_t part = std::max<std::size_t>(third, 3);
  out.early = median_slope(std::span(bins).first(part));
  out.late = median_slope(std::span(bins).last(part));

  std::vector<double> intercepts;
  double mean = 0;
  double mean_seconds = 0;
  const auto count = static_cast<double>(bins.size());
  for (const Sample& sample : bins) {
    intercepts.push_back(sample.value - out.per_second * sample.seconds);
    mean += sample.value / count;
    mean_seconds += sample.seconds / count;
  }
  const double intercept = median(intercepts);
  std::vector<double> distances;
  double unexplained = 0;
  double all = 0;
  double spread = 0;
  double together = 0;
  double before = 0;
  for (const Sample& sample : bins) {
    const double residual = sample.value - (intercept + out.per_second * sample.seconds);
    distances.push_back(std::abs(residual));
    unexplained += residual * residual;
    together += residual * before;
    before = residual;
    all += (sample.value - mean) * (sample.value - mean);
    spread += (sample.seconds - mean_seconds) * (sample.seconds - mean_seconds);
  }
  out.fit = all > 0 ? std::clamp(1 - unexplained / all, 0.0, 1.0) : 0;
  const double deviation =
      std::max(kMedianToDeviation * median(distances), std::sqrt(unexplained / count) / 2);
  const double correlation = unexplained > 0 ? std::clamp(together / unexplained, 0.0, 0.9) : 0;
  out.error = spread > 0
                  ? deviation / std::sqrt(spread) * std::sqrt((1 + correlation) / (1 - correlation))
                  : 0;
  out.first = intercept + out.per_second * bins.front().seconds;
  out.last = intercept + out.per_second * samples.back().seconds;
  return out;
}

double still_to_come(const Trend& trend) {
  const double sign = trend.per_second < 0 ? -1 : 1;
  const double early = trend.early * sign;
  const double late = trend.late * sign;
  if (late <= 0) {
    return 0;
  }
  if (late >= kSteadyShare * early) {
    return std::numeric_limits<double>::infinity();
  }
  // As if its slope fell by the same share in the same time: from the middle of the first third to that of the last
  // one it takes two thirds of the time.
  const double per_second = std::log(early / late) / (trend.seconds * 2 / 3);
  const double at_end = late * std::exp(-per_second * trend.seconds / 6);
  return at_end / per_second;
}

double rise_began(std::span<const Sample> samples, double slack) {
  if (samples.empty()) {
    return 0;
  }
  // Backwards: what lies before the rise is no lower than where it began.
  double low = samples.back().value;
  std::size_t begin = samples.size() - 1;
  for (std::size_t i = samples.size(); i-- > 0;) {
    if (samples[i].value > low + slack) {
      break;
    }
    if (samples[i].value < low - slack / 2) {
      low = samples[i].value;
      begin = i;
    }
  }
  // What crept before it ran: the elbow, where it is farthest below the line from there to here.
  const Sample& first = samples[begin];
  const Sample& last = samples.back();
  const double span = last.seconds - first.seconds;
  double farthest = kElbowShare * (last.value - first.value);
  std::size_t elbow = begin;
  for (std::size_t i = begin; i < samples.size() && span > 0; ++i) {
    const double line =
        first.value + (last.value - first.value) * (samples[i].seconds - first.seconds) / span;
    if (line - samples[i].value > farthest) {
      farthest = line - samples[i].value;
      elbow = i;
    }
  }
  return samples[elbow].seconds;
}

double largest_rise(std::span<const Sample> samples) {
  double lowest = samples.empty() ? 0 : samples.front().value;
  double rise = 0;
  for (const Sample& sample : samples) {
    lowest = std::min(lowest, sample.value);
    rise = std::max(rise, sample.value - lowest);
  }
  return rise;
}

}  // namespace tidegauge::heuristics
