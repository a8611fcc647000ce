// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/reclaim_cells.h"

#include <cmath>

namespace tidegauge::heuristics {

namespace {

// 2^53 a second: nanoseconds of nine million threads, and more pages than memory buses carry.
constexpr double kFastest = 9007199254740992.0;

bool has_cell(const Section& section, const std::optional<CellColumn>& at, std::size_t row) {
  return at && at->table < section.tables.size() &&
         row < section.tables[at->table].shape->rows.size() &&
         section.tables[at->table].has(row, at->column);
}

}  // namespace

bool SectionShapes::changed(const Section& section) {
  bool same = shapes_.size() == section.tables.size();
  for (std::size_t i = 0; same && i < shapes_.size(); ++i) {
    same = shapes_[i] == section.tables[i].shape;
  }
  if (!same) {
    shapes_.clear();
    for (const Table& table : section.tables) {
      shapes_.push_back(table.shape);
    }
  }
  return !same;
}

std::optional<CellColumn> find_cells(const Section& section, std::string_view family,
                                     std::string_view suffix) {
  for (std::size_t table = 0; table < section.tables.size(); ++table) {
    const auto& columns = section.tables[table].shape->columns;
    for (std::size_t column = 0; column < columns.size(); ++column) {
      const ColumnInfo& info = columns[column];
      if (info.family == family && info.suffix == suffix && info.labels.empty()) {
        return CellColumn{table, column};
      }
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> count_at(const Section& section, std::optional<CellColumn> at,
                                      std::size_t row) {
  if (!has_cell(section, at, row)) {
    return std::nullopt;
  }
  const Table& table = section.tables[at->table];
  const std::uint64_t bits = table.raw(row, at->column);
  switch (table.shape->columns[at->column].type) {
    case NumberType::kUnsigned:
      return bits;
    case NumberType::kSigned:
      return static_cast<std::int64_t>(bits) < 0 ? std::nullopt : std::optional(bits);
    case NumberType::kReal:
      break;
  }
  return std::nullopt;
}

std::optional<double> pages_at(const Section& section, std::optional<CellColumn> at,
                               std::size_t row) {
  const auto count = count_at(section, at, row);
  return count && *count <= kMostPages ? std::optional(static_cast<double>(*count)) : std::nullopt;
}

std::optional<double> value_at(const Section& section, std::optional<CellColumn> at,
                               std::size_t row) {
  if (!has_cell(section, at, row)) {
    return std::nullopt;
  }
  const double value = section.tables[at->table].value(row, at->column);
  return std::isfinite(value) && value >= 0 ? std::optional(value) : std::nullopt;
}

std::optional<std::string_view> label_at(const Table& table, std::string_view name,
                                         std::size_t row) {
  const Shape& shape = *table.shape;
  for (std::size_t i = 0; i < shape.label_names.size(); ++i) {
    if (shape.label_names[i] == name && row < shape.rows.size() && i < shape.rows[row].size()) {
      return shape.rows[row][i];
    }
  }
  return std::nullopt;
}

std::optional<double> growth_per_second(std::optional<std::uint64_t> before,
                                        std::optional<std::uint64_t> now, std::int64_t elapsed_ns) {
  if (!before || !now || elapsed_ns <= 0 || elapsed_ns > kLongestGapNs || *now < *before) {
    return std::nullopt;
  }
  const double rate = static_cast<double>(*now - *before) * 1e9 / static_cast<double>(elapsed_ns);
  return rate <= kFastest ? std::optional(rate) : std::nullopt;
}

}  // namespace tidegauge::heuristics
