// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/family_text.h"

#include <algorithm>
#include <limits>

#include "collectors/core/text.h"
#include "daemon/exporter/text_format.h"

namespace tidegauge {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricKind kind_of(MetricType type) {
  switch (type) {
    case MetricType::Counter:
      return MetricKind::kCounter;
    case MetricType::Gauge:
      return MetricKind::kGauge;
    case MetricType::Summary:
      return MetricKind::kSummary;
    case MetricType::Histogram:
      return MetricKind::kHistogram;
    default:
      return MetricKind::kUntyped;
  }
}

class MetricWriter {
 public:
  MetricWriter(std::string& out, const MetricFamily& family, const ClientMetric& metric)
      : out_(out), family_(family), metric_(metric) {}

  void write() {
    switch (family_.type) {
      case MetricType::Counter:
        real("", metric_.counter.value);
        break;
      case MetricType::Gauge:
        real("", metric_.gauge.value);
        break;
      case MetricType::Summary:
        for (const auto& quantile : metric_.summary.quantile) {
          real("", quantile.value, "quantile", quantile.quantile);
        }
        real("_sum", metric_.summary.sample_sum);
        count("_count", metric_.summary.sample_count);
        break;
      case MetricType::Histogram:
        histogram();
        break;
      default:
        real("", metric_.untyped.value);
        break;
    }
  }

 private:
  void histogram() {
    const auto& histogram = metric_.histogram;
    const bool has_infinity =
        !histogram.bucket.empty() && histogram.bucket.back().upper_bound > 1e308;
    for (const auto& bucket : histogram.bucket) {
      begin("_bucket", "le", bucket.upper_bound);
      append_value(out_, bucket.cumulative_count, NumberType::kUnsigned, {});
      out_.push_back('\n');
    }
    if (!has_infinity) {
      begin("_bucket", "le", std::numeric_limits<double>::infinity());
      append_value(out_, histogram.sample_count, NumberType::kUnsigned, {});
      out_.push_back('\n');
    }
    real("_sum", histogram.sample_sum);
    count("_count", histogram.sample_count);
  }

  void begin(std::string_view suffix, std::string_view bound_name = {}, double bound = 0) {
    SeriesName name(out_, family_.name, suffix);
    for (const auto& label : metric_.label) {
      name.label(label.name, sanitize_label(label.value));
    }
    if (!bound_name.empty()) {
      std::string text;
      append_real(text, bound);
      name.label(bound_name, text);
    }
    name.end();
  }

  void real(std::string_view suffix, double value, std::string_view bound_name = {},
            double bound = 0) {
    begin(suffix, bound_name, bound);
    append_real(out_, value);
    out_.push_back('\n');
  }

  void count(std::string_view suffix, std::uint64_t value) {
    begin(suffix);
    append_value(out_, value, NumberType::kUnsigned, {});
    out_.push_back('\n');
  }

  std::string& out_;
  const MetricFamily& family_;
  const ClientMetric& metric_;
};

}  // namespace

void append_families(std::string& out, std::vector<MetricFamily> families) {
  std::sort(families.begin(), families.end(),
            [](const MetricFamily& a, const MetricFamily& b) { return a.name < b.name; });
  for (MetricFamily& family : families) {
    if (family.metric.empty()) {
      continue;
    }
    // prometheus-cpp keeps metrics in hash order; a stable order compresses and compares better.
    std::sort(family.metric.begin(), family.metric.end(),
              [](const ClientMetric& a, const ClientMetric& b) { return a.label < b.label; });
    append_header(out, family.name, family.help, kind_of(family.type));
    for (const ClientMetric& metric : family.metric) {
      MetricWriter(out, family, metric).write();
    }
  }
}

}  // namespace tidegauge
