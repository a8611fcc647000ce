// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/own_metrics.h"

#include "daemon/exporter/collector_status_text.h"
#include "daemon/exporter/metric_makers.h"

namespace tidegauge {

using prometheus::BuildCounter;
using prometheus::BuildGauge;

const BuildInfo& build_info() {
  static const BuildInfo kInfo{TIDEGAUGE_VERSION, TIDEGAUGE_REVISION, TIDEGAUGE_BRANCH};
  return kInfo;
}

OwnMetrics::OwnMetrics()
    : cpu_budget_(BuildGauge()
                      .Name("tidegauge_cpu_budget_ratio")
                      .Help("Configured CPU budget of this daemon as a share of one core; absent "
                            "when there is none.")
                      .Register(registry_)),
      scrapes_(BuildCounter()
                   .Name("tidegauge_http_scrapes_total")
                   .Help("Answers given on the telemetry path, by HTTP status.")
                   .Register(registry_)),
      reload_success_(make_gauge(registry_, "tidegauge_config_last_reload_successful",
                                 "Whether the configuration in use is the one read last.")),
      reload_timestamp_(make_gauge(registry_,
                                   "tidegauge_config_last_reload_success_timestamp_seconds",
                                   "When the configuration in use was loaded.")),
      suppressed_logs_(
          make_counter(registry_, "tidegauge_log_messages_suppressed_total",
                       "Log lines left out because the same one was less than a minute "
                       "old.")),
      connections_open_(make_gauge(registry_, "tidegauge_http_connections",
                                   "Open HTTP connections over all listening addresses.")),
      connections_accepted_(make_counter(registry_, "tidegauge_http_connections_accepted_total",
                                         "HTTP connections accepted.")),
      connections_shed_(
          make_counter(registry_, "tidegauge_http_connections_shed_total",
                       "HTTP connections without a complete request that were closed to "
                       "make room for new ones.")),
      deadlines_exceeded_(
          make_counter(registry_, "tidegauge_http_deadlines_exceeded_total",
                       "HTTP connections closed because a request or a response took "
                       "too long.")),
      response_bytes_(make_counter(registry_, "tidegauge_http_response_body_bytes_total",
                                   "Bytes of HTTP response bodies written.")),
      body_bytes_(make_gauge(registry_, "tidegauge_exposition_size_bytes",
                             "Size of the last complete exposition rendered, uncompressed.")),
      suppressed_series_(
          make_gauge(registry_, "tidegauge_exposition_suppressed_series",
                     "Series left out of the exposition because their labels or their "
                     "family collide with others.")) {
  const BuildInfo& info = build_info();
  BuildGauge()
      .Name("tidegauge_build_info")
      .Help("Version of this daemon; always 1.")
      .Register(registry_)
      .Add({{"version", info.version}, {"revision", info.revision}, {"branch", info.branch}})
      .Set(1);
}

void OwnMetrics::count_scrape(int status) {
  scrapes_.Add({{"code", std::to_string(status)}}).Increment();
}

void OwnMetrics::reload_finished(bool success, double realtime_seconds) {
  reload_success_.Set(success ? 1 : 0);
  if (success) {
    reload_timestamp_.Set(realtime_seconds);
  }
}

void OwnMetrics::count_suppressed_log() { suppressed_logs_.Increment(); }

void OwnMetrics::set_cpu_budget(std::int64_t parts_per_million) {
  prometheus::Gauge& gauge = cpu_budget_.Add({});
  gauge.Set(static_cast<double>(parts_per_million) / 1e6);
  if (parts_per_million == 0) {
    cpu_budget_.Remove(&gauge);
  }
}

void OwnMetrics::update_http(const HttpServerStats& stats) {
  connections_open_.Set(static_cast<double>(stats.connections_open));
  raise_to(connections_accepted_, static_cast<double>(stats.connections_accepted));
  raise_to(connections_shed_, static_cast<double>(stats.connections_shed));
  raise_to(deadlines_exceeded_, static_cast<double>(stats.deadlines_exceeded));
  raise_to(response_bytes_, static_cast<double>(stats.response_body_bytes));
}

void OwnMetrics::update_recorder(const recording::RecorderStats& stats) {
  if (!recorder_) {
    recorder_.emplace(registry_);
  }
  recorder_->update(stats);
}

void OwnMetrics::update_exposition(std::size_t body_bytes, std::size_t suppressed_series) {
  body_bytes_.Set(static_cast<double>(body_bytes));
  suppressed_series_.Set(static_cast<double>(suppressed_series));
}

std::vector<prometheus::MetricFamily> OwnMetrics::collect() const { return registry_.Collect(); }

std::vector<MetricDoc> own_metric_docs() {
  std::vector<MetricDoc> docs = collector_status_docs();
  OwnMetrics metrics;
  metrics.count_scrape(200);
  metrics.set_cpu_budget(1);
  metrics.update_recorder({});
  for (const prometheus::MetricFamily& family : metrics.collect()) {
    MetricDoc doc{
        family.name,
        family.type == prometheus::MetricType::Counter ? MetricKind::kCounter : MetricKind::kGauge,
        {},
        family.help};
    if (!family.metric.empty()) {
      for (const auto& label : family.metric.front().label) {
        doc.labels.push_back(label.name);
      }
    }
    docs.push_back(std::move(doc));
  }
  return docs;
}

}  // namespace tidegauge
