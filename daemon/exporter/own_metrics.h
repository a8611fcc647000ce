// SPDX-License-Identifier: Apache-2.0
#pragma once

// The daemon's metrics about itself, in a prometheus-cpp registry. What belongs to a collector's run
// is not in here: it is in every Snapshot, and Exposition writes it from there.

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collectors/core/metric_doc.h"
#include "daemon/exporter/http_server.h"
#include "daemon/exporter/recorder_metrics.h"

namespace tidegauge {

struct BuildInfo {
  std::string version;
  std::string revision;
  std::string branch;
};
const BuildInfo& build_info();

class OwnMetrics {
 public:
  OwnMetrics();

  // Any thread.
  void count_scrape(int status);
  void reload_finished(bool success, double realtime_seconds);
  void count_suppressed_log();
  // Parts per million of one core; 0 (no budget) takes the series away.
  void set_cpu_budget(std::int64_t parts_per_million);
  // On the web thread, before a rendering.
  void update_http(const HttpServerStats& stats);
  void update_recorder(const recording::RecorderStats& stats);
  void update_exposition(std::size_t body_bytes, std::size_t suppressed_series);

  [[nodiscard]] std::vector<prometheus::MetricFamily> collect() const;

 private:
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Gauge>& cpu_budget_;
  prometheus::Family<prometheus::Counter>& scrapes_;
  prometheus::Gauge& reload_success_;
  prometheus::Gauge& reload_timestamp_;
  prometheus::Counter& suppressed_logs_;
  prometheus::Gauge& connections_open_;
  prometheus::Counter& connections_accepted_;
  prometheus::Counter& connections_shed_;
  prometheus::Counter& deadlines_exceeded_;
  prometheus::Counter& response_bytes_;
  prometheus::Gauge& body_bytes_;
  prometheus::Gauge& suppressed_series_;
  std::optional<RecorderMetrics> recorder_;  // where there is a recorder
};

// Documentation of the above and of what Exposition adds from the Snapshot.
std::vector<MetricDoc> own_metric_docs();

}  // namespace tidegauge
