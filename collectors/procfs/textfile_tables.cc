// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/textfile_tables.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace tidegauge {

namespace {

bool is_composed(MetricKind kind) {
  return kind == MetricKind::kHistogram || kind == MetricKind::kSummary;
}

std::vector<std::string> series_names(const PromFamily& family) {
  if (!is_composed(family.kind)) {
    return {family.name};
  }
  std::vector<std::string> names{family.name, family.name + "_sum", family.name + "_count"};
  if (family.kind == MetricKind::kHistogram) {
    names.push_back(family.name + "_bucket");
  }
  return names;
}

ColumnInfo column(const PromFamily& family, std::string_view suffix, const std::string& help) {
  ColumnInfo info;
  info.family = family.name;
  info.suffix = suffix;
  info.help = help;
  info.kind = family.kind;
  info.type = NumberType::kReal;
  return info;
}

// A Table under construction.
class Rows {
 public:
  Rows(std::vector<std::string> label_names, std::vector<ColumnInfo> columns) {
    shape_.label_names = std::move(label_names);
    shape_.columns = std::move(columns);
  }
  void add(std::vector<std::string> labels, std::initializer_list<double> values) {
    shape_.rows.push_back(std::move(labels));
    for (const double value : values) {
      values_.push_back(std::bit_cast<std::uint64_t>(value));
    }
  }
  void append_to(std::vector<Table>& out) && {
    if (shape_.rows.empty()) {
      return;
    }
    Table table;
    table.shape = std::make_shared<const Shape>(std::move(shape_));
    table.values = std::move(values_);
    out.push_back(std::move(table));
  }

 private:
  Shape shape_;
  std::vector<std::uint64_t> values_;
};

// Every label that any metric of the part has: the others show it empty, as in node_exporter.
std::vector<std::string> label_names(const PromFamily& part) {
  std::set<std::string> names;
  for (const PromMetric& metric : part.metrics) {
    for (const Label& label : metric.labels) {
      names.insert(label.name);
    }
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> label_values(const std::vector<std::string>& names,
                                      const PromMetric& metric) {
  std::vector<std::string> values(names.size());
  for (const Label& label : metric.labels) {
    const auto at = std::lower_bound(names.begin(), names.end(), label.name);
    values[static_cast<std::size_t>(at - names.begin())] = label.value;
  }
  return values;
}

// Prometheus takes an empty label for none, so it does not tell series apart.
std::string identity(const PromMetric& metric) {
  std::string key;
  for (const Label& label : metric.labels) {
    if (!label.value.empty()) {
      key.append(label.name).append(1, '\0').append(label.value).append(1, '\0');
    }
  }
  return key;
}

// Of equal bounds the last counts. A histogram ends with +Inf, which is all of its samples.
std::map<double, double> points_of(const PromFamily& part, const PromMetric& metric) {
  std::map<double, double> points;
  for (const PromPoint& point : metric.points) {
    points[point.at] = point.value;
  }
  if (part.kind == MetricKind::kHistogram) {
    points.try_emplace(std::numeric_limits<double>::infinity(), metric.count);
  }
  return points;
}

void append_part(const PromFamily& part, const std::string& help,
                 std::unordered_set<std::string>& seen, std::vector<Table>& out) {
  const std::vector<std::string> names = label_names(part);
  std::vector<std::string> point_names = names;
  point_names.emplace_back(part.kind == MetricKind::kHistogram ? "le" : "quantile");
  const bool histogram = part.kind == MetricKind::kHistogram;
  Rows points(std::move(point_names), {column(part, histogram ? "_bucket" : "", help)});
  Rows sums(names, {column(part, "_sum", help), column(part, "_count", help)});
  Rows plain(names, {column(part, "", help)});
  for (const PromMetric& metric : part.metrics) {
    if (!seen.insert(identity(metric)).second) {
      continue;
    }
    std::vector<std::string> values = label_values(names, metric);
    if (!is_composed(part.kind)) {
      plain.add(std::move(values), {metric.value});
      continue;
    }
    for (const auto& [at, value] : points_of(part, metric)) {
      std::vector<std::string> labels = values;
      labels.push_back(go_number(at));
      points.add(std::move(labels), {value});
    }
    sums.add(std::move(values), {metric.sum, metric.count});
  }
  std::move(plain).append_to(out);
  std::move(points).append_to(out);
  std::move(sums).append_to(out);
}

}  // namespace

bool TextfileTables::add(const std::string& file, std::vector<PromFamily> families) {
  bool consistent = true;
  for (PromFamily& part : families) {
    const auto [at, is_new] = by_name_.try_emplace(part.name, families_.size());
    if (is_new) {
      families_.emplace_back();
      // "x_count" beside a histogram "x" of another file would be two families of one name.
      for (const std::string& name : series_names(part)) {
        families_.back().collides |= !series_names_.insert(name).second;
      }
    }
    Merged& merged = families_[at->second];
    if (part.help) {
      if (merged.has_help && merged.help != *part.help) {
        consistent = false;
        continue;
      }
      merged.help = *part.help;
      merged.has_help = true;
    }
    merged.files.push_back(file);
    if (merged.parts.empty() || merged.parts.front().kind == part.kind) {
      merged.parts.push_back(std::move(part));
    }
  }
  return consistent;
}

std::vector<Table> TextfileTables::build() const {
  std::vector<Table> out;
  std::unordered_set<std::string> seen;
  for (const Merged& merged : families_) {
    if (merged.collides) {
      continue;
    }
    std::string help = merged.help;
    if (!merged.has_help) {
      help = "Metric read from ";
      for (std::size_t i = 0; i < merged.files.size(); ++i) {
        help.append(i == 0 ? "" : ", ").append(merged.files[i]);
      }
    }
    seen.clear();
    for (const PromFamily& part : merged.parts) {
      append_part(part, help, seen, out);
    }
  }
  return out;
}

std::string go_number(double value) {
  if (std::isnan(value)) {
    return "NaN";
  }
  if (std::isinf(value)) {
    return value > 0 ? "+Inf" : "-Inf";
  }
  std::array<char, 64> text{};
  const auto scientific =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific);
  std::string out(text.data(), scientific.ptr);
  const auto exponent = std::stoi(out.substr(out.find('e') + 1));
  if (exponent < -4 || exponent >= 6) {
    return out;
  }
  const auto fixed =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  return std::string(text.data(), fixed.ptr);
}

}  // namespace tidegauge
