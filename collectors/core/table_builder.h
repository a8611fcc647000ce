// SPDX-License-Identifier: Apache-2.0
#pragma once

// Builders turn what a parser found into Tables. A collector keeps one builder per table for its
// whole life and fills it once per run: begin(), rows, take(). While labels and names stay the same,
// which is nearly always, the Table shares its Shape with the previous one and a run costs one
// allocation and no string. Not thread-safe; owned by the collector.

#include <bit>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "collectors/core/column.h"
#include "collectors/core/section.h"

namespace tidegauge {

using LabelValues = std::span<const std::string_view>;

// Rows with a fixed list of columns; every cell starts absent.
class RowTable {
 public:
  RowTable(std::vector<std::string> label_names, std::vector<ColumnInfo> columns);

  void begin();  // forgets the rows of a run that failed half-way
  void row(LabelValues labels);
  void row(std::initializer_list<std::string_view> labels) {
    row(LabelValues(labels.begin(), labels.size()));
  }
  // In the row begun last. `bits` is the number's own bits for kSigned and kReal columns.
  void set(std::size_t column, std::uint64_t bits);
  Table take();

  [[nodiscard]] const std::vector<ColumnInfo>& columns() const { return columns_; }

 private:
  std::vector<std::string> label_names_;
  std::vector<ColumnInfo> columns_;
  std::shared_ptr<const Shape> shape_;
  std::vector<std::string> raw_labels_;  // unsanitised label values, row-major, for comparing
  bool changed_ = true;
  std::size_t rows_ = 0;
  std::size_t absent_cells_ = 0;
  std::vector<std::uint64_t> values_;
  std::vector<std::uint64_t> absent_;
};

template <class S>
ColumnInfo column_info(const Column<S>& column) {
  ColumnInfo info;
  info.family = column.name;
  info.help = column.help;
  info.kind = column.kind;
  info.scale = column.scale;
  info.type = std::visit(
      [](auto member) {
        using V = std::remove_reference_t<decltype(std::declval<S&>().*member)>;
        if constexpr (std::is_same_v<V, double> || std::is_same_v<V, std::optional<double>>) {
          return NumberType::kReal;
        } else if constexpr (std::is_same_v<V, std::int64_t> ||
                             std::is_same_v<V, std::optional<std::int64_t>>) {
          return NumberType::kSigned;
        } else {
          return NumberType::kUnsigned;
        }
      },
      column.member);
  if (!column.label.name.empty()) {
    info.labels.push_back({std::string(column.label.name), std::string(column.label.value)});
  }
  return info;
}

// Rows that are structs, encoded through their column table. An empty optional is an absent cell.
template <class S>
class StructTable {
 public:
  explicit StructTable(std::span<const Column<S>> columns,
                       std::vector<std::string> label_names = {})
      : columns_(columns), table_(std::move(label_names), infos(columns)) {}

  void begin() { table_.begin(); }
  void add(std::initializer_list<std::string_view> labels, const S& row) {
    table_.row(labels);
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      std::visit([&](auto member) { encode(i, row.*member); }, columns_[i].member);
    }
  }
  Table take() { return table_.take(); }

 private:
  static std::vector<ColumnInfo> infos(std::span<const Column<S>> columns) {
    std::vector<ColumnInfo> out;
    out.reserve(columns.size());
    for (const Column<S>& column : columns) {
      out.push_back(column_info(column));
    }
    return out;
  }
  template <class V>
  void encode(std::size_t column, const V& value) {
    if constexpr (requires { value.has_value(); }) {
      if (value.has_value()) {
        encode(column, *value);
      }
    } else {
      table_.set(column, std::bit_cast<std::uint64_t>(value));
    }
  }

  std::span<const Column<S>> columns_;
  RowTable table_;
};

// The way back, for heuristics and replay: columns are found by name, so a table of another build
// decodes as far as it goes; what it lacks keeps S's default (an empty optional).
template <class S>
S decode(std::span<const Column<S>> columns, const Table& table, std::size_t row) {
  S out{};
  for (const Column<S>& column : columns) {
    const auto at = find_column(*table.shape, column.name, column.label);
    // A column that another build counts in other units or as another type is not ours.
    const ColumnInfo wanted = column_info(column);
    if (!at || !table.has(row, *at) || table.shape->columns[*at].type != wanted.type ||
        !(table.shape->columns[*at].scale == wanted.scale)) {
      continue;
    }
    const std::uint64_t bits = table.raw(row, *at);
    std::visit(
        [&](auto member) {
          auto& field = out.*member;
          using V = std::remove_reference_t<decltype(field)>;
          if constexpr (requires { typename V::value_type; }) {
            field = std::bit_cast<typename V::value_type>(bits);
          } else {
            field = std::bit_cast<V>(bits);
          }
        },
        column.member);
  }
  return out;
}

// One value per label set: info families, slab caches, interrupts.
class ValueTable {
 public:
  ValueTable(std::string family, std::string help, MetricKind kind,
             std::vector<std::string> label_names, Scale scale = {},
             NumberType type = NumberType::kUnsigned);
  void begin() { table_.begin(); }
  void add(std::initializer_list<std::string_view> labels, std::uint64_t bits) {
    add(LabelValues(labels.begin(), labels.size()), bits);
  }
  void add(LabelValues labels, std::uint64_t bits) {
    table_.row(labels);
    table_.set(0, bits);
  }
  void add_real(std::initializer_list<std::string_view> labels, double value) {
    add(labels, std::bit_cast<std::uint64_t>(value));
  }
  Table take() { return table_.take(); }

 private:
  RowTable table_;
};

// Values whose names come from the kernel (vmstat, meminfo, sysctl). A rule maps a kernel name to a
// column, or to nothing when it is not wanted; it is asked only when the sequence of names changes.
class NamedTable {
 public:
  using Rule = std::function<std::optional<ColumnInfo>(std::string_view name)>;

  NamedTable(std::vector<std::string> label_names, Rule rule);

  void begin();
  void row(std::initializer_list<std::string_view> labels);
  void add(std::string_view name, std::uint64_t bits) {
    if (position_ < sequence_.size() && sequence_[position_].row == row_count_ &&
        sequence_[position_].name == name) [[likely]] {
      sequence_[position_].bits = bits;
      ++position_;
    } else {
      add_new(name, bits);
    }
  }
  Table take();

 private:
  struct Cell {
    std::string name;
    std::size_t row;
    std::size_t column;
    std::uint64_t bits;
  };
  static constexpr std::size_t kNoColumn = static_cast<std::size_t>(-1);

  void add_new(std::string_view name, std::uint64_t bits);
  void resolve();

  Rule rule_;
  std::vector<std::string> label_names_;
  std::vector<ColumnInfo> columns_;
  std::vector<Cell> sequence_;
  std::vector<std::string> raw_labels_;
  std::size_t position_ = 0;
  std::size_t row_count_ = 0;  // rows begun; a cell's row is row_count_ - 1, stored as row_count_
  bool changed_ = true;
  std::vector<std::uint64_t> absent_;  // scratch of take()
  std::shared_ptr<const Shape> shape_;
};

}  // namespace tidegauge
