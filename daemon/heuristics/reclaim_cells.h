// SPDX-License-Identifier: Apache-2.0
#pragma once

// Cells of a Snapshot's tables for the memory model: found by name once per Shape, read by place every tick.
// What is missing, of another type or beyond belief is absent, never 0.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "collectors/core/section.h"

namespace tidegauge::heuristics {

// 2^46 pages of 64 KiB are 4 EiB; sums over every zone stay exact in a double.
inline constexpr std::uint64_t kMostPages = std::uint64_t{1} << 46U;

// Nodes whose state is kept; zones of others are left out.
inline constexpr std::size_t kMostNodes = 64;
inline constexpr std::size_t kMostZones = 4 * kMostNodes;

// Tells when a section's tables have other names or labels than the last time. Holds the Shapes, so that a new
// one cannot have an old one's address.
class SectionShapes {
 public:
  bool changed(const Section& section);

 private:
  std::vector<std::shared_ptr<const Shape>> shapes_;
};

struct CellColumn {
  std::size_t table = 0;
  std::size_t column = 0;
};

// The first table of the section with such a column. `suffix`: of histograms ("_sum").
std::optional<CellColumn> find_cells(const Section& section, std::string_view family,
                                     std::string_view suffix = {});

// An integer of at least 0.
std::optional<std::uint64_t> count_at(const Section& section, std::optional<CellColumn> at,
                                      std::size_t row);
// The same as pages, when believable.
std::optional<double> pages_at(const Section& section, std::optional<CellColumn> at,
                               std::size_t row);
// In base units; finite and at least 0.
std::optional<double> value_at(const Section& section, std::optional<CellColumn> at,
                               std::size_t row);

// The label of this name in a row; none when the table has no such label.
std::optional<std::string_view> label_at(const Table& table, std::string_view name,
                                         std::size_t row);

// Growth of a counter between two readings. None when one is unknown, when no time passed or too much (a mean of
// a quarter of an hour says nothing about now), when it fell, and when it rose faster than anything can.
std::optional<double> growth_per_second(std::optional<std::uint64_t> before,
                                        std::optional<std::uint64_t> now, std::int64_t elapsed_ns);

inline constexpr std::int64_t kLongestGapNs = 900'000'000'000;

}  // namespace tidegauge::heuristics
