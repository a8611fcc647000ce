// SPDX-License-Identifier: Apache-2.0
#pragma once

// Why a node's kswapd is awake. It is woken, and kept awake, for an allocation of some order (mm/vmscan.c,
// wakeup_kswapd, balance_pgdat):
//
// - of single pages: no zone that the allocation may use is above high;
// - of more pages: the same, or no free block is large enough. Once it has reclaimed twice the size
//   (compact_gap), kswapd goes on for single pages only and leaves the rest to kcompactd;
// - because a zone's marks are boosted after an allocation had to take a block of another kind, to win back room
//   against fragmentation; also in a balanced node.
//
// After 16 runs in which it could reclaim nothing, kswapd stays asleep whatever the marks say, until somebody else
// has reclaimed something (MAX_RECLAIM_RETRIES); since 4.12, before that zones were "all_unreclaimable".
//
// Pure functions over plain data; no clock, no file.

#include <optional>

namespace tidegauge::heuristics {

// Several can hold at once. None does while kswapd is asleep. Where some node's kswapd scans, none is known to and
// no node's marks explain it, all nodes show what it would be for them.
struct KswapdReasons {
  bool order0_watermark = false;  // the node was below high for single pages, or must have been
  bool high_order = false;        // large blocks were wanted in the last 10 s
  bool boost = false;             // marks are boosted
  // It scans with free far above high and none of the above known: something that no file tells, such as a large
  // block on kernels that do not count compaction.
  bool other = false;
  bool unknown = false;  // what would tell is missing
  friend bool operator==(const KswapdReasons&, const KswapdReasons&) = default;

  [[nodiscard]] bool is_explained() const { return order0_watermark || high_order || boost; }
};

// At the newest zoneinfo, and the one before: what happens between two looks shows only in both.
struct NodeState {
  std::optional<bool> is_balanced;
  std::optional<bool> is_far_above_high;
  std::optional<bool> is_boosted;
};

struct KswapdEvidence {
  NodeState now;
  NodeState before;
  std::optional<bool> wanted_high_order;
};

// Of a kswapd that is awake.
KswapdReasons explain_awake(const KswapdEvidence& evidence);

struct KswapdReading {
  // Since the last reading. From BPF; else from whether any kswapd scanned, which with several nodes says it only
  // for those whose own marks explain it, and of the others nothing.
  std::optional<bool> is_awake;
  std::optional<double> awake_ratio;                    // 0..1 of the time; BPF only
  std::optional<double> high_order_wakeups_per_second;  // BPF only
  KswapdReasons reasons;
  // Inferred: for 5 s the node has been below low, kswapd has scanned nothing anywhere, and direct reclaim has gone
  // on. (The kernel says it as node_unreclaimable in /proc/zoneinfo, which no Section carries yet.)
  std::optional<bool> gave_up;
};

}  // namespace tidegauge::heuristics
