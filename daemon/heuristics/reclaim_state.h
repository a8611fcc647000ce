// SPDX-License-Identifier: Apache-2.0
#pragma once

// All that the memory model remembers from tick to tick, as passive data of bounded size: what it takes to go on
// after a restart as if there had been none.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/heuristics/kswapd.h"
#include "daemon/heuristics/reclaim_counters.h"
#include "daemon/heuristics/watermark_trend.h"

namespace tidegauge::heuristics {

// The sums behind the efficiency of reclaim, at one time.
struct EfficiencySample {
  std::int64_t boottime_ns = 0;
  std::uint64_t scanned_pages = 0;
  std::uint64_t reclaimed_pages = 0;
};

// The last ones, oldest first from `first`, at least 0.9 s apart.
struct EfficiencyRing {
  static constexpr std::size_t kSamples = 12;

  std::array<EfficiencySample, kSamples> samples{};
  std::size_t first = 0;
  std::size_t count = 0;

  [[nodiscard]] const EfficiencySample& at(std::size_t i) const {
    return samples[(first + i) % kSamples];
  }
};

// Adds the newest sample. The answer is reclaimed over scanned since the newest one that is at least 10 s older,
// or the oldest there is; at most 1, since both counters grow between two looks at them. None when nothing was
// scanned, with one sample, and after a gap or a fall.
std::optional<double> add_efficiency(EfficiencyRing& ring, EfficiencySample sample);

struct NodeMemory {
  std::uint32_t node = 0;
  FreeTrend free;
  NodeState now;
  NodeState before;
  std::optional<std::int64_t> below_low_since_ns;
  std::optional<std::int64_t> ebpf_ns;  // of the next two
  std::optional<std::uint64_t> awake_ns;
  std::optional<std::uint64_t> high_order_wakeups;
  std::optional<std::int64_t> high_order_wanted_ns;  // when last
};

// When each source was last read.
struct SourceTimes {
  std::optional<std::int64_t> meminfo_ns;
  std::optional<std::int64_t> vmstat_ns;
  std::optional<std::int64_t> zoneinfo_ns;
  std::optional<std::int64_t> buddyinfo_ns;
  std::optional<std::int64_t> pressure_ns;
  std::optional<std::int64_t> ebpf_ns;
};

struct MemoryState {
  SourceTimes times;
  HostCounters counters{};
  EfficiencyRing efficiency;
  std::optional<std::int64_t> kswapd_scanned_ns;  // when last, by this host's counters
  std::optional<std::int64_t> direct_scanned_ns;
  std::optional<std::int64_t> compaction_wanted_ns;
  std::vector<NodeMemory> nodes;  // at most kMostNodes
};

void save_state(const MemoryState& state, std::string& out);
// Takes what save_state() wrote, all of it or nothing: another version, missing or surplus bytes and numbers out of
// range leave `state` as it was.
bool load_state(std::string_view bytes, MemoryState& state);

}  // namespace tidegauge::heuristics
