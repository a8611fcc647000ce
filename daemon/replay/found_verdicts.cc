// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/found_verdicts.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace tidegauge::replay {

using heuristics::Verdict;

namespace {

// How sure it is and, of the same, how far its first figure is beyond its threshold.
std::pair<double, double> strength_of(const Verdict& verdict) {
  const heuristics::Finding& finding = verdict.finding;
  double ratio = 0;
  if (!finding.evidence.empty() && finding.evidence.front().threshold.value_or(0) > 0) {
    const heuristics::Evidence& first = finding.evidence.front();
    ratio = heuristics::is_known(first.value) ? first.value / *first.threshold : 0;
  }
  return {finding.confidence, ratio};
}

}  // namespace

void FoundVerdicts::look(const heuristics::Report& report) {
  const auto find = [this](std::uint64_t number) {
    return std::ranges::find(found_, number, &Verdict::number);
  };
  std::vector<const Verdict*> fresh;
  for (const Verdict& now : report.active) {
    if (const auto at = find(now.number); at == found_.end()) {
      if (now.number > last_number_) {
        fresh.push_back(&now);
      }
    } else if (strength_of(now) > strength_of(*at)) {
      *at = now;
    } else {
      at->severity = std::max(at->severity, now.severity);
    }
  }
  std::ranges::sort(fresh, {}, &Verdict::number);
  for (const Verdict* verdict : fresh) {
    last_number_ = verdict->number;
    if (found_.size() < kMaxFound) {
      found_.push_back(*verdict);
    } else {
      ++left_out_;
    }
  }
  // The last ones that ended, while they are news.
  for (auto ended = report.recent.rbegin(); ended != report.recent.rend(); ++ended) {
    const auto at = find((*ended)->number);
    if (at != found_.end() && at->is_active()) {
      at->ended_boottime_ns = (*ended)->ended_boottime_ns;
      at->ended_realtime_ns = (*ended)->ended_realtime_ns;
    }
  }
}

}  // namespace tidegauge::replay
