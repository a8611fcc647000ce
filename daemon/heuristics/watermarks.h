// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where free memory stands against the kernel's watermarks, per zone and per node.
//
// The test the kernel makes (mm/page_alloc.c, __zone_watermark_ok and __zone_watermark_unusable_free) for one page:
//
//   free - what this allocation may not use  >  mark + lowmem_reserve[highest zone the allocation may come from]
//
// - What it may not use: free CMA pages, unless it is movable, and blocks reserved for high-order atomic
//   allocations. The second no file tells; it is at most 1 % of the zone. kswapd looks without CMA.
// - lowmem_reserve is "protection" in /proc/zoneinfo, and grows with the zone's number there. Ordinary allocations
//   (GFP_KERNEL, GFP_HIGHUSER) may come from the highest populated zone, so the largest number is theirs. It keeps
//   them out of a small lower zone nearly for good: such a zone looks rich and helps nobody.
// - min, low and high in the file include the boost (include/linux/mmzone.h, min_wmark_pages).
//
// An allocation takes any zone above low; when there is none in its zone list, it wakes the kswapd of each node
// (get_page_from_freelist, wake_all_kswapds), and when there is none above min it reclaims by itself. kswapd works
// for a node until, since Linux 4.12, one of its zones is above high (mm/vmscan.c, pgdat_balanced). Before, all had
// to be: of 4.8 to 4.11 only to fall asleep (prepare_kswapd_sleep), up to 4.7 altogether, and then without the
// protection (zone_balanced with the zone's own number).
//
// Pure functions and passive data; no clock, no file.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collectors/core/section.h"
#include "daemon/heuristics/reclaim_cells.h"

namespace tidegauge::heuristics {

// Everything in pages. Absent: the kernel does not say it.
struct ZoneReading {
  std::string node;  // "0"
  std::string zone;  // "DMA32"
  std::uint32_t node_number = 0;
  bool is_populated = false;  // has pages that the allocator manages; without, all else is absent
  std::optional<double> present_pages;
  std::optional<double> managed_pages;  // Linux 3.8
  std::optional<double> free_pages;
  std::optional<double> free_cma_pages;  // part of free_pages
  std::optional<double> min_pages;       // these three include the boost
  std::optional<double> low_pages;
  std::optional<double> high_pages;
  std::optional<double> boost_pages;       // Linux 5.16; 0 when there is none at present
  std::optional<double> protection_pages;  // kept from ordinary allocations
  // What ordinary allocations can still take before the mark is reached; negative below it.
  std::optional<double> headroom_min_pages;
  std::optional<double> headroom_low_pages;
  std::optional<double> headroom_high_pages;
};

// Fills in the headrooms from the rest.
void measure_headroom(ZoneReading& zone);

// How kswapd decides that a node needs nothing more.
enum class BalanceRule : std::uint8_t {
  kAnyZone,   // Linux 4.12 and later; taken for 4.8 to 4.11 too, which no file tells apart
  kEveryZone  // up to 4.7
};

// A node's populated zones together, in pages.
struct NodeWatermarks {
  std::optional<double> managed_pages;
  std::optional<double> free_pages;   // without free CMA
  std::optional<double> boost_pages;  // of all zones
  // Sums of what the zones that are above the mark have left. When none is: how far the best one is below, negative.
  std::optional<double> headroom_min_pages;
  std::optional<double> headroom_low_pages;  // down to 0: the next allocation wakes kswapd
  std::optional<double> headroom_high_pages;
  // Whether kswapd would sleep if single pages are all that is wanted, boosts aside.
  std::optional<bool> is_balanced;
  // Balanced with so much above high that kswapd has hardly just come from below: it stops there but for a round,
  // which aims at the sum of the high marks (kswapd_shrink_node) and overshoots with many cgroups. Twice that sum is
  // asked for.
  std::optional<bool> is_far_above_high;
};

// `zones`: of one node. Absent where a populated zone lacks what it takes, and without populated zones.
NodeWatermarks measure_node(std::span<const ZoneReading> zones, BalanceRule rule);

// Reads the zoneinfo collector's Section. Keeps where things stand; not thread-safe.
class WatermarkReader {
 public:
  // Zones in the Section's order, nodes one after another. Returns whether they are others than the last time.
  bool read(const Section& section, std::vector<ZoneReading>& zones);

 private:
  void resolve(const Section& section, std::vector<ZoneReading>& zones);
  [[nodiscard]] std::optional<double> protection(const Section& section, std::size_t row) const;

  SectionShapes shapes_;
  std::vector<std::size_t> rows_;             // of each zone
  std::vector<std::size_t> protection_rows_;  // of each zone in the protection table
  std::vector<CellColumn> protection_;
  std::optional<CellColumn> free_;
  std::optional<CellColumn> min_;
  std::optional<CellColumn> low_;
  std::optional<CellColumn> high_;
  std::optional<CellColumn> boost_;
  std::optional<CellColumn> present_;
  std::optional<CellColumn> managed_;
  std::optional<CellColumn> cma_;
};

}  // namespace tidegauge::heuristics
