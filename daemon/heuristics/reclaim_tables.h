// SPDX-License-Identifier: Apache-2.0
#pragma once

// The memory model as metrics: what Prometheus cannot compute from the kernel's own counters. No rates of those.

#include <vector>

#include "collectors/core/metric_doc.h"
#include "collectors/core/section.h"
#include "collectors/core/table_builder.h"
#include "daemon/heuristics/reclaim_reading.h"

namespace tidegauge::heuristics {

// Not thread-safe. What is absent has no series.
class ReclaimTables {
 public:
  ReclaimTables();
  void append(const MemoryReading& reading, Section& out);

 private:
  RowTable zones_;
  RowTable fragmentation_;
  RowTable nodes_;
  RowTable host_;
};

// Documentation of the families that append() makes.
std::vector<MetricDoc> memory_model_metrics();

}  // namespace tidegauge::heuristics
