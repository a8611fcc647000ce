// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/condition.h"

#include <algorithm>
#include <utility>

namespace tidegauge::heuristics {

Conditions::State* Conditions::find(const Finding& finding) {
  for (State& state : states_) {
    if (state.verdict.finding.id == finding.id &&
        state.verdict.finding.instance == finding.instance) {
      return &state;
    }
  }
  return nullptr;
}

Conditions::Changes Conditions::update(Findings findings, std::int64_t boottime_ns,
                                       std::int64_t realtime_ns, double tick_seconds) {
  std::vector<std::pair<VerdictId, std::string>> held;
  for (Finding& finding : findings) {
    State* state = find(finding);
    if (state == nullptr) {
      const auto same = std::count_if(states_.begin(), states_.end(), [&](const State& one) {
        return one.verdict.finding.id == finding.id;
      });
      if (static_cast<std::size_t>(same) >= kMaxOfVerdict) {
        continue;
      }
      state = &states_.emplace_back();
    }
    held.emplace_back(finding.id, finding.instance);
    // The onset was found when it began; what is older later is told, what is younger is not: the signal flickers.
    if (state->held_seconds > 0 && state->verdict.finding.onset_ns != 0) {
      finding.onset_ns = std::min(finding.onset_ns, state->verdict.finding.onset_ns);
    }
    if (state->is_active) {
      finding.onset_ns = state->verdict.finding.onset_ns;
    }
    state->verdict.finding = std::move(finding);
    state->held_seconds += tick_seconds;
    state->gone_seconds = 0;
  }

  std::vector<std::uint64_t> begun;
  std::size_t ended = 0;
  for (State& state : states_) {
    Verdict& verdict = state.verdict;
    const VerdictInfo& info = info_of(verdict.finding.id);
    const bool holds = std::any_of(held.begin(), held.end(), [&](const auto& one) {
      return one.first == verdict.finding.id && one.second == verdict.finding.instance;
    });
    if (!holds) {
      state.gone_seconds += tick_seconds;
      // Before it begins, what comes and goes does not count up.
      if (!state.is_active) {
        state.held_seconds = std::max(0.0, state.held_seconds - 2 * tick_seconds);
      }
      continue;
    }
    verdict.severity = verdict.finding.severity.value_or(info.severity);
    if (!state.is_active && state.held_seconds >= info.enter_seconds) {
      state.is_active = true;
      verdict.number = ++number_;
      verdict.detected_boottime_ns = boottime_ns;
      verdict.detected_realtime_ns = realtime_ns;
      verdict.finding.onset_ns = std::min(verdict.finding.onset_ns, boottime_ns);
      verdict.onset_realtime_ns = realtime_ns - (boottime_ns - verdict.finding.onset_ns);
      ++onsets_[static_cast<std::size_t>(verdict.finding.id)];
      begun.push_back(verdict.number);
    }
  }
  std::erase_if(states_, [&](State& state) {
    const VerdictInfo& info = info_of(state.verdict.finding.id);
    if (state.is_active && state.gone_seconds > 0 && state.gone_seconds >= info.leave_seconds) {
      state.verdict.ended_boottime_ns = boottime_ns;
      state.verdict.ended_realtime_ns = realtime_ns;
      recent_.push_back(std::make_shared<const Verdict>(std::move(state.verdict)));
      ++ended;
      return true;
    }
    return !state.is_active && state.gone_seconds > 0 && state.held_seconds <= 0;
  });
  if (recent_.size() > kMaxRecent) {
    const std::size_t surplus = recent_.size() - kMaxRecent;
    recent_.erase(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(surplus));
  }

  Changes out;
  for (const State& state : states_) {
    if (std::find(begun.begin(), begun.end(), state.verdict.number) != begun.end()) {
      out.begun.push_back(&state.verdict);
    }
  }
  for (std::size_t i = recent_.size() - std::min(ended, recent_.size()); i < recent_.size(); ++i) {
    out.ended.push_back(recent_[i].get());
  }
  return out;
}

std::vector<const Verdict*> Conditions::active() const {
  std::vector<const Verdict*> out;
  for (const State& state : states_) {
    if (state.is_active) {
      out.push_back(&state.verdict);
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Verdict* a, const Verdict* b) {
    return std::pair(a->severity, a->finding.confidence) >
           std::pair(b->severity, b->finding.confidence);
  });
  return out;
}

}  // namespace tidegauge::heuristics
