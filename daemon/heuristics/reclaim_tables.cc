// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/reclaim_tables.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tidegauge::heuristics {

namespace {

// PAGE_ALLOC_COSTLY_ORDER, above which the kernel does not try hard, and a huge page of x86-64. The other orders
// lie in between, and would be many series.
constexpr std::size_t kShownOrders[] = {3, 9};

ColumnInfo gauge(std::string_view family, std::string_view help, std::string_view label = {},
                 std::string_view value = {}) {
  ColumnInfo info;
  info.family = family;
  info.help = help;
  info.kind = MetricKind::kGauge;
  info.type = NumberType::kReal;
  if (!label.empty()) {
    info.labels = {{std::string(label), std::string(value)}};
  }
  return info;
}

std::vector<ColumnInfo> mark_columns(std::string_view family, std::string_view help) {
  return {gauge(family, help, "mark", "min"), gauge(family, help, "mark", "low"),
          gauge(family, help, "mark", "high")};
}

std::vector<ColumnInfo> zone_columns() {
  return mark_columns(
      "tidegauge_zone_headroom_bytes",
      "Free memory of the zone above the watermark, for ordinary allocations: without free CMA "
      "and what lowmem_reserve keeps from them. Negative below the mark. mark low: the zone gives "
      "nothing more before kswapd is woken, min: before allocations reclaim by themselves.");
}

std::vector<ColumnInfo> fragmentation_columns() {
  constexpr std::string_view kIndexHelp =
      "The kernel's fragmentation index for allocations of 2^order pages: -1, one would succeed; "
      "towards 0, it would fail for lack of memory; towards 1, because free memory lies in pieces.";
  constexpr std::string_view kUnusableHelp =
      "Share of the zone's free memory that lies in blocks of less than 2^order pages; 1 when "
      "nothing is free.";
  std::vector<ColumnInfo> out;
  for (const auto& [family, help] :
       {std::pair("tidegauge_zone_fragmentation_index", kIndexHelp),
        std::pair("tidegauge_zone_unusable_free_index", kUnusableHelp)}) {
    for (const std::size_t order : kShownOrders) {
      out.push_back(gauge(family, help, "order", std::to_string(order)));
    }
  }
  return out;
}

std::vector<ColumnInfo> node_columns() {
  auto out = mark_columns(
      "tidegauge_node_memory_headroom_bytes",
      "Free memory of the node above the watermark: the sum of what its zones have, or, when none "
      "has any, how far the best one is below (negative).");
  out.push_back(gauge("tidegauge_node_memory_time_to_low_seconds",
                      "Time until the node's free memory is down to low and kswapd is woken, at "
                      "the pace of the last minute. Only while it falls clearly, and within a "
                      "day."));
  out.push_back(gauge("tidegauge_node_memory_time_to_low_uncertainty_seconds",
                      "Half the width of the 95 % interval around that time."));
  constexpr std::string_view kReasonHelp =
      "1 for why the node's kswapd is awake. order0_watermark: no zone had free memory above high; "
      "high_order: large blocks are wanted; boost: marks are raised against fragmentation; other: "
      "it scans though free is far above high and none of these is known; unknown: data is "
      "missing. All 0 while it sleeps.";
  for (const char* reason : {"order0_watermark", "high_order", "boost", "other", "unknown"}) {
    out.push_back(gauge("tidegauge_kswapd_awake_reason", kReasonHelp, "reason", reason));
  }
  out.push_back(
      gauge("tidegauge_kswapd_gave_up",
            "1 when kswapd seems to have given up on the node: it is below low, "
            "allocations reclaim by themselves, and kswapd has scanned nothing for 5 s."));
  return out;
}

std::vector<ColumnInfo> host_columns() {
  return {
      gauge("tidegauge_reclaim_efficiency_ratio",
            "Pages reclaimed over pages scanned in the last 10 s, by kswapd and directly (sar's "
            "%vmeff). Absent when none was scanned."),
      gauge("tidegauge_dirty_background_ratio",
            "Dirty memory over the background threshold; above 1 the kernel writes it back."),
      gauge("tidegauge_dirty_freerun_ratio",
            "Dirty memory and memory under writeback over the middle of the two dirty thresholds; "
            "above 1 writers begin to be paused."),
  };
}

// Fills the columns of a row one after another.
class Cells {
 public:
  explicit Cells(RowTable& table) : table_(table) {}
  void next(std::optional<double> value) {
    if (value && std::isfinite(*value)) {
      table_.set(column_, std::bit_cast<std::uint64_t>(*value));
    }
    ++column_;
  }
  void next(bool value) { next(std::optional(value ? 1.0 : 0.0)); }

 private:
  RowTable& table_;
  std::size_t column_ = 0;
};

void add_node(const MemoryReading& reading, const NodeReading& node, RowTable& table) {
  table.row({node.node});
  Cells cells(table);
  cells.next(memory_bytes(reading, node.watermarks.headroom_min_pages));
  cells.next(memory_bytes(reading, node.watermarks.headroom_low_pages));
  cells.next(memory_bytes(reading, node.watermarks.headroom_high_pages));
  cells.next(node.time_to_low_seconds);
  cells.next(node.time_to_low_uncertainty_seconds);
  const KswapdReasons& reasons = node.kswapd.reasons;
  for (const bool holds : {reasons.order0_watermark, reasons.high_order, reasons.boost,
                           reasons.other, reasons.unknown}) {
    cells.next(holds);
  }
  cells.next(node.kswapd.gave_up ? std::optional(*node.kswapd.gave_up ? 1.0 : 0.0) : std::nullopt);
}

void add_fragmentation(const ZoneFragmentation& zone, RowTable& table) {
  table.row({zone.node, zone.zone});
  Cells cells(table);
  const auto thousandths = [&](int OrderFragmentation::*index) {
    for (const std::size_t order : kShownOrders) {
      cells.next(order < zone.orders.size() ? std::optional(zone.orders[order].*index / 1000.0)
                                            : std::nullopt);
    }
  };
  thousandths(&OrderFragmentation::fragmentation_index);
  thousandths(&OrderFragmentation::unusable_free_index);
}

void document_columns(std::vector<MetricDoc>& out, const std::vector<ColumnInfo>& columns,
                      const std::vector<std::string>& row_labels) {
  for (const ColumnInfo& info : columns) {
    if (!out.empty() && out.back().name == info.family) {
      continue;
    }
    std::vector<std::string> labels = row_labels;
    for (const Label& label : info.labels) {
      labels.push_back(label.name);
    }
    out.push_back({info.family, info.kind, std::move(labels), info.help});
  }
}

}  // namespace

ReclaimTables::ReclaimTables()
    : zones_({"node", "zone"}, zone_columns()),
      fragmentation_({"node", "zone"}, fragmentation_columns()),
      nodes_({"node"}, node_columns()),
      host_({}, host_columns()) {}

void ReclaimTables::append(const MemoryReading& reading, Section& out) {
  zones_.begin();
  for (const ZoneReading& zone : reading.zones) {
    if (zone.is_populated) {
      zones_.row({zone.node, zone.zone});
      Cells cells(zones_);
      cells.next(memory_bytes(reading, zone.headroom_min_pages));
      cells.next(memory_bytes(reading, zone.headroom_low_pages));
      cells.next(memory_bytes(reading, zone.headroom_high_pages));
    }
  }
  out.tables.push_back(zones_.take());

  fragmentation_.begin();
  for (const ZoneFragmentation& zone : reading.fragmentation) {
    add_fragmentation(zone, fragmentation_);
  }
  out.tables.push_back(fragmentation_.take());

  nodes_.begin();
  for (const NodeReading& node : reading.nodes) {
    add_node(reading, node, nodes_);
  }
  out.tables.push_back(nodes_.take());

  host_.begin();
  host_.row({});
  Cells cells(host_);
  cells.next(reading.reclaim.efficiency_ratio);
  cells.next(reading.dirty.background_ratio);
  cells.next(reading.dirty.freerun_ratio);
  out.tables.push_back(host_.take());
}

std::vector<MetricDoc> memory_model_metrics() {
  std::vector<MetricDoc> out;
  document_columns(out, zone_columns(), {"node", "zone"});
  document_columns(out, fragmentation_columns(), {"node", "zone"});
  document_columns(out, node_columns(), {"node"});
  document_columns(out, host_columns(), {});
  return out;
}

}  // namespace tidegauge::heuristics
