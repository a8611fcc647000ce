// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/section.h"

#include <bit>

namespace tidegauge {

double Table::value(std::size_t row, std::size_t column) const {
  const ColumnInfo& info = shape->columns[column];
  const std::uint64_t bits = raw(row, column);
  double number = 0;
  switch (info.type) {
    case NumberType::kUnsigned:
      number = static_cast<double>(bits);
      break;
    case NumberType::kSigned:
      number = static_cast<double>(static_cast<std::int64_t>(bits));
      break;
    case NumberType::kReal:
      number = std::bit_cast<double>(bits);
      break;
  }
  const double num = info.scale.num;
  const double den = info.scale.den;
  return info.scale.by_reciprocal ? number * (num / den) : number * num / den;
}

const SnapshotEntry* Snapshot::find(std::string_view collector) const {
  for (const SnapshotEntry& entry : entries) {
    if (entry.collector == collector) {
      return &entry;
    }
  }
  return nullptr;
}

std::optional<std::size_t> find_column(const Shape& shape, std::string_view family,
                                       ConstantLabel label) {
  for (std::size_t i = 0; i < shape.columns.size(); ++i) {
    const ColumnInfo& column = shape.columns[i];
    if (column.family != family || !column.suffix.empty()) {
      continue;
    }
    const bool matches = label.name.empty()
                             ? column.labels.empty()
                             : column.labels.size() == 1 && column.labels[0].name == label.name &&
                                   column.labels[0].value == label.value;
    if (matches) {
      return i;
    }
  }
  return std::nullopt;
}

}  // namespace tidegauge
