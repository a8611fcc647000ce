// SPDX-License-Identifier: Apache-2.0
#pragma once

// The Prometheus text format 0.0.4, as strictly as node_exporter reads it: what it refuses whole,
// we refuse whole.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/column.h"
#include "collectors/core/result.h"
#include "collectors/core/section.h"

namespace tidegauge {

// A bucket (upper bound, count) or a quantile (rank, value).
struct PromPoint {
  double at = 0;
  double value = 0;
};

// The samples of one label set.
struct PromMetric {
  std::vector<Label> labels;  // by name, without le and quantile
  double value = 0;           // counter, gauge, untyped
  std::vector<PromPoint> points;
  double sum = 0;
  double count = 0;
};

struct PromFamily {
  std::string name;
  MetricKind kind = MetricKind::kUntyped;
  std::optional<std::string> help;
  std::vector<PromMetric> metrics;  // never empty
};

// `file` names the text in errors. Timestamps, invalid UTF-8 in label values, label names that
// begin with two underscores and more than max_samples samples are errors.
Result<std::vector<PromFamily>> parse_prom_text(std::string_view text, std::string_view file,
                                                std::size_t max_samples);

// A sample's value or a bucket's bound: what Go's ParseFloat accepts of decimal numbers.
std::optional<double> parse_prom_value(std::string_view text);

}  // namespace tidegauge
