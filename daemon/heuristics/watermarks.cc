// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/watermarks.h"

#include <algorithm>
#include <bit>

#include "collectors/core/text.h"

namespace tidegauge::heuristics {

namespace {

// MAX_NR_ZONES is below it (include/linux/page-flags-layout.h).
constexpr std::size_t kMostZoneTypes = 8;

constexpr std::size_t kNoRow = static_cast<std::size_t>(-1);

// What kswapd's own test sees above high.
std::optional<double> above_high(const ZoneReading& zone, BalanceRule rule) {
  if (!zone.headroom_high_pages) {
    return std::nullopt;
  }
  return *zone.headroom_high_pages +
         (rule == BalanceRule::kEveryZone ? zone.protection_pages.value_or(0) : 0);
}

// Of the headrooms of populated zones; see NodeWatermarks.
std::optional<double> sum_headroom(std::span<const ZoneReading> zones,
                                   std::optional<double> ZoneReading::*headroom) {
  std::optional<double> best;
  double sum = 0;
  for (const ZoneReading& zone : zones) {
    if (!zone.is_populated) {
      continue;
    }
    const std::optional<double>& pages = zone.*headroom;
    if (!pages) {
      return std::nullopt;
    }
    best = std::max(best.value_or(*pages), *pages);
    sum += std::max(*pages, 0.0);
  }
  return best && *best > 0 ? std::optional(sum) : best;
}

std::optional<double> sum_known(std::span<const ZoneReading> zones,
                                std::optional<double> ZoneReading::*pages) {
  std::optional<double> sum;
  for (const ZoneReading& zone : zones) {
    if (zone.is_populated && zone.*pages) {
      sum = sum.value_or(0) + *(zone.*pages);
    }
  }
  return sum;
}

void measure_balance(std::span<const ZoneReading> zones, BalanceRule rule, NodeWatermarks& out) {
  std::size_t populated = 0;
  std::size_t balanced = 0;
  double above = 0;  // of zones above high
  double high = 0;
  for (const ZoneReading& zone : zones) {
    if (!zone.is_populated) {
      continue;
    }
    const auto pages = above_high(zone, rule);
    if (!pages) {
      return;
    }
    ++populated;
    high += *zone.high_pages;
    if (*pages > 0) {
      ++balanced;
      above += *pages;
    }
  }
  if (populated == 0) {
    return;
  }
  out.is_balanced = rule == BalanceRule::kAnyZone ? balanced != 0 : balanced == populated;
  out.is_far_above_high = *out.is_balanced && above > 2 * high;
}

}  // namespace

void measure_headroom(ZoneReading& zone) {
  const auto headroom = [&](const std::optional<double>& mark) -> std::optional<double> {
    if (!zone.is_populated || !zone.free_pages || !mark) {
      return std::nullopt;
    }
    return *zone.free_pages - zone.free_cma_pages.value_or(0) - *mark -
           zone.protection_pages.value_or(0);
  };
  zone.headroom_min_pages = headroom(zone.min_pages);
  zone.headroom_low_pages = headroom(zone.low_pages);
  zone.headroom_high_pages = headroom(zone.high_pages);
}

NodeWatermarks measure_node(std::span<const ZoneReading> zones, BalanceRule rule) {
  NodeWatermarks out;
  out.managed_pages = sum_known(zones, &ZoneReading::managed_pages);
  out.boost_pages = sum_known(zones, &ZoneReading::boost_pages);
  out.headroom_min_pages = sum_headroom(zones, &ZoneReading::headroom_min_pages);
  out.headroom_low_pages = sum_headroom(zones, &ZoneReading::headroom_low_pages);
  out.headroom_high_pages = sum_headroom(zones, &ZoneReading::headroom_high_pages);
  if (out.headroom_low_pages) {
    out.free_pages = *sum_known(zones, &ZoneReading::free_pages) -
                     sum_known(zones, &ZoneReading::free_cma_pages).value_or(0);
  }
  measure_balance(zones, rule, out);
  return out;
}

bool WatermarkReader::read(const Section& section, std::vector<ZoneReading>& zones) {
  const bool is_other = shapes_.changed(section);
  if (is_other) {
    resolve(section, zones);
  }
  for (std::size_t i = 0; i < zones.size(); ++i) {
    ZoneReading& zone = zones[i];
    const std::size_t row = rows_[i];
    zone.present_pages = pages_at(section, present_, row);
    zone.managed_pages = pages_at(section, managed_, row);
    zone.free_pages = pages_at(section, free_, row);
    zone.free_cma_pages = pages_at(section, cma_, row);
    zone.min_pages = pages_at(section, min_, row);
    zone.low_pages = pages_at(section, low_, row);
    zone.high_pages = pages_at(section, high_, row);
    zone.boost_pages = pages_at(section, boost_, row);
    zone.protection_pages = protection(section, protection_rows_[i]);
    // "managed" came with 3.8; before, what is present tells. Empty zones have no count of free pages.
    const auto size = zone.managed_pages ? zone.managed_pages : zone.present_pages;
    zone.is_populated = size ? *size > 0 : zone.free_pages.has_value();
    measure_headroom(zone);
  }
  return is_other;
}

void WatermarkReader::resolve(const Section& section, std::vector<ZoneReading>& zones) {
  zones.clear();
  rows_.clear();
  protection_rows_.clear();
  protection_.clear();
  free_ = find_cells(section, "node_zoneinfo_nr_free_pages");
  min_ = find_cells(section, "node_zoneinfo_min_pages");
  low_ = find_cells(section, "node_zoneinfo_low_pages");
  high_ = find_cells(section, "node_zoneinfo_high_pages");
  present_ = find_cells(section, "node_zoneinfo_present_pages");
  managed_ = find_cells(section, "node_zoneinfo_managed_pages");
  boost_ = find_cells(section, "tidegauge_zone_boost_pages");
  cma_ = find_cells(section, "tidegauge_zone_cma_free_pages");
  for (std::size_t i = 0; i < kMostZoneTypes; ++i) {
    if (const auto at = find_cells(section, "node_zoneinfo_protection_" + std::to_string(i))) {
      protection_.push_back(*at);
    }
  }
  if (!min_) {
    return;
  }
  const Table& table = section.tables[min_->table];
  std::size_t nodes = 0;
  for (std::size_t row = 0; row < table.shape->rows.size() && zones.size() < kMostZones; ++row) {
    const auto node = label_at(table, "node", row);
    const auto name = label_at(table, "zone", row);
    const auto number = node ? parse_unsigned(*node) : std::nullopt;
    if (!name || !number || *number >= UINT32_MAX) {
      continue;
    }
    // The kernel lists zones node by node. Anything else is no zoneinfo.
    const auto is_known = [&](const ZoneReading& zone) { return zone.node_number == *number; };
    const bool goes_on = !zones.empty() && is_known(zones.back());
    if (!goes_on && (nodes == kMostNodes || std::any_of(zones.begin(), zones.end(), is_known))) {
      continue;
    }
    nodes += goes_on ? 0 : 1;
    ZoneReading& zone = zones.emplace_back();
    zone.node = *node;
    zone.zone = *name;
    zone.node_number = static_cast<std::uint32_t>(*number);
    rows_.push_back(row);
    protection_rows_.push_back(kNoRow);
    if (protection_.empty()) {
      continue;
    }
    const Table& other = section.tables[protection_.front().table];
    for (std::size_t i = 0; i < other.shape->rows.size(); ++i) {
      if (label_at(other, "node", i) == node && label_at(other, "zone", i) == name) {
        protection_rows_.back() = i;
        break;
      }
    }
  }
}

std::optional<double> WatermarkReader::protection(const Section& section, std::size_t row) const {
  std::optional<double> most;
  for (const CellColumn& at : protection_) {
    if (const auto pages = pages_at(section, at, row)) {
      most = std::max(most.value_or(0), *pages);
    }
  }
  return most;
}

}  // namespace tidegauge::heuristics
