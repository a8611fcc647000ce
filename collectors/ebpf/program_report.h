// SPDX-License-Identifier: Apache-2.0
#pragma once

// How all BPF programs of this process fare. Any thread.

#include <cstdint>
#include <string>
#include <vector>

#include "collectors/ebpf/program_source.h"

namespace tidegauge {

struct SeenProgram {
  std::string object;
  ProgramStatus status;
  std::uint64_t run_ns = 0;  // while the kernel counted it
  std::uint64_t runs = 0;
};

// Of every source, in no order.
std::vector<SeenProgram> look_at_programs();

// What the programs of one feature have cost, for the budget.
struct FeatureCost {
  std::string object;
  std::string feature;
  std::uint64_t run_ns = 0;  // cumulative
  bool can_be_shed = true;
};

std::vector<FeatureCost> costs_of(const std::vector<SeenProgram>& programs);

// In which tier a feature runs: that of its programs that are loaded. Where it could be better, or is off,
// `reason` says why.
struct SeenFeature {
  std::string object;
  std::string feature;
  Tier tier = Tier::kOff;
  std::string reason;
};
std::vector<SeenFeature> features_of(const std::vector<SeenProgram>& programs);

}  // namespace tidegauge
