// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/table_builder.h"

#include <algorithm>
#include <unordered_map>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

// Compares the labels of row number `row` with what `raw` remembers and overwrites on a difference.
// Returns whether they were the same.
bool remember_labels(std::vector<std::string>& raw, std::size_t row, std::size_t width,
                     LabelValues labels) {
  bool same = true;
  const std::size_t first = row * width;
  if (raw.size() < first + width) {
    raw.resize(first + width);
    same = false;
  }
  for (std::size_t i = 0; i < width; ++i) {
    const std::string_view label = i < labels.size() ? labels[i] : std::string_view{};
    if (raw[first + i] != label) {
      raw[first + i].assign(label);
      same = false;
    }
  }
  return same;
}

std::vector<std::vector<std::string>> sanitized_rows(const std::vector<std::string>& raw,
                                                     std::size_t rows, std::size_t width) {
  std::vector<std::vector<std::string>> out(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    out[row].reserve(width);
    for (std::size_t i = 0; i < width; ++i) {
      out[row].push_back(sanitize_label(raw[row * width + i]));
    }
  }
  return out;
}

// Equal for two columns exactly when their series are.
std::string series_key(const ColumnInfo& info) {
  std::string key = info.family + info.suffix;
  for (const Label& label : info.labels) {
    key.append(1, '\0').append(label.name).append(1, '\0').append(label.value);
  }
  return key;
}

}  // namespace

RowTable::RowTable(std::vector<std::string> label_names, std::vector<ColumnInfo> columns)
    : label_names_(std::move(label_names)), columns_(std::move(columns)) {}

void RowTable::begin() {
  rows_ = 0;
  absent_cells_ = 0;
  values_.clear();
  absent_.clear();
  if (shape_) {
    values_.reserve(shape_->rows.size() * columns_.size());
  }
}

void RowTable::row(LabelValues labels) {
  if (!remember_labels(raw_labels_, rows_, label_names_.size(), labels)) {
    changed_ = true;
  }
  ++rows_;
  const std::size_t begin = values_.size();
  values_.resize(begin + columns_.size());
  absent_.resize((values_.size() + 63) / 64);
  for (std::size_t i = begin; i < values_.size(); ++i) {
    absent_[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  absent_cells_ += columns_.size();
}

void RowTable::set(std::size_t column, std::uint64_t bits) {
  const std::size_t i = values_.size() - columns_.size() + column;
  values_[i] = bits;
  std::uint64_t& word = absent_[i / 64];
  const std::uint64_t mask = std::uint64_t{1} << (i % 64);
  if ((word & mask) != 0) {
    word &= ~mask;
    --absent_cells_;
  }
}

Table RowTable::take() {
  if (changed_ || !shape_ || shape_->rows.size() != rows_) {
    raw_labels_.resize(rows_ * label_names_.size());
    auto shape = std::make_shared<Shape>();
    shape->label_names = label_names_;
    shape->columns = columns_;
    shape->rows = sanitized_rows(raw_labels_, rows_, label_names_.size());
    shape_ = std::move(shape);
    changed_ = false;
  }
  Table table;
  table.shape = shape_;
  table.values = std::move(values_);
  if (absent_cells_ != 0) {
    table.absent = std::move(absent_);
  }
  begin();
  return table;
}

ValueTable::ValueTable(std::string family, std::string help, MetricKind kind,
                       std::vector<std::string> label_names, Scale scale, NumberType type)
    : table_(std::move(label_names),
             {ColumnInfo{std::move(family), {}, std::move(help), kind, type, scale, {}}}) {}

NamedTable::NamedTable(std::vector<std::string> label_names, Rule rule)
    : rule_(std::move(rule)), label_names_(std::move(label_names)) {}

void NamedTable::begin() {
  position_ = 0;
  row_count_ = 0;
}

void NamedTable::row(std::initializer_list<std::string_view> labels) {
  if (!remember_labels(raw_labels_, row_count_, label_names_.size(),
                       LabelValues(labels.begin(), labels.size()))) {
    changed_ = true;
  }
  ++row_count_;
}

void NamedTable::add_new(std::string_view name, std::uint64_t bits) {
  changed_ = true;
  Cell cell{std::string(name), row_count_, kNoColumn, bits};
  if (position_ < sequence_.size()) {
    sequence_[position_] = std::move(cell);
  } else {
    sequence_.push_back(std::move(cell));
  }
  ++position_;
}

void NamedTable::resolve() {
  std::unordered_map<std::string_view, std::size_t> by_name;
  std::unordered_map<std::string, std::size_t> by_series;
  std::vector<ColumnInfo> columns;
  for (Cell& cell : sequence_) {
    const auto [at, is_new] = by_name.try_emplace(cell.name, kNoColumn);
    if (is_new) {
      if (auto info = rule_(cell.name)) {
        // Names that differ only in what a metric name cannot hold share a column: a series never
        // appears twice.
        const auto [series, unseen] = by_series.try_emplace(series_key(*info), columns.size());
        at->second = series->second;
        if (unseen) {
          columns.push_back(std::move(*info));
        }
      }
    }
    cell.column = at->second;
  }
  // Columns of one family must stand together; families keep the order of their first column.
  std::unordered_map<std::string_view, std::size_t> family_rank;
  for (const ColumnInfo& column : columns) {
    family_rank.try_emplace(column.family, family_rank.size());
  }
  std::vector<std::size_t> order(columns.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return family_rank[columns[a].family] < family_rank[columns[b].family];
  });
  std::vector<std::size_t> place(columns.size());
  columns_.clear();
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[order[i]] = i;
    columns_.push_back(columns[order[i]]);
  }
  for (Cell& cell : sequence_) {
    if (cell.column != kNoColumn) {
      cell.column = place[cell.column];
    }
  }
}

Table NamedTable::take() {
  const std::size_t rows = label_names_.empty() ? 1 : row_count_;
  if (changed_ || !shape_ || position_ != sequence_.size() || shape_->rows.size() != rows) {
    sequence_.resize(position_);
    raw_labels_.resize(rows * label_names_.size());
    resolve();
    auto shape = std::make_shared<Shape>();
    shape->label_names = label_names_;
    shape->columns = columns_;
    shape->rows = sanitized_rows(raw_labels_, rows, label_names_.size());
    shape_ = std::move(shape);
    changed_ = false;
  }
  Table table;
  table.shape = shape_;
  const std::size_t cells = rows * columns_.size();
  table.values.resize(cells);
  std::size_t present = 0;
  absent_.assign((cells + 63) / 64, ~std::uint64_t{0});
  for (const Cell& cell : sequence_) {
    if (cell.column == kNoColumn) {
      continue;
    }
    const std::size_t row = cell.row == 0 ? 0 : cell.row - 1;
    if (row >= rows) {  // added before the first row() of a labelled table
      continue;
    }
    const std::size_t i = row * columns_.size() + cell.column;
    table.values[i] = cell.bits;
    const std::uint64_t mask = std::uint64_t{1} << (i % 64);
    present += (absent_[i / 64] & mask) != 0 ? 1U : 0U;
    absent_[i / 64] &= ~mask;
  }
  if (present != cells) {
    table.absent = absent_;
  }
  begin();
  return table;
}

}  // namespace tidegauge
