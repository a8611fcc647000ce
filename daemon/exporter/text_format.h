// SPDX-License-Identifier: Apache-2.0
#pragma once

// Pieces of the Prometheus text format 0.0.4. What they write is always parseable: labels and help
// texts are escaped, numbers are exact.

#include <cstdint>
#include <string>
#include <string_view>

#include "collectors/core/column.h"
#include "collectors/core/section.h"

namespace tidegauge {

inline constexpr std::string_view kTextContentType = "text/plain; version=0.0.4; charset=utf-8";

std::string_view type_name(MetricKind kind);

void append_label_value(std::string& out, std::string_view value);  // \ " and newline escaped
void append_header(std::string& out, std::string_view family, std::string_view help,
                   MetricKind kind);
// `name{a="b"} `, or `name ` without labels; the blank before the number included.
class SeriesName {
 public:
  SeriesName(std::string& out, std::string_view name, std::string_view suffix);
  void label(std::string_view name, std::string_view value);
  void end();

 private:
  std::string& out_;
  bool any_ = false;
};

void append_real(std::string& out, double value);  // shortest form that reads back the same
// A value in base units. Integers with a decimal scale are written exactly, without a double between.
void append_value(std::string& out, std::uint64_t bits, NumberType type, Scale scale);

}  // namespace tidegauge
