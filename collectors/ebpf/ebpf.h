// SPDX-License-Identifier: Apache-2.0
#pragma once

// The BPF programs themselves: in which tier each runs and why, what it costs, and a bound on that.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/ebpf/program_report.h"

namespace tidegauge {

extern const CollectorInfo kEbpfCollector;

// Decides which feature has to go. Pure.
//
// Over the budget in `kPatience` passes running, the feature that cost most since the last pass goes. One
// at a time: the others are given as many passes to show what they cost alone.
class EbpfBudget {
 public:
  static constexpr int kPatience = 3;

  // In millionths of the machine's CPU time; 0: no bound.
  explicit EbpfBudget(std::int64_t limit_ppm) : limit_ppm_(limit_ppm) {}

  // Which of `costs` must go, if any. `cpu_ns`: CPU time there was since the last call, of all CPUs; 0: only
  // growth from here on counts.
  std::optional<std::size_t> update(const std::vector<FeatureCost>& costs, std::uint64_t cpu_ns);
  // The last pass was over the budget, and the next ones say whether a feature goes.
  [[nodiscard]] bool is_deciding() const { return over_ > 0; }
  // Share of the machine in the last pass, in millionths; nothing before the second pass.
  [[nodiscard]] std::optional<std::uint64_t> used_ppm() const { return used_ppm_; }

 private:
  std::int64_t limit_ppm_;
  std::vector<FeatureCost> last_;
  bool has_last_ = false;
  int over_ = 0;
  std::optional<std::uint64_t> used_ppm_;
};

}  // namespace tidegauge
