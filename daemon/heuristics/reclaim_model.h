// SPDX-License-Identifier: Apache-2.0
#pragma once

// The memory model: what the sections zoneinfo, buddyinfo, vmstat, pressure, meminfo and ebpf_memory of one
// Snapshot after another say about free memory and reclaim, put together. Heuristics and exporter read the result;
// each step of a verdict about memory can be graphed from it.
//
// - Each section has its own time. One that has not been read again gives nothing new: what it said stays. One that
//   is gone takes with it what it said.
// - Rates are of the time between the last two readings. A counter that fell, a time that did not go on, or a gap
//   of over a quarter of an hour gives none.
//
// Pure but for its state: no clock, no file. Bounded: kMostNodes, kMostZones. One thread.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/section.h"
#include "daemon/heuristics/fragmentation.h"
#include "daemon/heuristics/kswapd.h"
#include "daemon/heuristics/reclaim_cells.h"
#include "daemon/heuristics/reclaim_counters.h"
#include "daemon/heuristics/reclaim_reading.h"
#include "daemon/heuristics/reclaim_state.h"
#include "daemon/heuristics/reclaim_tables.h"
#include "daemon/heuristics/watermarks.h"

namespace tidegauge::heuristics {

class MemoryModel {
 public:
  void update(const Snapshot& snapshot);
  [[nodiscard]] const MemoryReading& reading() const { return reading_; }
  // The families of memory_model_metrics(), as of the last update.
  void append_tables(Section& out) { tables_.append(reading_, out); }

  // State for a checkpoint, versioned. To be loaded within the same boot only: times are since boot, and so are the
  // counters. load() refuses what save() did not write and changes nothing then.
  void save(std::string& out) const { save_state(state_, out); }
  bool load(std::string_view bytes);

 private:
  // A null section is one that its collector could not read.
  void update_meminfo(const Section* section);
  void update_vmstat(const Section* section);
  void update_zoneinfo(const Section* section);
  void update_buddyinfo(const Section* section);
  void update_pressure(const Section* section);
  void update_ebpf(const Section* section);
  void update_page_bytes();
  void update_dirty();
  void update_kswapd();

  void list_nodes();
  void update_node(std::size_t index, std::int64_t now_ns, bool is_first);
  // Puts the counters [first, end) in the place of those before. Rates of what did not fall in between.
  HostRates take_counters(const HostCounters& now, std::size_t first, std::size_t end,
                          std::int64_t elapsed_ns);
  void show_vmstat_rates(const HostRates& rates);
  void update_efficiency(std::int64_t now_ns);
  void update_ebpf_node(NodeReading& reading, NodeMemory& node);
  [[nodiscard]] KswapdEvidence evidence_of(const NodeMemory& node, std::int64_t now_ns) const;
  [[nodiscard]] std::optional<bool> gave_up(const NodeReading& reading, const NodeMemory& node,
                                            std::int64_t now_ns) const;

  MemoryReading reading_;
  MemoryState state_;
  ReclaimTables tables_;

  WatermarkReader watermarks_;
  FragmentationReader fragmentation_;
  VmstatReader vmstat_;
  PressureReader pressure_;
  EbpfMemoryReader ebpf_;
  SectionShapes meminfo_shapes_;
  std::optional<CellColumn> mem_total_;
  std::optional<CellColumn> mem_dirty_;
  std::optional<CellColumn> mem_writeback_;

  std::vector<std::size_t> node_begin_;  // of each node's zones, and the end
  DirtyPages dirty_pages_;
  std::optional<double> meminfo_total_bytes_;
  std::optional<double> meminfo_dirty_bytes_;
  std::optional<double> meminfo_writeback_bytes_;
  std::vector<KswapdCounters> kswapd_counters_;  // scratch
};

}  // namespace tidegauge::heuristics
