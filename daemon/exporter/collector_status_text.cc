// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/collector_status_text.h"

#include <optional>

#include "daemon/exporter/text_format.h"

namespace tidegauge {

namespace {

struct StatusMetric {
  std::string_view name;
  std::string_view help;
  MetricKind kind;
  Scale scale;
  // None: this collector has no such value yet.
  std::optional<std::uint64_t> (*value)(const CollectorStatus& status);
};

std::optional<std::uint64_t> nonnegative(std::int64_t value) {
  return value > 0 ? static_cast<std::uint64_t>(value) : 0;
}

// A collector that has not finished a run yet has neither failed nor succeeded.
std::optional<std::uint64_t> success(const CollectorStatus& status) {
  return status.ran ? std::optional<std::uint64_t>(status.success ? 1 : 0) : std::nullopt;
}

std::optional<std::uint64_t> duration(const CollectorStatus& status) {
  return status.ran ? nonnegative(status.duration_ns) : std::nullopt;
}

constexpr StatusMetric kMetrics[] = {
    {"node_scrape_collector_duration_seconds", "Time the collector's last run took.",
     MetricKind::kGauge, kNanoseconds, duration},
    {"node_scrape_collector_success", "Whether the collector's last run succeeded.",
     MetricKind::kGauge, kUnit, success},
    {"tidegauge_collector_duration_seconds", "Time the collector's last run took.",
     MetricKind::kGauge, kNanoseconds, duration},
    {"tidegauge_collector_success", "Whether the collector's last run succeeded.",
     MetricKind::kGauge, kUnit, success},
    {"tidegauge_collector_no_data",
     "Whether the collector's last run failed because this kernel or machine lacks its source.",
     MetricKind::kGauge, kUnit,
     [](const CollectorStatus& s) -> std::optional<std::uint64_t> {
       const bool lacking = s.error == ErrorKind::kMissing || s.error == ErrorKind::kUnsupported;
       return s.ran && !s.success && lacking ? 1 : 0;
     }},
    {"tidegauge_collector_stuck", "Whether the collector's present run has not come back in time.",
     MetricKind::kGauge, kUnit,
     [](const CollectorStatus& s) -> std::optional<std::uint64_t> { return s.stuck ? 1 : 0; }},
    {"tidegauge_collector_interval_seconds", "Configured time between two runs of the collector.",
     MetricKind::kGauge, kNanoseconds,
     [](const CollectorStatus& s) { return nonnegative(s.interval_ns); }},
    {"tidegauge_collector_effective_interval_seconds",
     "Time between two runs of the collector now: longer than configured when the daemon would "
     "exceed its CPU budget.",
     MetricKind::kGauge, kNanoseconds,
     [](const CollectorStatus& s) { return nonnegative(s.effective_interval_ns); }},
    {"tidegauge_collector_cpu_seconds_total",
     "CPU time of the collector's finished runs, without threads of its own.", MetricKind::kCounter,
     kNanoseconds, [](const CollectorStatus& s) { return nonnegative(s.cpu_ns); }},
    {"tidegauge_collector_last_success_timestamp_seconds",
     "When the collector last succeeded; its series are that old.", MetricKind::kGauge,
     kNanoseconds,
     [](const CollectorStatus& s) -> std::optional<std::uint64_t> {
       if (s.last_success_realtime_ns == 0) {
         return std::nullopt;
       }
       return nonnegative(s.last_success_realtime_ns);
     }},
    {"tidegauge_collector_runs_total", "Finished runs of the collector.", MetricKind::kCounter,
     kUnit, [](const CollectorStatus& s) -> std::optional<std::uint64_t> { return s.runs; }},
    {"tidegauge_collector_failures_total",
     "Runs of the collector that failed or did not come back in time.", MetricKind::kCounter, kUnit,
     [](const CollectorStatus& s) -> std::optional<std::uint64_t> { return s.failures; }},
    {"tidegauge_collector_skipped_total",
     "Runs of the collector left out because the one before had not ended.", MetricKind::kCounter,
     kUnit, [](const CollectorStatus& s) -> std::optional<std::uint64_t> { return s.skipped; }},
    {"tidegauge_collector_early_runs_total",
     "Runs of the collector before their time, asked for because something happened.",
     MetricKind::kCounter, kUnit,
     [](const CollectorStatus& s) -> std::optional<std::uint64_t> { return s.early_runs; }},
};

struct TickMetric {
  std::string_view name;
  std::string_view help;
  std::uint64_t Snapshot::*value;
};

constexpr TickMetric kTickMetrics[] = {
    {"tidegauge_ticks_total", "Ticks of the scheduler.", &Snapshot::ticks},
    {"tidegauge_ticks_skipped_total",
     "Ticks that went by unused because the one before took too long or the host was asleep.",
     &Snapshot::ticks_skipped},
};

}  // namespace

void CollectorStatusText::append(std::string& out, const Snapshot& snapshot,
                                 const std::vector<bool>& selected) {
  for (const StatusMetric& metric : kMetrics) {
    if (!node_families_ && metric.name.starts_with("node_")) {
      continue;
    }
    append_header(out, metric.name, metric.help, metric.kind);
    for (std::size_t i = 0; i < snapshot.entries.size(); ++i) {
      const SnapshotEntry& entry = snapshot.entries[i];
      if (!selected.empty() && !selected[i]) {
        continue;
      }
      if (const auto value = metric.value(entry.status)) {
        // Registry names need no escaping.
        out.append(metric.name).append("{collector=\"").append(entry.collector).append("\"} ");
        append_value(out, *value, NumberType::kUnsigned, metric.scale);
        out.push_back('\n');
      }
    }
  }
  for (const TickMetric& metric : kTickMetrics) {
    append_header(out, metric.name, metric.help, MetricKind::kCounter);
    out.append(metric.name).push_back(' ');
    append_value(out, snapshot.*metric.value, NumberType::kUnsigned, kUnit);
    out.push_back('\n');
  }
}

std::vector<MetricDoc> collector_status_docs() {
  std::vector<MetricDoc> docs;
  for (const StatusMetric& metric : kMetrics) {
    docs.push_back(
        {std::string(metric.name), metric.kind, {"collector"}, std::string(metric.help)});
  }
  for (const TickMetric& metric : kTickMetrics) {
    docs.push_back({std::string(metric.name), MetricKind::kCounter, {}, std::string(metric.help)});
  }
  return docs;
}

}  // namespace tidegauge
