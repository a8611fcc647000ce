// SPDX-License-Identifier: Apache-2.0
#pragma once

// Stands in for the watermark module, which is written at the same time on another branch.

#include <vector>

#include "collectors/core/metric_doc.h"
#include "collectors/core/section.h"

namespace tidegauge::heuristics {

struct MemoryReading {};

class MemoryModel {
 public:
  void update(const Snapshot& /*snapshot*/) {}
  [[nodiscard]] const MemoryReading& reading() const { return reading_; }
  void append_tables(Section& /*out*/) {}

 private:
  MemoryReading reading_;
};

inline std::vector<MetricDoc> memory_model_metrics() { return {}; }

}  // namespace tidegauge::heuristics
