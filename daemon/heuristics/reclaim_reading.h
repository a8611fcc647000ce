// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the memory model says, as passive data. Absent is absent, never 0 and never NaN: the kernel or a failed
// collector does not tell, or it takes a second reading first. Pages are the kernel's unit and stay so here;
// memory_bytes() turns them into bytes.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/heuristics/fragmentation.h"
#include "daemon/heuristics/kswapd.h"
#include "daemon/heuristics/watermarks.h"

namespace tidegauge::heuristics {

struct NodeReading {
  std::string node;  // "0"
  std::uint32_t node_number = 0;
  NodeWatermarks watermarks;
  // Until the node's free memory is down to low, at the pace of the last minute, and half the width of the 95 %
  // interval. Absent unless it falls clearly and within a day; see watermark_trend.h.
  std::optional<double> time_to_low_seconds;
  std::optional<double> time_to_low_uncertainty_seconds;
  KswapdReading kswapd;
};

// Of the whole host. "Per second" is since the last reading.
struct ReclaimReading {
  std::optional<double> kswapd_scanned_pages_per_second;  // sar: pgscank/s
  std::optional<double> direct_scanned_pages_per_second;  // sar: pgscand/s
  std::optional<double> kswapd_reclaimed_pages_per_second;
  std::optional<double> direct_reclaimed_pages_per_second;
  // sar's %vmeff as a ratio, 0..1: reclaimed over scanned, by kswapd and directly, over the last 10 s. Near 1
  // reclaim takes every page it looks at; low, it searches in vain. Absent when nothing was scanned.
  std::optional<double> efficiency_ratio;
  std::optional<double> allocation_stalls_per_second;  // direct reclaims begun
  // Time all threads spent in direct reclaim, per second: 2 is two threads all the time. BPF only.
  std::optional<double> direct_stall_seconds_per_second;
  // Pages read back that had been evicted not long ago.
  std::optional<double> file_refault_pages_per_second;
  std::optional<double> anon_refault_pages_per_second;
  std::optional<double> memory_some_ratio;  // PSI, 0..1 of the time: a task waited for memory
  std::optional<double> memory_full_ratio;  // all that were not idle did
};

struct CompactionReading {
  std::optional<double> stalls_per_second;     // direct compactions
  std::optional<double> fails_per_second;      // that freed no block of the order
  std::optional<double> successes_per_second;  // that did
  std::optional<double> daemon_wakeups_per_second;
  std::optional<double> huge_page_fallbacks_per_second;  // page faults that got small pages instead
  std::optional<double> stall_seconds_per_second;        // of all threads; BPF only
};

struct DirtyReading {
  std::optional<double> dirty_bytes;
  std::optional<double> writeback_bytes;
  std::optional<double> threshold_bytes;
  std::optional<double> background_threshold_bytes;
  // Dirty over the background threshold. Above 1 the flusher threads write (mm/page-writeback.c, wb_over_bg_thresh).
  std::optional<double> background_ratio;
  // Dirty and under writeback over the middle of the two thresholds. Above 1 writers begin to be paused
  // (dirty_freerun_ceiling). Host-wide: cgroups and slow devices have limits of their own.
  std::optional<double> freerun_ratio;
  // Time the kernel made all threads pause for it, per second. BPF only.
  std::optional<double> throttle_seconds_per_second;
};

struct MemoryReading {
  std::optional<double>
      page_bytes;  // told from meminfo and zoneinfo, so that a recording tells it too
  std::vector<ZoneReading> zones;  // as in zoneinfo
  std::vector<NodeReading> nodes;
  std::vector<ZoneFragmentation> fragmentation;  // as in buddyinfo
  ReclaimReading reclaim;
  CompactionReading compaction;
  DirtyReading dirty;
};

std::optional<double> memory_bytes(const MemoryReading& reading, std::optional<double> pages);

}  // namespace tidegauge::heuristics
