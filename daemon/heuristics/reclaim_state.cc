// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/reclaim_state.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "daemon/recorder/wire.h"

namespace tidegauge::heuristics {

namespace {

using recording::ByteReader;
using recording::ByteWriter;

constexpr std::uint8_t kVersion = 1;

constexpr std::int64_t kLeastDistanceNs = 900'000'000;
constexpr std::int64_t kEfficiencyWindowNs = 10'000'000'000;

// Optional numbers: 0 for none, else 1 and the number.
void put(ByteWriter& out, const std::optional<std::uint64_t>& value) {
  out.byte(value ? 1 : 0);
  if (value) {
    out.number(*value);
  }
}

void take(ByteReader& in, std::optional<std::uint64_t>& value) {
  const std::uint8_t is_there = in.byte();
  if (is_there > 1) {
    in.fail();
  }
  value = is_there == 1 ? std::optional(in.number()) : std::nullopt;
}

// Times since boot are never negative, which keeps differences from overflowing.
void put_time(ByteWriter& out, std::int64_t time_ns) {
  out.number(static_cast<std::uint64_t>(time_ns));
}

std::int64_t take_time(ByteReader& in) {
  const std::uint64_t time_ns = in.number();
  if (time_ns > INT64_MAX) {
    in.fail();
    return 0;
  }
  return static_cast<std::int64_t>(time_ns);
}

void put(ByteWriter& out, const std::optional<std::int64_t>& time_ns) {
  out.byte(time_ns ? 1 : 0);
  if (time_ns) {
    put_time(out, *time_ns);
  }
}

void take(ByteReader& in, std::optional<std::int64_t>& time_ns) {
  const std::uint8_t is_there = in.byte();
  if (is_there > 1) {
    in.fail();
  }
  time_ns = is_there == 1 ? std::optional(take_time(in)) : std::nullopt;
}

void put(ByteWriter& out, const std::optional<bool>& value) {
  out.byte(value ? (*value ? 2 : 1) : 0);
}

void take(ByteReader& in, std::optional<bool>& value) {
  const std::uint8_t code = in.byte();
  if (code > 2) {
    in.fail();
  }
  value = code == 0 ? std::nullopt : std::optional(code == 2);
}

void put(ByteWriter& out, const NodeState& state) {
  put(out, state.is_balanced);
  put(out, state.is_far_above_high);
  put(out, state.is_boosted);
}

void take(ByteReader& in, NodeState& state) {
  take(in, state.is_balanced);
  take(in, state.is_far_above_high);
  take(in, state.is_boosted);
}

std::size_t take_count(ByteReader& in, std::size_t most) {
  const std::size_t count = in.count();
  if (count > most) {
    in.fail();
    return 0;
  }
  return count;
}

void put(ByteWriter& out, const FreeTrend& trend) {
  out.number(trend.count);
  for (std::size_t i = 0; i < trend.count; ++i) {
    put_time(out, trend.at(i).boottime_ns);
    out.number(std::bit_cast<std::uint64_t>(trend.at(i).free_pages));
  }
}

void take(ByteReader& in, FreeTrend& trend) {
  trend.count = take_count(in, FreeTrend::kSamples);
  std::int64_t last_ns = 0;
  for (std::size_t i = 0; i < trend.count; ++i) {
    FreeSample& sample = trend.samples[i];
    sample.boottime_ns = take_time(in);
    sample.free_pages = std::bit_cast<double>(in.number());
    const bool is_sane =
        std::abs(sample.free_pages) <= static_cast<double>(kMostPages) * kMostZones;
    if (sample.boottime_ns < last_ns || !is_sane) {
      in.fail();
      return;
    }
    last_ns = sample.boottime_ns;
  }
}

void put(ByteWriter& out, const EfficiencyRing& ring) {
  out.number(ring.count);
  for (std::size_t i = 0; i < ring.count; ++i) {
    put_time(out, ring.at(i).boottime_ns);
    out.number(ring.at(i).scanned_pages);
    out.number(ring.at(i).reclaimed_pages);
  }
}

void take(ByteReader& in, EfficiencyRing& ring) {
  ring.count = take_count(in, EfficiencyRing::kSamples);
  for (std::size_t i = 0; i < ring.count; ++i) {
    ring.samples[i].boottime_ns = take_time(in);
    ring.samples[i].scanned_pages = in.number();
    ring.samples[i].reclaimed_pages = in.number();
  }
}

void put(ByteWriter& out, const NodeMemory& node) {
  out.number(node.node);
  put(out, node.free);
  put(out, node.now);
  put(out, node.before);
  put(out, node.below_low_since_ns);
  put(out, node.ebpf_ns);
  put(out, node.awake_ns);
  put(out, node.high_order_wakeups);
  put(out, node.high_order_wanted_ns);
}

void take(ByteReader& in, NodeMemory& node) {
  const std::uint64_t number = in.number();
  if (number > UINT32_MAX) {
    in.fail();
    return;
  }
  node.node = static_cast<std::uint32_t>(number);
  take(in, node.free);
  take(in, node.now);
  take(in, node.before);
  take(in, node.below_low_since_ns);
  take(in, node.ebpf_ns);
  take(in, node.awake_ns);
  take(in, node.high_order_wakeups);
  take(in, node.high_order_wanted_ns);
}

// The members that are put and taken alike, in their order.
template <class Bytes, class State, class Each>
void each_of_host(Bytes& bytes, State& state, Each each) {
  auto& times = state.times;
  for (auto* time : {&times.meminfo_ns, &times.vmstat_ns, &times.zoneinfo_ns, &times.buddyinfo_ns,
                     &times.pressure_ns, &times.ebpf_ns, &state.kswapd_scanned_ns,
                     &state.direct_scanned_ns, &state.compaction_wanted_ns}) {
    each(bytes, *time);
  }
  for (auto& counter : state.counters) {
    each(bytes, counter);
  }
  each(bytes, state.efficiency);
}

}  // namespace

std::optional<double> add_efficiency(EfficiencyRing& ring, EfficiencySample sample) {
  if (ring.count != 0) {
    const EfficiencySample& last = ring.at(ring.count - 1);
    if (sample.boottime_ns <= last.boottime_ns ||
        sample.boottime_ns - last.boottime_ns > kLongestGapNs ||
        sample.scanned_pages < last.scanned_pages ||
        sample.reclaimed_pages < last.reclaimed_pages) {
      ring = {};
    }
  }
  std::optional<double> ratio;
  for (std::size_t i = ring.count; i-- > 0;) {
    const EfficiencySample& before = ring.at(i);
    if (sample.boottime_ns - before.boottime_ns < kEfficiencyWindowNs && i != 0) {
      continue;
    }
    const auto scanned = static_cast<double>(sample.scanned_pages - before.scanned_pages);
    const auto reclaimed = static_cast<double>(sample.reclaimed_pages - before.reclaimed_pages);
    if (scanned > 0) {
      ratio = std::min(reclaimed / scanned, 1.0);
    }
    break;
  }
  const bool is_distant =
      ring.count == 0 ||
      sample.boottime_ns - ring.at(ring.count - 1).boottime_ns >= kLeastDistanceNs;
  if (is_distant && ring.count == EfficiencyRing::kSamples) {
    ring.samples[ring.first] = sample;
    ring.first = (ring.first + 1) % EfficiencyRing::kSamples;
  } else if (is_distant) {
    ring.samples[(ring.first + ring.count) % EfficiencyRing::kSamples] = sample;
    ++ring.count;
  }
  return ratio;
}

void save_state(const MemoryState& state, std::string& out) {
  ByteWriter bytes(out);
  bytes.byte(kVersion);
  each_of_host(bytes, state, [](ByteWriter& to, const auto& value) { put(to, value); });
  bytes.number(state.nodes.size());
  for (const NodeMemory& node : state.nodes) {
    put(bytes, node);
  }
}

bool load_state(std::string_view bytes, MemoryState& state) {
  ByteReader in(bytes);
  if (in.byte() != kVersion) {
    return false;
  }
  MemoryState loaded;
  each_of_host(in, loaded, [](ByteReader& from, auto& value) { take(from, value); });
  const std::size_t nodes = take_count(in, kMostNodes);
  for (std::size_t i = 0; i < nodes && in.is_good(); ++i) {
    take(in, loaded.nodes.emplace_back());
  }
  if (!in.is_good() || in.left() != 0) {
    return false;
  }
  state = std::move(loaded);
  return true;
}

}  // namespace tidegauge::heuristics
