// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// MAX_NR_ZONES can never exceed it (include/linux/page-flags-layout.h, ZONES_SHIFT).
inline constexpr std::size_t kMaxZoneTypes = 8;

// One zone of /proc/zoneinfo (mm/vmstat.c, zoneinfo_show_print), numbers as the kernel prints them.
// After a successful parse the watermarks, spanned and present are set, and nr_free_pages too when
// present is not 0. Up to 4.7 the LRU counters are per zone; since 4.8 they are per node and stand
// under the node's first populated zone only, so sum over the zones of a node.
struct ZoneInfo {
  std::string_view node;  // "0"; both names point into the text, or the Section decoded
  std::string_view zone;  // "DMA32"

  // "pages free" prints the same counter, but for unpopulated zones this one is missing.
  std::optional<std::uint64_t> nr_free_pages;
  // Marks already include the boost (include/linux/mmzone.h, min_wmark_pages).
  std::optional<std::uint64_t> min_pages;
  std::optional<std::uint64_t> low_pages;
  std::optional<std::uint64_t> high_pages;
  std::optional<std::uint64_t> boost_pages;    // 5.16
  std::optional<std::uint64_t> promo_pages;    // 6.16
  std::optional<std::uint64_t> scanned_pages;  // up to 4.7: since the last reclaim
  std::optional<std::uint64_t> spanned_pages;
  std::optional<std::uint64_t> present_pages;
  std::optional<std::uint64_t> managed_pages;  // 3.8
  std::optional<std::uint64_t> nr_free_cma_pages;
  // lowmem_reserve: what an allocation that could have used zone type i must leave free here.
  std::array<std::int64_t, kMaxZoneTypes> protection_pages{};
  std::size_t protection_count = 0;

  std::optional<std::uint64_t> nr_active_anon_pages;
  std::optional<std::uint64_t> nr_inactive_anon_pages;
  std::optional<std::uint64_t> nr_isolated_anon_pages;
  std::optional<std::uint64_t> nr_anon_pages;
  std::optional<std::uint64_t> nr_anon_transparent_hugepages;
  std::optional<std::uint64_t> nr_active_file_pages;
  std::optional<std::uint64_t> nr_inactive_file_pages;
  std::optional<std::uint64_t> nr_isolated_file_pages;
  std::optional<std::uint64_t> nr_file_pages;
  std::optional<std::uint64_t> nr_slab_reclaimable_pages;  // per zone up to 4.12, per node since
  std::optional<std::uint64_t> nr_slab_unreclaimable_pages;
  std::optional<std::uint64_t> nr_mlock_stack_pages;
  std::optional<std::uint64_t> nr_kernel_stack;  // stacks up to 4.7, KiB since
  std::optional<std::uint64_t> nr_mapped_pages;
  std::optional<std::uint64_t> nr_dirty_pages;
  std::optional<std::uint64_t> nr_writeback_pages;
  std::optional<std::uint64_t> nr_unevictable_pages;
  std::optional<std::uint64_t> nr_shmem_pages;
  std::optional<std::uint64_t> nr_dirtied_pages;  // this and what follows: since boot
  std::optional<std::uint64_t> nr_written_pages;
  std::optional<std::uint64_t> numa_hit;
  std::optional<std::uint64_t> numa_miss;
  std::optional<std::uint64_t> numa_foreign;
  std::optional<std::uint64_t> numa_interleave;
  std::optional<std::uint64_t> numa_local;
  std::optional<std::uint64_t> numa_other;
};

// Fills `out` with the zones in file order. One pass, no allocation once `out` has grown; pageset
// lines, which are most of the file on large machines, are jumped over.
Result<void> parse_zoneinfo(std::string_view text, std::vector<ZoneInfo>& out);

// The way back from the zoneinfo collector's Section, live or replayed; names point into it.
std::vector<ZoneInfo> decode_zoneinfo(const Section& section);

extern const CollectorInfo kZoneinfoCollector;

}  // namespace tidegauge
