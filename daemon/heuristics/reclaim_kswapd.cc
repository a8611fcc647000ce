// SPDX-License-Identifier: Apache-2.0

// The memory model's part that tells whose kswapd is awake and why.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "daemon/heuristics/reclaim_model.h"

namespace tidegauge::heuristics {

namespace {

// How long a wish for large blocks goes on to explain what kswapd does.
constexpr std::int64_t kHighOrderMemoryNs = 10'000'000'000;
// Several times the tick, and longer than kswapd ever naps between two runs (a tenth of a second).
constexpr std::int64_t kGaveUpNs = 5'000'000'000;

bool is_within(const std::optional<std::int64_t>& time_ns, std::int64_t now_ns,
               std::int64_t limit_ns) {
  return time_ns && *time_ns <= now_ns && now_ns - *time_ns <= limit_ns;
}

bool is_populated(const NodeReading& node) {
  return node.watermarks.headroom_low_pages.has_value() || node.watermarks.managed_pages > 0.0;
}

}  // namespace

void MemoryModel::update_kswapd() {
  const auto& times = state_.times;
  const std::int64_t now_ns = std::max(
      {times.vmstat_ns.value_or(0), times.zoneinfo_ns.value_or(0), times.ebpf_ns.value_or(0)});
  const auto& scanned = reading_.reclaim.kswapd_scanned_pages_per_second;
  const auto populated = std::count_if(reading_.nodes.begin(), reading_.nodes.end(), is_populated);
  // vmstat counts all nodes' kswapds in one: a node whose own marks explain it clears the others.
  bool is_one_explained = false;
  for (std::size_t i = 0; i < reading_.nodes.size(); ++i) {
    KswapdReading& kswapd = reading_.nodes[i].kswapd;
    const KswapdReasons reasons = explain_awake(evidence_of(state_.nodes[i], now_ns));
    kswapd.reasons = {};
    kswapd.gave_up = gave_up(reading_.nodes[i], state_.nodes[i], now_ns);
    kswapd.is_awake.reset();
    if (kswapd.awake_ratio) {
      kswapd.is_awake = *kswapd.awake_ratio > 0;
    } else if (scanned && (*scanned <= 0 || !is_populated(reading_.nodes[i]))) {
      kswapd.is_awake = false;
    } else if (scanned && (populated == 1 || reasons.order0_watermark || reasons.boost)) {
      kswapd.is_awake = true;
    }
    if (kswapd.is_awake.value_or(false)) {
      kswapd.reasons = reasons;
      is_one_explained = true;
    }
  }
  for (std::size_t i = 0; i < reading_.nodes.size(); ++i) {
    KswapdReading& kswapd = reading_.nodes[i].kswapd;
    if (kswapd.is_awake) {
      continue;
    }
    if (!scanned) {
      kswapd.reasons.unknown = true;
    } else if (!is_one_explained) {  // one of these it must be
      kswapd.reasons = explain_awake(evidence_of(state_.nodes[i], now_ns));
    }
  }
}

KswapdEvidence MemoryModel::evidence_of(const NodeMemory& node, std::int64_t now_ns) const {
  KswapdEvidence out{node.now, node.before, std::nullopt};
  const auto& counters = state_.counters;
  if (node.high_order_wakeups) {
    out.wanted_high_order = is_within(node.high_order_wanted_ns, now_ns, kHighOrderMemoryNs);
  } else if (counters[index_of(HostCounter::kCompactionStalls)] ||
             counters[index_of(HostCounter::kCompactionWakeups)]) {
    out.wanted_high_order = is_within(state_.compaction_wanted_ns, now_ns, kHighOrderMemoryNs);
  }
  return out;
}

std::optional<bool> MemoryModel::gave_up(const NodeReading& reading, const NodeMemory& node,
                                         std::int64_t now_ns) const {
  const ReclaimReading& reclaim = reading_.reclaim;
  if (!reading.watermarks.headroom_low_pages || !reclaim.kswapd_scanned_pages_per_second ||
      !reclaim.direct_scanned_pages_per_second) {
    return std::nullopt;
  }
  const bool is_long_below = node.below_low_since_ns && *node.below_low_since_ns <= now_ns &&
                             now_ns - *node.below_low_since_ns >= kGaveUpNs;
  return is_long_below && !is_within(state_.kswapd_scanned_ns, now_ns, kGaveUpNs) &&
         is_within(state_.direct_scanned_ns, now_ns, kGaveUpNs);
}

}  // namespace tidegauge::heuristics
