// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/leading_signal.h"

#include <algorithm>
#include <utility>

namespace tidegauge::heuristics {

namespace {

constexpr double kOnsetShare = 0.2;
constexpr double kGapSeconds = 10;

}  // namespace

std::optional<std::int64_t> onset_of(const Scene& scene, const Subject& subject, Signal signal,
                                     double level, double usual) {
  if (!(level > 0)) {
    return std::nullopt;
  }
  double begin = kOnsetShare * level;
  if (is_known(usual) && usual > 0 && usual < level) {
    begin = std::max(begin, (usual + level) / 2);
  }
  return scene.at_least_since(subject, signal, begin, kGapSeconds);
}

bool can_tell_order(const Scene& scene, double seconds) {
  const double resolution = scene.axis().resolution_seconds(seconds);
  return resolution > 0 && resolution <= kFinestLeadSeconds;
}

void Timeline::add(std::optional<std::int64_t> when_ns, std::string what) {
  if (when_ns) {
    moments_.push_back({*when_ns, std::move(what)});
  }
}

std::vector<Moment> Timeline::moments() && {
  std::stable_sort(moments_.begin(), moments_.end(),
                   [](const Moment& a, const Moment& b) { return a.boottime_ns < b.boottime_ns; });
  return std::move(moments_);
}

}  // namespace tidegauge::heuristics
