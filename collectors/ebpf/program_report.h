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

// What programs have cost in all, over reloads. Pure; one thread.
class ProgramCosts {
 public:
  struct Cost {
    std::uint64_t run_ns = 0;
    std::uint64_t runs = 0;
  };
  // Adds what grew between two looks, `times` that. A program that the first one lacks was loaded since: there is
  // no more of it than what was seen.
  void add(const std::vector<SeenProgram>& before, const std::vector<SeenProgram>& after,
           double times);
  [[nodiscard]] Cost of(const SeenProgram& program) const;
  [[nodiscard]] std::vector<FeatureCost> by_feature() const;

 private:
  struct Entry {
    SeenProgram program;
    Cost cost;
  };
  static bool is_same(const SeenProgram& a, const SeenProgram& b);
  std::vector<Entry> entries_;
};

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
