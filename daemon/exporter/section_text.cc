// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/section_text.h"

#include <unordered_set>

#include "daemon/exporter/text_format.h"

namespace tidegauge {

ShapeText::ShapeText(const Shape& shape, const FamilyFilter& filter) {
  const auto position = [this] { return static_cast<std::uint32_t>(text_.size()); };
  const std::size_t width = shape.columns.size();
  std::unordered_set<std::string> seen;
  for (std::size_t first = 0; first < width;) {
    const ColumnInfo& head = shape.columns[first];
    std::size_t last = first;
    while (last < width && shape.columns[last].family == head.family) {
      ++last;
    }
    const FamilyVerdict verdict = filter ? filter(head.family) : FamilyVerdict::kWrite;
    if (verdict != FamilyVerdict::kWrite) {
      suppressed_ += verdict == FamilyVerdict::kCollides ? (last - first) * shape.rows.size() : 0;
      first = last;
      continue;
    }
    append_header(text_, head.family, head.help, head.kind);
    Family family{head.family, position(), static_cast<std::uint32_t>(cells_.size()), 0};
    seen.clear();
    for (std::size_t row = 0; row < shape.rows.size(); ++row) {
      for (std::size_t column = first; column < last; ++column) {
        const ColumnInfo& info = shape.columns[column];
        const std::size_t begin = text_.size();
        SeriesName name(text_, info.family, info.suffix);
        for (std::size_t i = 0; i < shape.label_names.size(); ++i) {
          name.label(shape.label_names[i], shape.rows[row][i]);
        }
        for (const Label& label : info.labels) {
          name.label(label.name, label.value);
        }
        name.end();
        if (!seen.insert(text_.substr(begin)).second) {
          text_.resize(begin);
          ++suppressed_;
          continue;
        }
        cells_.push_back(
            {position(), static_cast<std::uint32_t>(row * width + column), info.type, info.scale});
      }
    }
    family.last_cell = static_cast<std::uint32_t>(cells_.size());
    families_.push_back(std::move(family));
    first = last;
  }
  text_.shrink_to_fit();
  cells_.shrink_to_fit();
}

void ShapeText::append(std::string& out, const Table& table, std::string_view& last_family) const {
  const bool dense = table.absent.empty();
  std::uint32_t at = 0;  // in text_
  for (const Family& family : families_) {
    bool header_due = last_family != family.name;
    const std::uint32_t header = at;
    at = family.header_end;
    for (std::uint32_t i = family.first_cell; i < family.last_cell; ++i) {
      const Cell& cell = cells_[i];
      const std::uint32_t begin = at;
      at = cell.text_end;
      if (!dense && ((table.absent[cell.index / 64] >> (cell.index % 64)) & 1U) != 0) {
        continue;
      }
      if (header_due) {
        out.append(text_, header, family.header_end - header);
        header_due = false;
        last_family = family.name;
      }
      out.append(text_, begin, cell.text_end - begin);
      append_value(out, table.values[cell.index], cell.type, cell.scale);
      out.push_back('\n');
    }
  }
}

const std::string& SectionText::render(const std::shared_ptr<const Section>& section) {
  if (section == section_) {
    return text_;
  }
  section_ = section;
  text_.clear();
  if (!section) {
    shapes_.clear();
    return text_;
  }
  shapes_.resize(section->tables.size());
  std::string_view last_family;
  for (std::size_t i = 0; i < shapes_.size(); ++i) {
    const Table& table = section->tables[i];
    CachedShape& cached = shapes_[i];
    if (cached.shape != table.shape) {
      cached.text = std::make_unique<const ShapeText>(*table.shape, filter_);
      cached.shape = table.shape;
    }
    cached.text->append(text_, table, last_family);
  }
  return text_;
}

std::size_t SectionText::suppressed() const {
  std::size_t total = 0;
  for (const CachedShape& cached : shapes_) {
    total += cached.text ? cached.text->suppressed() : 0;
  }
  return total;
}

}  // namespace tidegauge
