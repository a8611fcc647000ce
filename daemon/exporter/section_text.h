// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sections as text. What does not change between ticks (headers, names, labels) is rendered once per
// Shape; a tick copies it and writes the numbers between. prometheus-cpp's serializer costs 30 times
// as much for the same series.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/section.h"

namespace tidegauge {

// Whether a family is written for this collector: it may be switched off by the configuration, and it
// may belong to another collector, which a textfile must not shadow.
enum class FamilyVerdict : std::uint8_t { kWrite, kSwitchedOff, kCollides };
using FamilyFilter = std::function<FamilyVerdict(std::string_view family)>;

// Pre-rendered text of one Shape. Immutable.
class ShapeText {
 public:
  ShapeText(const Shape& shape, const FamilyFilter& filter);

  // Appends the present cells of `table`, which must have the Shape this was made from. A header is
  // left out when `last_family` (the family written before in this Section) is the same.
  void append(std::string& out, const Table& table, std::string_view& last_family) const;

  // Series that another row of the Shape has too (two names that sanitise to one), or whose family
  // belongs to another collector. They are not written: one such line spoils a whole scrape.
  [[nodiscard]] std::size_t suppressed() const { return suppressed_; }

 private:
  struct Family {
    std::string name;
    std::uint32_t header_end;  // in text_
    std::uint32_t first_cell;  // in cells_
    std::uint32_t last_cell;   // one past
  };
  struct Cell {
    std::uint32_t text_end;  // in text_; begins where the one before ends
    std::uint32_t index;     // in Table::values
    NumberType type;
    Scale scale;
  };

  std::string text_;
  std::vector<Family> families_;
  std::vector<Cell> cells_;
  std::size_t suppressed_ = 0;
};

// One collector's text, kept while its Section stays the same. Not thread-safe.
class SectionText {
 public:
  explicit SectionText(FamilyFilter filter) : filter_(std::move(filter)) {}

  // The text of `section`, rendered now if it is not the one rendered last; empty for null.
  const std::string& render(const std::shared_ptr<const Section>& section);
  [[nodiscard]] std::size_t suppressed() const;

 private:
  struct CachedShape {
    std::shared_ptr<const Shape> shape;
    std::unique_ptr<const ShapeText> text;
  };
  FamilyFilter filter_;
  std::vector<CachedShape> shapes_;  // parallel to the Section's tables
  std::shared_ptr<const Section> section_;
  std::string text_;
};

}  // namespace tidegauge
