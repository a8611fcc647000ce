// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the collectors fare, as metrics: node_scrape_collector_* for the rules people already have and
// tidegauge_collector_* for what they do not say.

#include <string>
#include <vector>

#include "collectors/core/metric_doc.h"
#include "collectors/core/section.h"

namespace tidegauge {

class CollectorStatusText {
 public:
  explicit CollectorStatusText(bool node_families) : node_families_(node_families) {}

  // Appends the status of the entries chosen (empty: all). Label text is kept between calls.
  void append(std::string& out, const Snapshot& snapshot, const std::vector<bool>& selected);

 private:
  bool node_families_;
};

std::vector<MetricDoc> collector_status_docs();

}  // namespace tidegauge
