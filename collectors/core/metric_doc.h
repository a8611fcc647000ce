// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a collector can emit, as documentation and as a claim on family names.

#include <span>
#include <string>
#include <vector>

#include "collectors/core/column.h"

namespace tidegauge {

// A line of docs/metrics.md.
struct MetricDoc {
  std::string name;  // may hold a placeholder: node_vmstat_<name>
  MetricKind kind;
  std::vector<std::string> labels;
  std::string help;
};

// Documents a column table; families that span columns give one line.
template <class S>
void document(std::vector<MetricDoc>& out, std::span<const Column<S>> columns,
              const std::vector<std::string>& labels) {
  for (const Column<S>& column : columns) {
    std::vector<std::string> all = labels;
    if (!column.label.name.empty()) {
      all.emplace_back(column.label.name);
    }
    if (out.empty() || out.back().name != column.name) {
      out.push_back(
          {std::string(column.name), column.kind, std::move(all), std::string(column.help)});
    }
  }
}

}  // namespace tidegauge
