// SPDX-License-Identifier: Apache-2.0
#pragma once

// Every verdict of a span of time, from Reports tick by tick, each as it was when it was surest and strongest. Bounded.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "daemon/heuristics/assess.h"
#include "daemon/heuristics/verdict.h"

namespace tidegauge::replay {

class FoundVerdicts {
 public:
  static constexpr std::size_t kMaxFound = 1000;

  void look(const heuristics::Report& report);

  // In the order in which they began.
  [[nodiscard]] const std::vector<heuristics::Verdict>& found() const { return found_; }
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }

 private:
  std::vector<heuristics::Verdict> found_;
  std::uint64_t last_number_ = 0;  // the greatest that was seen
  std::uint64_t left_out_ = 0;
};

}  // namespace tidegauge::replay
