// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/snapshot_collectable.h"

#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricType type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return MetricType::Counter;
    case MetricKind::kGauge:
      return MetricType::Gauge;
    case MetricKind::kHistogram:
      return MetricType::Histogram;
    case MetricKind::kSummary:
      return MetricType::Summary;
    case MetricKind::kUntyped:
      return MetricType::Untyped;
  }
  return MetricType::Untyped;
}

// Takes the bound label of a bucket or quantile off the labels.
std::optional<double> take_bound(std::vector<ClientMetric::Label>& labels, std::string_view name) {
  for (auto it = labels.begin(); it != labels.end(); ++it) {
    if (it->name == name) {
      const auto bound = parse_real(it->value);
      labels.erase(it);
      return bound;
    }
  }
  return std::nullopt;
}

class FamilyBuilder {
 public:
  void add(const ColumnInfo& info, std::vector<ClientMetric::Label> labels, double value,
           std::uint64_t count) {
    const auto [at, is_new] = index_.try_emplace(info.family, families_.size());
    if (is_new) {
      families_.push_back({info.family, info.help, type_of(info.kind), {}});
    }
    MetricFamily& family = families_[at->second];
    std::optional<double> bound;
    if (info.kind == MetricKind::kHistogram && info.suffix == "_bucket") {
      bound = take_bound(labels, "le");
    } else if (info.kind == MetricKind::kSummary && info.suffix.empty()) {
      bound = take_bound(labels, "quantile");
    }
    ClientMetric& metric = metric_of(family, labels, info);
    set(metric, info, value, count, bound);
  }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  // Histograms and summaries gather several series into one metric; others are one each.
  static ClientMetric& metric_of(MetricFamily& family,
                                 const std::vector<ClientMetric::Label>& labels,
                                 const ColumnInfo& info) {
    if (info.kind == MetricKind::kHistogram || info.kind == MetricKind::kSummary) {
      for (ClientMetric& metric : family.metric) {
        if (metric.label == labels) {
          return metric;
        }
      }
    }
    ClientMetric& metric = family.metric.emplace_back();
    metric.label = labels;
    return metric;
  }

  static void set(ClientMetric& metric, const ColumnInfo& info, double value, std::uint64_t count,
                  std::optional<double> bound) {
    switch (info.kind) {
      case MetricKind::kCounter:
        metric.counter.value = value;
        break;
      case MetricKind::kGauge:
        metric.gauge.value = value;
        break;
      case MetricKind::kUntyped:
        metric.untyped.value = value;
        break;
      case MetricKind::kHistogram:
        if (info.suffix == "_sum") {
          metric.histogram.sample_sum = value;
        } else if (info.suffix == "_count") {
          metric.histogram.sample_count = count;
        } else {
          metric.histogram.bucket.push_back({count, bound.value_or(0)});
        }
        break;
      case MetricKind::kSummary:
        if (info.suffix == "_sum") {
          metric.summary.sample_sum = value;
        } else if (info.suffix == "_count") {
          metric.summary.sample_count = count;
        } else {
          metric.summary.quantile.push_back({bound.value_or(0), value});
        }
        break;
    }
  }

  std::vector<MetricFamily> families_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

}  // namespace

std::vector<MetricFamily> to_families(const Snapshot& snapshot) {
  FamilyBuilder builder;
  std::set<std::string> seen;
  for (const SnapshotEntry& entry : snapshot.entries) {
    if (!entry.section) {
      continue;
    }
    for (const Table& table : entry.section->tables) {
      const Shape& shape = *table.shape;
      for (std::size_t row = 0; row < shape.rows.size(); ++row) {
        for (std::size_t column = 0; column < shape.columns.size(); ++column) {
          const ColumnInfo& info = shape.columns[column];
          std::vector<ClientMetric::Label> labels;
          std::string key = info.family + info.suffix;
          const auto add = [&](const std::string& name, const std::string& value) {
            labels.push_back({name, value});
            key.append(1, '\0').append(name).append(1, '\0').append(value);
          };
          for (std::size_t i = 0; i < shape.label_names.size(); ++i) {
            add(shape.label_names[i], shape.rows[row][i]);
          }
          for (const Label& label : info.labels) {
            add(label.name, label.value);
          }
          // As the text path: of rows that sanitise to the same labels, the first one counts.
          if (seen.insert(key).second && table.has(row, column)) {
            const double value = table.value(row, column);
            const auto count = info.type == NumberType::kUnsigned
                                   ? table.raw(row, column)
                                   : static_cast<std::uint64_t>(std::max(value, 0.0));
            builder.add(info, std::move(labels), value, count);
          }
        }
      }
    }
  }
  return builder.take();
}

std::vector<MetricFamily> SnapshotCollectable::Collect() const {
  const SnapshotPtr snapshot = latest_();
  return snapshot ? to_families(*snapshot) : std::vector<MetricFamily>{};
}

}  // namespace tidegauge
