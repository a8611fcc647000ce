// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the daemon does when a verdict begins or ends: a line in its log, and an incident file of what is bad.

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/heuristics/verdict.h"
#include "daemon/service/log.h"

namespace tidegauge {

// On the tick thread; one that was left behind may still add. Any user can make a verdict begin again and again, so each triggers once in ten minutes at most.
class VerdictWatch {
 public:
  using Trigger = std::function<void(std::string_view reason)>;

  // `trigger` may be null. Both must outlive it.
  VerdictWatch(Log& log, Trigger trigger) : log_(log), trigger_(std::move(trigger)) {}

  // From within the heuristics, which are locked meanwhile: remembers it only.
  void add(const heuristics::Verdict& verdict);
  // Afterwards: says it, and triggers.
  void tell();

 private:
  void log(const heuristics::Verdict& verdict);
  [[nodiscard]] bool triggers(const heuristics::Verdict& verdict);

  Log& log_;
  Trigger trigger_;
  std::mutex mutex_;
  std::vector<heuristics::Verdict> changed_;                        // guarded by mutex_
  std::array<std::int64_t, heuristics::kVerdicts> triggered_ns_{};  // boot time; 0: never
};

}  // namespace tidegauge
