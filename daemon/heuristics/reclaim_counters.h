// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernel's counters of reclaim, refaults, compaction and dirty memory, under one name on every kernel since
// 3.10. Exact names only, never sums over a prefix: pgscan_direct_throttle is no part of pgscan_direct.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "collectors/core/section.h"
#include "daemon/heuristics/reclaim_cells.h"

namespace tidegauge::heuristics {

// Counters of the whole host, since boot. A source that lacks one leaves it absent.
enum class HostCounter : std::uint8_t {
  // vmstat; what memory cgroups reclaim at their own limits is not in there.
  kScannedByKswapd,    // pages; pgscan_kswapd, by zone type up to 4.7
  kScannedDirectly,    // pages; pgscan_direct
  kReclaimedByKswapd,  // pages; pgsteal_kswapd
  kReclaimedDirectly,  // pages; pgsteal_direct
  kReclaimed,          // pages; pgsteal, where a capture or a kernel before 3.5 has them in one
  kAllocationStalls,   // direct reclaims; allocstall, by zone type since 4.8
  kFileRefaults,       // pages; workingset_refault_file, workingset_refault up to 5.8; since 3.15
  kAnonRefaults,       // pages; workingset_refault_anon, since 5.9
  kCompactionStalls,   // direct compactions; compact_stall
  kCompactionFails,
  kCompactionSuccesses,
  kCompactionWakeups,  // of kcompactd for a large allocation; compact_daemon_wake, since 4.6
  kHugePageFallbacks,  // thp_fault_fallback
  // pressure, nanoseconds
  kMemorySome,
  kMemoryFull,
  // ebpf_memory, nanoseconds of all threads
  kDirectReclaimTime,
  kCompactionTime,
  kDirtyThrottleTime,
};
inline constexpr std::size_t kHostCounters =
    static_cast<std::size_t>(HostCounter::kDirtyThrottleTime) + 1;
inline constexpr std::size_t kFirstPressureCounter =
    static_cast<std::size_t>(HostCounter::kMemorySome);
inline constexpr std::size_t kFirstEbpfCounter =
    static_cast<std::size_t>(HostCounter::kDirectReclaimTime);

using HostCounters = std::array<std::optional<std::uint64_t>, kHostCounters>;
using HostRates = std::array<std::optional<double>, kHostCounters>;

constexpr std::size_t index_of(HostCounter counter) { return static_cast<std::size_t>(counter); }

// Pages, as of now.
struct DirtyPages {
  std::optional<double> dirty_pages;
  std::optional<double> writeback_pages;
  std::optional<double> threshold_pages;  // vm.dirty_ratio or _bytes, as the kernel computes it
  std::optional<double> background_threshold_pages;  // vm.dirty_background_ratio or _bytes
};

// Reads the vmstat collector's Section. Keeps where things stand; not thread-safe.
class VmstatReader {
 public:
  // Sets the counters of vmstat, the dirty pages, and nothing else.
  void read(const Section& section, HostCounters& counters, DirtyPages& dirty);

  // Whether this kernel counts scans by zone type: up to 4.7, where kswapd worked by zones.
  [[nodiscard]] bool counts_by_zone() const { return counts_by_zone_; }

 private:
  void resolve(const Section& section);

  SectionShapes shapes_;
  std::array<std::vector<CellColumn>, kFirstPressureCounter> columns_;  // summed
  bool counts_by_zone_ = false;
  std::optional<CellColumn> dirty_;
  std::optional<CellColumn> writeback_;
  std::optional<CellColumn> threshold_;
  std::optional<CellColumn> background_threshold_;
};

// Reads the pressure collector's Section, likewise.
class PressureReader {
 public:
  void read(const Section& section, HostCounters& counters);

 private:
  SectionShapes shapes_;
  std::optional<CellColumn> some_;
  std::optional<CellColumn> full_;
};

// What BPF programs tell of one node's kswapd.
struct KswapdCounters {
  std::uint32_t node = 0;
  std::optional<std::uint64_t> awake_ns;
  // For blocks of more than one page. The kernel reports a wake-up only when kswapd slept and the node is not
  // balanced for that order, or is boosted (mm/vmscan.c, wakeup_kswapd).
  std::optional<std::uint64_t> high_order_wakeups;
};

// Reads the ebpf_memory collector's Section, likewise.
class EbpfMemoryReader {
 public:
  // `nodes`: those of which anything is told.
  void read(const Section& section, HostCounters& counters, std::vector<KswapdCounters>& nodes);

 private:
  struct Wakeups {
    std::size_t row;
    std::uint32_t node;
  };
  void resolve(const Section& section);
  void resolve_kswapd(const Section& section);

  SectionShapes shapes_;
  std::optional<CellColumn> direct_;
  std::vector<std::size_t> direct_rows_;
  std::optional<CellColumn> compaction_;
  std::optional<CellColumn> throttle_;
  std::optional<CellColumn> awake_;
  std::vector<std::uint32_t> awake_nodes_;  // by row
  std::optional<CellColumn> wakeups_;
  std::vector<Wakeups> high_order_rows_;
};

// Bytes of a page: what meminfo has as MemTotal is what all zones manage (mm/page_alloc.c, totalram_pages). Where the
// kernel does not say that, all that is present comes near enough: a page is a power of two.
std::optional<double> page_bytes_of(double memory_bytes, double pages);

}  // namespace tidegauge::heuristics
