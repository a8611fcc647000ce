// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/fragmentation.h"

#include "collectors/core/text.h"

namespace tidegauge::heuristics {

namespace {

// MAX_PAGE_ORDER is 10, with large pages 13 or so; the collector's limit.
constexpr std::size_t kMostOrders = 32;

}  // namespace

bool measure_fragmentation(std::span<const std::uint64_t> free_blocks,
                           std::vector<OrderFragmentation>& out) {
  out.clear();
  if (free_blocks.size() > kMostOrders) {
    return false;
  }
  std::uint64_t free_pages = 0;
  std::uint64_t total_blocks = 0;
  for (std::size_t order = 0; order < free_blocks.size(); ++order) {
    if (free_blocks[order] > (kMostPages >> order)) {
      return false;
    }
    free_pages += free_blocks[order] << order;
    total_blocks += free_blocks[order];
  }
  out.resize(free_blocks.size());
  std::uint64_t suitable_pages = free_pages;  // in blocks of at least the order
  for (std::size_t order = 0; order < out.size(); ++order) {
    OrderFragmentation& index = out[order];
    const auto thousandths = [&](std::uint64_t pages) {
      return static_cast<int>(pages * 1000 / free_pages);
    };
    index.unusable_free_index = free_pages == 0 ? 1000 : thousandths(free_pages - suitable_pages);
    if (suitable_pages != 0) {
      index.fragmentation_index = -1000;
    } else if (total_blocks != 0) {
      const std::uint64_t requests = free_pages * 1000 >> order;  // that it would be enough for
      index.fragmentation_index = 1000 - static_cast<int>((1000 + requests) / total_blocks);
    }
    suitable_pages -= free_blocks[order] << order;
  }
  return true;
}

void FragmentationReader::read(const Section& section, std::vector<ZoneFragmentation>& zones) {
  if (shapes_.changed(section)) {
    resolve(section, zones);
  }
  for (std::size_t i = 0; i < zones.size(); ++i) {
    ZoneFragmentation& zone = zones[i];
    zone.largest_order.reset();
    blocks_.clear();
    for (std::size_t order = 0; order < columns_.size(); ++order) {
      const auto blocks = count_at(section, CellColumn{table_, columns_[order]}, rows_[i]);
      if (!blocks) {
        break;
      }
      blocks_.push_back(*blocks);
      if (*blocks != 0) {
        zone.largest_order = order;
      }
    }
    if (blocks_.size() != columns_.size() || !measure_fragmentation(blocks_, zone.orders)) {
      zone.orders.clear();
      zone.largest_order.reset();
    }
  }
}

void FragmentationReader::resolve(const Section& section, std::vector<ZoneFragmentation>& zones) {
  zones.clear();
  rows_.clear();
  columns_.clear();
  for (table_ = 0; table_ < section.tables.size() && columns_.empty(); ++table_) {
    const Shape& shape = *section.tables[table_].shape;
    for (std::size_t order = 0; order < kMostOrders; ++order) {
      const std::string size = std::to_string(order);
      const auto column = find_column(shape, "node_buddyinfo_blocks", {"size", size});
      if (!column) {
        break;
      }
      columns_.push_back(*column);
    }
  }
  if (columns_.empty()) {
    return;
  }
  --table_;  // where they were found
  const Table& table = section.tables[table_];
  for (std::size_t row = 0; row < table.shape->rows.size() && zones.size() < kMostZones; ++row) {
    const auto node = label_at(table, "node", row);
    const auto name = label_at(table, "zone", row);
    if (node && name) {
      ZoneFragmentation& zone = zones.emplace_back();
      zone.node = *node;
      zone.zone = *name;
      rows_.push_back(row);
    }
  }
}

}  // namespace tidegauge::heuristics
