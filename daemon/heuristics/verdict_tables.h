// SPDX-License-Identifier: Apache-2.0
#pragma once

// Verdicts as metrics.

#include <vector>

#include "collectors/core/metric_doc.h"
#include "collectors/core/section.h"
#include "collectors/core/table_builder.h"
#include "daemon/heuristics/condition.h"

namespace tidegauge::heuristics {

class VerdictTables {
 public:
  static constexpr std::size_t kMaxInfos = 32;  // series that name subjects

  VerdictTables();
  void append(const Conditions& conditions, Section& out);

 private:
  RowTable states_;
  ValueTable info_;
};

std::vector<MetricDoc> verdict_metrics();

}  // namespace tidegauge::heuristics
