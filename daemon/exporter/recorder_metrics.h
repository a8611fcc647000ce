// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the flight recorder holds, writes and costs.

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include "daemon/recorder/recorder.h"

namespace tidegauge {

// Web thread.
class RecorderMetrics {
 public:
  explicit RecorderMetrics(prometheus::Registry& registry);
  void update(const recording::RecorderStats& stats);

 private:
  prometheus::Gauge& window_;
  prometheus::Gauge& memory_;
  prometheus::Gauge& memory_limit_;
  prometheus::Gauge& snapshots_;
  prometheus::Counter& recorded_;
  prometheus::Counter& plain_bytes_;
  prometheus::Counter& compressed_bytes_;
  prometheus::Counter& evicted_early_;
  prometheus::Counter& left_out_;
  prometheus::Counter& cpu_seconds_;
  prometheus::Gauge& recording_;
  prometheus::Gauge& files_;
  prometheus::Gauge& files_bytes_;
  prometheus::Gauge& last_file_;
  prometheus::Counter& written_;
  prometheus::Counter& written_bytes_;
  prometheus::Family<prometheus::Counter>& failures_;
};

}  // namespace tidegauge
