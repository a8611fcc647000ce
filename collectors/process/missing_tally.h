// SPDX-License-Identifier: Apache-2.0
#pragma once

// Counts why fields are missing, by constants: no string is made per process.

#include <cstdint>
#include <string_view>
#include <vector>

#include "collectors/process/process_entry.h"
#include "collectors/process/task_sample.h"

namespace tidegauge {

class MissingTally {
 public:
  // Both views are to constants.
  void add(std::string_view field, std::string_view reason, std::uint64_t processes = 1);
  // What one process lacks, by what its sample and the entry behind it say. `no_delays`: why block
  // delays mean nothing, empty when they do.
  void add_process(const ProcessSample& sample, const ProcessEntry& entry,
                   std::string_view no_delays);
  // Moves the counts to `out`.
  void take(std::vector<MissingField>& out);

 private:
  struct Row {
    std::string_view field;
    std::string_view reason;
    std::uint64_t processes;
  };
  std::vector<Row> rows_;
};

}  // namespace tidegauge
