// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which signal moved first: onsets in the history, in order, and whether ticks are fine enough to tell. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/heuristics/scene.h"
#include "daemon/heuristics/verdict.h"

namespace tidegauge::heuristics {

// Of a signal that is at `level` now: when it came to a fifth of it, or half way up from where it usually is, but for
// gaps of ten seconds. The begin of the tick in which it did.
std::optional<std::int64_t> onset_of(const Scene& scene, const Subject& subject, Signal signal,
                                     double level, double usual = kUnknown);

// Ticks further apart than this cannot tell a lead of seconds.
inline constexpr double kFinestLeadSeconds = 5;
bool can_tell_order(const Scene& scene, double seconds);

class Timeline {
 public:
  void add(std::optional<std::int64_t> when_ns, std::string what);
  // By time.
  [[nodiscard]] std::vector<Moment> moments() &&;

 private:
  std::vector<Moment> moments_;
};

}  // namespace tidegauge::heuristics
