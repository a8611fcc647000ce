// SPDX-License-Identifier: Apache-2.0
#pragma once

// From findings to verdicts: a verdict begins when findings have come for long enough, and ends when none has come
// for long enough, so that nothing flaps. Bounded; pure; not thread-safe.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/heuristics/verdict.h"

namespace tidegauge::heuristics {

class Conditions {
 public:
  static constexpr std::size_t kMaxOfVerdict = 8;  // instances of one verdict at a time
  static constexpr std::size_t kMaxRecent = 32;    // ended verdicts that are remembered

  struct Changes {
    std::vector<const Verdict*> begun;
    std::vector<const Verdict*> ended;
  };

  // Findings of the tick that ended at these times and stands for `tick_seconds`. Pointers in the answer are good
  // until the next call.
  Changes update(Findings findings, std::int64_t boottime_ns, std::int64_t realtime_ns,
                 double tick_seconds);

  // By importance: severity, then confidence.
  [[nodiscard]] std::vector<const Verdict*> active() const;
  // Those that ended, the last one last.
  [[nodiscard]] std::span<const std::shared_ptr<const Verdict>> recent() const { return recent_; }
  [[nodiscard]] std::uint64_t onsets(VerdictId id) const {
    return onsets_[static_cast<std::size_t>(id)];
  }

  // Everything, as bytes; of ended verdicts and of those beyond kMaxStateBytes what is short of it. load() takes its
  // part off the front; false, and nothing changes, where it is not what save() writes.
  static constexpr std::size_t kMaxStateBytes = std::size_t{128} << 10U;
  void save(std::string& out) const;
  bool load(std::string_view& in);

 private:
  struct State {
    Verdict verdict;
    bool is_active = false;
    double held_seconds = 0;  // of the time until it begins
    double gone_seconds = 0;
  };
  State* find(const Finding& finding);

  std::vector<State> states_;
  std::vector<std::shared_ptr<const Verdict>> recent_;
  std::vector<std::uint64_t> onsets_ = std::vector<std::uint64_t>(kVerdicts);
  std::uint64_t number_ = 0;
};

}  // namespace tidegauge::heuristics
