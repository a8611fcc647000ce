// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/reclaim_model.h"

#include <algorithm>
#include <span>
#include <utility>

namespace tidegauge::heuristics {

namespace {

const Section* section_of(const Snapshot& snapshot, std::string_view collector) {
  const SnapshotEntry* entry = snapshot.find(collector);
  const Section* section = entry == nullptr ? nullptr : entry->section.get();
  // No clock since boot says that.
  return section != nullptr && section->read_start_boottime_ns < 0 ? nullptr : section;
}

// Whether the section was read anew. `elapsed_ns`: since the time before, 0 when there is none or time fell.
bool is_read_anew(const Section& section, std::optional<std::int64_t>& last_ns,
                  std::int64_t& elapsed_ns) {
  const std::int64_t now_ns = section.read_start_boottime_ns;
  if (last_ns == now_ns) {
    return false;
  }
  elapsed_ns = last_ns && now_ns > *last_ns ? now_ns - *last_ns : 0;
  last_ns = now_ns;
  return true;
}

std::optional<double> ratio_of(std::optional<double> part, std::optional<double> whole) {
  return part && whole && *whole > 0 ? std::optional(*part / *whole) : std::nullopt;
}

// Nanoseconds per second as a ratio.
std::optional<double> seconds_of(std::optional<double> nanoseconds) {
  return nanoseconds ? std::optional(*nanoseconds / 1e9) : std::nullopt;
}

std::optional<double> share_of(std::optional<double> nanoseconds) {
  return nanoseconds ? std::optional(std::min(*nanoseconds / 1e9, 1.0)) : std::nullopt;
}

std::optional<std::uint64_t> sum_of(std::optional<std::uint64_t> one,
                                    std::optional<std::uint64_t> other) {
  return one && other ? std::optional(*one + *other) : std::nullopt;
}

}  // namespace

std::optional<double> memory_bytes(const MemoryReading& reading, std::optional<double> pages) {
  return pages && reading.page_bytes ? std::optional(*pages * *reading.page_bytes) : std::nullopt;
}

void MemoryModel::update(const Snapshot& snapshot) {
  update_meminfo(section_of(snapshot, "meminfo"));
  update_vmstat(section_of(snapshot, "vmstat"));  // first: it tells which kernel's rules hold
  update_zoneinfo(section_of(snapshot, "zoneinfo"));
  update_buddyinfo(section_of(snapshot, "buddyinfo"));
  update_pressure(section_of(snapshot, "pressure"));
  update_ebpf(section_of(snapshot, "ebpf_memory"));
  update_page_bytes();
  update_dirty();
  update_kswapd();
}

bool MemoryModel::load(std::string_view bytes) {
  MemoryState state;
  if (!load_state(bytes, state)) {
    return false;
  }
  // What has been read so far belongs to another past. Everything is looked up anew.
  *this = MemoryModel();
  state_ = std::move(state);
  return true;
}

void MemoryModel::update_meminfo(const Section* section) {
  meminfo_total_bytes_.reset();
  meminfo_dirty_bytes_.reset();
  meminfo_writeback_bytes_.reset();
  if (section == nullptr) {
    return;
  }
  if (meminfo_shapes_.changed(*section)) {
    mem_total_ = find_cells(*section, "node_memory_MemTotal_bytes");
    mem_dirty_ = find_cells(*section, "node_memory_Dirty_bytes");
    mem_writeback_ = find_cells(*section, "node_memory_Writeback_bytes");
  }
  meminfo_total_bytes_ = value_at(*section, mem_total_, 0);
  meminfo_dirty_bytes_ = value_at(*section, mem_dirty_, 0);
  meminfo_writeback_bytes_ = value_at(*section, mem_writeback_, 0);
}

HostRates MemoryModel::take_counters(const HostCounters& now, std::size_t first, std::size_t end,
                                     std::int64_t elapsed_ns) {
  HostRates rates{};
  for (std::size_t i = first; i < end; ++i) {
    rates[i] = growth_per_second(state_.counters[i], now[i], elapsed_ns);
    state_.counters[i] = now[i];
  }
  return rates;
}

void MemoryModel::update_vmstat(const Section* section) {
  if (section == nullptr) {
    dirty_pages_ = {};
    reading_.reclaim.efficiency_ratio.reset();
    show_vmstat_rates({});
    return;
  }
  std::int64_t elapsed_ns = 0;
  if (!is_read_anew(*section, state_.times.vmstat_ns, elapsed_ns)) {
    return;
  }
  const std::int64_t now_ns = section->read_start_boottime_ns;
  HostCounters now{};
  vmstat_.read(*section, now, dirty_pages_);
  const HostRates rates = take_counters(now, 0, kFirstPressureCounter, elapsed_ns);
  show_vmstat_rates(rates);
  update_efficiency(now_ns);

  const auto grew = [&](HostCounter counter) { return rates[index_of(counter)].value_or(0) > 0; };
  if (grew(HostCounter::kScannedByKswapd)) {
    state_.kswapd_scanned_ns = now_ns;
  }
  if (grew(HostCounter::kScannedDirectly)) {
    state_.direct_scanned_ns = now_ns;
  }
  if (grew(HostCounter::kCompactionStalls) || grew(HostCounter::kCompactionWakeups)) {
    state_.compaction_wanted_ns = now_ns;
  }
}

void MemoryModel::show_vmstat_rates(const HostRates& rates) {
  const auto rate = [&](HostCounter counter) { return rates[index_of(counter)]; };
  ReclaimReading& reclaim = reading_.reclaim;
  reclaim.kswapd_scanned_pages_per_second = rate(HostCounter::kScannedByKswapd);
  reclaim.direct_scanned_pages_per_second = rate(HostCounter::kScannedDirectly);
  reclaim.kswapd_reclaimed_pages_per_second = rate(HostCounter::kReclaimedByKswapd);
  reclaim.direct_reclaimed_pages_per_second = rate(HostCounter::kReclaimedDirectly);
  reclaim.allocation_stalls_per_second = rate(HostCounter::kAllocationStalls);
  reclaim.file_refault_pages_per_second = rate(HostCounter::kFileRefaults);
  reclaim.anon_refault_pages_per_second = rate(HostCounter::kAnonRefaults);
  CompactionReading& compaction = reading_.compaction;
  compaction.stalls_per_second = rate(HostCounter::kCompactionStalls);
  compaction.fails_per_second = rate(HostCounter::kCompactionFails);
  compaction.successes_per_second = rate(HostCounter::kCompactionSuccesses);
  compaction.daemon_wakeups_per_second = rate(HostCounter::kCompactionWakeups);
  compaction.huge_page_fallbacks_per_second = rate(HostCounter::kHugePageFallbacks);
}

void MemoryModel::update_efficiency(std::int64_t now_ns) {
  const auto counter = [&](HostCounter which) { return state_.counters[index_of(which)]; };
  const auto scanned =
      sum_of(counter(HostCounter::kScannedByKswapd), counter(HostCounter::kScannedDirectly));
  auto reclaimed =
      sum_of(counter(HostCounter::kReclaimedByKswapd), counter(HostCounter::kReclaimedDirectly));
  if (!reclaimed) {
    reclaimed = counter(HostCounter::kReclaimed);
  }
  if (!scanned || !reclaimed) {
    state_.efficiency = {};
    reading_.reclaim.efficiency_ratio.reset();
    return;
  }
  reading_.reclaim.efficiency_ratio =
      add_efficiency(state_.efficiency, {now_ns, *scanned, *reclaimed});
}

void MemoryModel::update_buddyinfo(const Section* section) {
  if (section == nullptr) {
    fragmentation_ = {};
    reading_.fragmentation.clear();
    return;
  }
  std::int64_t elapsed_ns = 0;
  if (is_read_anew(*section, state_.times.buddyinfo_ns, elapsed_ns) ||
      reading_.fragmentation.empty()) {
    fragmentation_.read(*section, reading_.fragmentation);
  }
}

void MemoryModel::update_pressure(const Section* section) {
  std::int64_t elapsed_ns = 0;
  if (section != nullptr && !is_read_anew(*section, state_.times.pressure_ns, elapsed_ns)) {
    return;
  }
  HostRates rates{};
  if (section != nullptr) {
    HostCounters now{};
    pressure_.read(*section, now);
    rates = take_counters(now, kFirstPressureCounter, kFirstEbpfCounter, elapsed_ns);
  }
  reading_.reclaim.memory_some_ratio = share_of(rates[index_of(HostCounter::kMemorySome)]);
  reading_.reclaim.memory_full_ratio = share_of(rates[index_of(HostCounter::kMemoryFull)]);
}

void MemoryModel::update_ebpf(const Section* section) {
  std::int64_t elapsed_ns = 0;
  if (section != nullptr && !is_read_anew(*section, state_.times.ebpf_ns, elapsed_ns)) {
    return;
  }
  HostRates rates{};
  kswapd_counters_.clear();
  if (section != nullptr) {
    HostCounters now{};
    ebpf_.read(*section, now, kswapd_counters_);
    rates = take_counters(now, kFirstEbpfCounter, kHostCounters, elapsed_ns);
  }
  const auto seconds = [&](HostCounter counter) { return seconds_of(rates[index_of(counter)]); };
  reading_.reclaim.direct_stall_seconds_per_second = seconds(HostCounter::kDirectReclaimTime);
  reading_.compaction.stall_seconds_per_second = seconds(HostCounter::kCompactionTime);
  reading_.dirty.throttle_seconds_per_second = seconds(HostCounter::kDirtyThrottleTime);
  for (std::size_t i = 0; i < reading_.nodes.size(); ++i) {
    update_ebpf_node(reading_.nodes[i], state_.nodes[i]);
  }
}

void MemoryModel::update_ebpf_node(NodeReading& reading, NodeMemory& node) {
  const std::int64_t now_ns = state_.times.ebpf_ns.value_or(0);
  // Of the node: it can have been without zoneinfo in between.
  const std::int64_t elapsed_ns = now_ns - node.ebpf_ns.value_or(now_ns);
  KswapdCounters now;
  for (const KswapdCounters& counters : kswapd_counters_) {
    if (counters.node == node.node) {
      now = counters;
    }
  }
  reading.kswapd.awake_ratio = share_of(growth_per_second(node.awake_ns, now.awake_ns, elapsed_ns));
  reading.kswapd.high_order_wakeups_per_second =
      growth_per_second(node.high_order_wakeups, now.high_order_wakeups, elapsed_ns);
  if (reading.kswapd.high_order_wakeups_per_second.value_or(0) > 0) {
    node.high_order_wanted_ns = now_ns;
  }
  node.ebpf_ns = now_ns;
  node.awake_ns = now.awake_ns;
  node.high_order_wakeups = now.high_order_wakeups;
}

void MemoryModel::update_page_bytes() {
  if (reading_.page_bytes || !meminfo_total_bytes_ || reading_.zones.size() >= kMostZones) {
    return;
  }
  double pages = 0;
  for (const ZoneReading& zone : reading_.zones) {
    pages += zone.managed_pages ? *zone.managed_pages : zone.present_pages.value_or(0);
  }
  reading_.page_bytes = page_bytes_of(*meminfo_total_bytes_, pages);
}

void MemoryModel::update_dirty() {
  const auto pages_of = [&](std::optional<double> pages, std::optional<double> bytes) {
    return pages ? pages : ratio_of(bytes, reading_.page_bytes);
  };
  const auto dirty = pages_of(dirty_pages_.dirty_pages, meminfo_dirty_bytes_);
  const auto writeback = pages_of(dirty_pages_.writeback_pages, meminfo_writeback_bytes_);
  const auto& threshold = dirty_pages_.threshold_pages;
  const auto& background = dirty_pages_.background_threshold_pages;
  DirtyReading& out = reading_.dirty;
  out.dirty_bytes = dirty_pages_.dirty_pages ? memory_bytes(reading_, dirty) : meminfo_dirty_bytes_;
  out.writeback_bytes =
      dirty_pages_.writeback_pages ? memory_bytes(reading_, writeback) : meminfo_writeback_bytes_;
  out.threshold_bytes = memory_bytes(reading_, threshold);
  out.background_threshold_bytes = memory_bytes(reading_, background);
  out.background_ratio = ratio_of(dirty, background);
  out.freerun_ratio.reset();
  if (dirty && writeback && threshold && background) {
    out.freerun_ratio = ratio_of(*dirty + *writeback, (*threshold + *background) / 2);
  }
}

void MemoryModel::update_zoneinfo(const Section* section) {
  if (section == nullptr) {
    watermarks_ = {};
    reading_.zones.clear();
    reading_.nodes.clear();
    return;
  }
  std::int64_t elapsed_ns = 0;
  const bool is_new = is_read_anew(*section, state_.times.zoneinfo_ns, elapsed_ns);
  if (!is_new && !reading_.zones.empty()) {
    return;
  }
  if (watermarks_.read(*section, reading_.zones)) {
    list_nodes();
  }
  for (std::size_t i = 0; i < reading_.nodes.size(); ++i) {
    update_node(i, section->read_start_boottime_ns, elapsed_ns == 0 || elapsed_ns > kLongestGapNs);
  }
}

void MemoryModel::list_nodes() {
  reading_.nodes.clear();
  node_begin_.clear();
  std::vector<NodeMemory> memories;
  for (std::size_t i = 0; i < reading_.zones.size(); ++i) {
    const ZoneReading& zone = reading_.zones[i];
    if (!reading_.nodes.empty() && reading_.nodes.back().node_number == zone.node_number) {
      continue;
    }
    NodeReading& node = reading_.nodes.emplace_back();
    node.node = zone.node;
    node.node_number = zone.node_number;
    node_begin_.push_back(i);
    const auto known =
        std::find_if(state_.nodes.begin(), state_.nodes.end(),
                     [&](const NodeMemory& memory) { return memory.node == zone.node_number; });
    if (known != state_.nodes.end()) {
      memories.push_back(*known);
    } else {
      memories.emplace_back().node = zone.node_number;
    }
  }
  node_begin_.push_back(reading_.zones.size());
  state_.nodes = std::move(memories);
}

void MemoryModel::update_node(std::size_t index, std::int64_t now_ns, bool is_first) {
  NodeReading& reading = reading_.nodes[index];
  NodeMemory& memory = state_.nodes[index];
  const std::size_t begin = node_begin_[index];
  const std::span zones(reading_.zones.data() + begin, node_begin_[index + 1] - begin);
  NodeWatermarks& marks = reading.watermarks;
  marks = measure_node(zones,
                       vmstat_.counts_by_zone() ? BalanceRule::kEveryZone : BalanceRule::kAnyZone);

  memory.before = is_first ? NodeState{} : memory.now;
  memory.now = {marks.is_balanced, marks.is_far_above_high, std::nullopt};
  if (marks.boost_pages) {
    memory.now.is_boosted = *marks.boost_pages > 0;
  }
  if (!marks.headroom_low_pages || *marks.headroom_low_pages > 0) {
    memory.below_low_since_ns.reset();
  } else if (!memory.below_low_since_ns || is_first) {
    memory.below_low_since_ns = now_ns;
  }

  if (marks.free_pages && !add_sample(memory.free, {now_ns, *marks.free_pages})) {
    return;  // too soon after the last one to say anything new
  }
  const auto time = marks.free_pages && marks.headroom_low_pages
                        ? time_to_mark(memory.free, *marks.headroom_low_pages)
                        : std::nullopt;
  reading.time_to_low_seconds.reset();
  reading.time_to_low_uncertainty_seconds.reset();
  if (time) {
    reading.time_to_low_seconds = time->seconds;
    reading.time_to_low_uncertainty_seconds = time->uncertainty_seconds;
  }
}

}  // namespace tidegauge::heuristics
