// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/found_verdicts.h"

#include <algorithm>

namespace tidegauge::replay {

using heuristics::Verdict;

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
    } else if (now.finding.confidence > at->finding.confidence) {
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
