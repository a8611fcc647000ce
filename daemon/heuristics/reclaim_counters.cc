// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/reclaim_counters.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "collectors/core/text.h"

namespace tidegauge::heuristics {

namespace {

constexpr std::string_view kVmstat = "node_vmstat_";

// mm/vmstat.c, TEXTS_FOR_ZONES.
constexpr std::string_view kZoneTypes[] = {"_dma",  "_dma32",   "_normal",
                                           "_high", "_movable", "_device"};

struct VmstatName {
  HostCounter counter;
  std::string_view name;
  std::string_view other{};  // of older kernels, taken when there is no `name`
  bool is_by_zone = false;   // of some kernels there is one per zone type instead
};

constexpr VmstatName kNames[] = {
    {HostCounter::kScannedByKswapd, "pgscan_kswapd", {}, true},
    {HostCounter::kScannedDirectly, "pgscan_direct", {}, true},
    {HostCounter::kReclaimedByKswapd, "pgsteal_kswapd", {}, true},
    {HostCounter::kReclaimedDirectly, "pgsteal_direct", {}, true},
    {HostCounter::kReclaimed, "pgsteal", {}, true},
    {HostCounter::kAllocationStalls, "allocstall", {}, true},
    {HostCounter::kFileRefaults, "workingset_refault_file", "workingset_refault"},
    {HostCounter::kAnonRefaults, "workingset_refault_anon"},
    {HostCounter::kCompactionStalls, "compact_stall"},
    {HostCounter::kCompactionFails, "compact_fail"},
    {HostCounter::kCompactionSuccesses, "compact_success"},
    {HostCounter::kCompactionWakeups, "compact_daemon_wake"},
    {HostCounter::kHugePageFallbacks, "thp_fault_fallback"},
};
static_assert(std::size(kNames) == kFirstPressureCounter);

std::optional<CellColumn> find_vmstat(const Section& section, std::string_view name,
                                      std::string_view zone_type = {}) {
  return find_cells(section, std::string(kVmstat).append(name).append(zone_type));
}

std::vector<CellColumn> find_counter(const Section& section, const VmstatName& name) {
  for (const std::string_view plain : {name.name, name.other}) {
    const auto at = plain.empty() ? std::nullopt : find_vmstat(section, plain);
    if (at) {
      return {*at};
    }
  }
  std::vector<CellColumn> out;
  for (const std::string_view zone_type : kZoneTypes) {
    const auto at = name.is_by_zone ? find_vmstat(section, name.name, zone_type) : std::nullopt;
    if (at) {
      out.push_back(*at);
    }
  }
  return out;
}

void add(std::optional<std::uint64_t>& sum, std::optional<std::uint64_t> more) {
  if (more) {
    sum = sum.value_or(0) + *more;  // modulo 2^64, at which a sum falls and gives no rate
  }
}

// Sum of a column over the rows of its table; 0 when it has none, since the feature is there.
std::optional<std::uint64_t> sum_rows(const Section& section, const std::optional<CellColumn>& at) {
  if (!at) {
    return std::nullopt;
  }
  std::optional<std::uint64_t> sum = 0;
  for (std::size_t row = 0; row < section.tables[at->table].shape->rows.size(); ++row) {
    add(sum, count_at(section, at, row));
  }
  return sum;
}

std::optional<std::uint32_t> node_of(const Table& table, std::size_t row) {
  const auto label = label_at(table, "node", row);
  const auto number = label ? parse_unsigned(*label) : std::nullopt;
  return number && *number < UINT32_MAX ? std::optional(static_cast<std::uint32_t>(*number))
                                        : std::nullopt;
}

KswapdCounters& counters_of(std::vector<KswapdCounters>& nodes, std::uint32_t node) {
  const auto found = std::find_if(nodes.begin(), nodes.end(),
                                  [&](const KswapdCounters& known) { return known.node == node; });
  return found != nodes.end() ? *found : nodes.emplace_back(KswapdCounters{node, {}, {}});
}

}  // namespace

void VmstatReader::read(const Section& section, HostCounters& counters, DirtyPages& dirty) {
  if (shapes_.changed(section)) {
    resolve(section);
  }
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    counters[i].reset();
    for (const CellColumn& at : columns_[i]) {
      add(counters[i], count_at(section, at, 0));
    }
  }
  dirty.dirty_pages = pages_at(section, dirty_, 0);
  dirty.writeback_pages = pages_at(section, writeback_, 0);
  dirty.threshold_pages = pages_at(section, threshold_, 0);
  dirty.background_threshold_pages = pages_at(section, background_threshold_, 0);
}

void VmstatReader::resolve(const Section& section) {
  for (const VmstatName& name : kNames) {
    columns_[index_of(name.counter)] = find_counter(section, name);
  }
  counts_by_zone_ = !find_vmstat(section, "pgscan_kswapd") &&
                    !columns_[index_of(HostCounter::kScannedByKswapd)].empty();
  dirty_ = find_vmstat(section, "nr_dirty");
  writeback_ = find_vmstat(section, "nr_writeback");
  threshold_ = find_vmstat(section, "nr_dirty_threshold");
  background_threshold_ = find_vmstat(section, "nr_dirty_background_threshold");
}

void PressureReader::read(const Section& section, HostCounters& counters) {
  if (shapes_.changed(section)) {
    some_ = find_cells(section, "node_pressure_memory_waiting_seconds_total");
    full_ = find_cells(section, "node_pressure_memory_stalled_seconds_total");
  }
  const auto nanoseconds = [&](const std::optional<CellColumn>& at) {
    const auto seconds = value_at(section, at, 0);
    return seconds && *seconds < 1e9 ? std::optional(static_cast<std::uint64_t>(*seconds * 1e9))
                                     : std::nullopt;
  };
  counters[index_of(HostCounter::kMemorySome)] = nanoseconds(some_);
  counters[index_of(HostCounter::kMemoryFull)] = nanoseconds(full_);
}

void EbpfMemoryReader::read(const Section& section, HostCounters& counters,
                            std::vector<KswapdCounters>& nodes) {
  if (shapes_.changed(section)) {
    resolve(section);
  }
  auto& direct = counters[index_of(HostCounter::kDirectReclaimTime)];
  direct.reset();
  if (direct_) {
    direct = 0;
    for (const std::size_t row : direct_rows_) {
      add(direct, count_at(section, direct_, row));
    }
  }
  counters[index_of(HostCounter::kCompactionTime)] = sum_rows(section, compaction_);
  counters[index_of(HostCounter::kDirtyThrottleTime)] = sum_rows(section, throttle_);

  nodes.clear();
  for (std::size_t row = 0; row < awake_nodes_.size(); ++row) {
    if (awake_nodes_[row] != UINT32_MAX && nodes.size() < kMostNodes) {
      KswapdCounters& node = counters_of(nodes, awake_nodes_[row]);
      node.awake_ns = count_at(section, awake_, row);
      // A node whose kswapd nobody woke has no row.
      node.high_order_wakeups = wakeups_ ? std::optional<std::uint64_t>(0) : std::nullopt;
    }
  }
  for (const Wakeups& wakeups : high_order_rows_) {
    if (nodes.size() < kMostNodes) {
      add(counters_of(nodes, wakeups.node).high_order_wakeups,
          count_at(section, wakeups_, wakeups.row));
    }
  }
}

void EbpfMemoryReader::resolve(const Section& section) {
  direct_ = find_cells(section, "tidegauge_reclaim_stall_seconds", "_sum");
  direct_rows_.clear();
  if (direct_) {
    const Table& table = section.tables[direct_->table];
    for (std::size_t row = 0; row < table.shape->rows.size(); ++row) {
      if (label_at(table, "kind", row) == "direct") {
        direct_rows_.push_back(row);
      }
    }
  }
  compaction_ = find_cells(section, "tidegauge_compaction_stall_seconds", "_sum");
  throttle_ = find_cells(section, "tidegauge_dirty_throttle_seconds_total");
  resolve_kswapd(section);
}

void EbpfMemoryReader::resolve_kswapd(const Section& section) {
  awake_ = find_cells(section, "tidegauge_kswapd_awake_seconds_total");
  awake_nodes_.clear();
  if (awake_) {
    const Table& table = section.tables[awake_->table];
    for (std::size_t row = 0; row < table.shape->rows.size(); ++row) {
      awake_nodes_.push_back(node_of(table, row).value_or(UINT32_MAX));
    }
  }
  wakeups_ = find_cells(section, "tidegauge_kswapd_wakeups_total");
  high_order_rows_.clear();
  if (wakeups_) {
    const Table& table = section.tables[wakeups_->table];
    for (std::size_t row = 0; row < table.shape->rows.size(); ++row) {
      const auto node = node_of(table, row);
      const auto order = label_at(table, "order", row);
      if (node && order && *order != "0") {
        high_order_rows_.push_back({row, *node});
      }
    }
  }
}

std::optional<double> page_bytes_of(double memory_bytes, double pages) {
  if (!(memory_bytes > 0) || !(pages > 0)) {
    return std::nullopt;
  }
  const double shift = std::round(std::log2(memory_bytes / pages));
  return shift >= 12 && shift <= 16 ? std::optional(std::exp2(shift)) : std::nullopt;
}

}  // namespace tidegauge::heuristics
