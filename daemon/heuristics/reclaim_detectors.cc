// SPDX-License-Identifier: Apache-2.0

// Memory that is short by the kernel's own doing: kswapd at its watermarks, allocations that reclaim for themselves or
// compact, swapping both ways. A page cache that is merely full also keeps kswapd busy and makes whoever reads help it;
// that is how it works, so each of these asks in addition who loses by it.

#include <algorithm>
#include <cmath>
#include <utility>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/leading_signal.h"
#include "daemon/heuristics/memory_parties.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kWindow = 10;  // seconds
// Of the window, scanning must fill this part: kswapd that wakes for a moment is at its normal work.
constexpr double kMostOfIt = 0.5;
// Available memory below so many times available_ratio is tight: with more, reclaim has clean cache to take.
constexpr double kTightFactor = 4;
// Memory that only swap can take back, taken at this part of the pace of reclaim, is what reclaim is for.
constexpr double kDemandShare = 0.3;
constexpr double kPsiHeavy = 0.3;
constexpr std::size_t kMostVictims = 4;
// Blocks that are wanted most: 2 MiB for huge pages, 64 KiB for the kernel's own buffers, in pages of 4 KiB.
constexpr std::size_t kHugeOrder = 9;
constexpr int kNearOne = 500;  // thousandths; vm.extfrag_threshold: from here the kernel compacts instead of reclaiming

double scanned_directly(const Scene& scene) { return scene.mean(Signal::kScannedDirect, kWindow); }

// The least memory that was available within the window, as a share of all; unknown where neither is.
double least_available_ratio(const Scene& scene) {
  const double least = scene.has(Signal::kMemAvailable) ? scene.min(Signal::kMemAvailable, kWindow) : available_bytes(scene);
  return least / scene.now(Signal::kMemTotal);
}

bool is_tight(const DetectorInput& input) {
  return least_available_ratio(input.scene) < kTightFactor * input.limits.available_ratio;
}

struct Filler {
  const Subject* group = nullptr;
  double bytes = 0;  // page cache filled per second
};

// Who fills the page cache, read and written together, the largest first.
std::vector<Filler> fillers(const Scene& scene) {
  const bool has_cache = scene.has(Signal::kGroupCacheRead) || scene.has(Signal::kGroupCacheWritten);
  const Signal read = has_cache ? Signal::kGroupCacheRead : Signal::kGroupRead;
  const Signal written = has_cache ? Signal::kGroupCacheWritten : Signal::kGroupWritten;
  std::vector<Filler> out;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    const double bytes = sum_known(scene.mean(*group, read, kWindow), scene.mean(*group, written, kWindow));
    if (bytes > 0) {
      out.push_back({group, bytes});
    }
  }
  std::sort(out.begin(), out.end(), [](const Filler& a, const Filler& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.group->labels < b.group->labels;
  });
  return out;
}

// Who takes memory: anonymous memory first, then the page cache, each with its share of both.
std::vector<Party> demanders(const Scene& scene, std::size_t most) {
  struct Demand {
    double bytes;
    const Taking* taking;
    const Filler* filler;
  };
  const std::vector<Taking> takings = takers(scene, kWindow);
  const std::vector<Filler> filling = fillers(scene);
  std::vector<Demand> all;
  double whole = 0;
  for (const Taking& one : takings) {
    all.push_back({one.taken_bytes_per_second, &one, nullptr});
    whole += one.taken_bytes_per_second;
  }
  for (const Filler& one : filling) {
    all.push_back({one.bytes, nullptr, &one});
    whole += one.bytes;
  }
  std::stable_sort(all.begin(), all.end(), [](const Demand& a, const Demand& b) { return a.bytes > b.bytes; });
  std::vector<Party> out;
  for (const Demand& one : all) {
    if (out.size() == most || one.bytes < 0.1 * whole) {
      break;
    }
    if (one.taking != nullptr) {
      out.push_back(taker_party(scene, *one.taking, kWindow, whole));
      continue;
    }
    const std::string& group = one.filler->group->label(0);
    const double read = scene.mean(*one.filler->group, Signal::kGroupRead, kWindow);
    const bool reads = read > one.bytes / 2;
    Party party = member_of_group(scene, group, reads ? Signal::kProcessRead : Signal::kProcessWritten, one.bytes, kWindow);
    party.group = group;
    party.share = one.bytes / whole;
    party.doing = std::string("fills the page cache with ") + figure(one.bytes, Unit::kBytesPerSecond) +
                  (reads ? " that it reads" : " that it writes");
    out.push_back(std::move(party));
  }
  return out;
}

// Groups that stall in direct reclaim, not for their cgroup's limit.
struct Stall {
  double all = kUnknown;    // seconds per second
  double others = kUnknown;  // of those that do not fill the page cache themselves
  std::vector<std::pair<double, const Subject*>> groups;
};

Stall measure_stall(const Scene& scene) {
  Stall out;
  if (!scene.has(Signal::kGroupReclaimStall)) {
    return out;
  }
  out.all = 0;
  out.others = 0;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    const double stall = scene.mean(*group, Signal::kGroupReclaimStall, kWindow);
    if (!(stall > 0)) {
      continue;
    }
    const double limit = scene.mean(*group, Signal::kGroupLimitStall, kWindow);
    const double direct = std::max(stall - (is_known(limit) ? limit : 0), 0.0);
    out.groups.emplace_back(direct, group);
    out.all += direct;
    const double filled = sum_known(scene.mean(*group, Signal::kGroupCacheRead, kWindow),
                                    scene.mean(*group, Signal::kGroupCacheWritten, kWindow));
    const double moved = sum_known(scene.mean(*group, Signal::kGroupRead, kWindow),
                                   scene.mean(*group, Signal::kGroupWritten, kWindow));
    // Whoever streams through the cache waits for its disk or for its reclaim: the same.
    const double total = scene.now(Signal::kMemTotal);
    const bool streams = std::max(is_known(filled) ? filled : 0, is_known(moved) ? moved : 0) > 0.01 * total;
    out.others += streams ? 0 : direct;
  }
  std::sort(out.groups.begin(), out.groups.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second->labels < b.second->labels;
  });
  return out;
}

void add_stalled(Finding& finding, const Stall& stall) {
  for (const auto& [seconds, group] : stall.groups) {
    if (finding.victims.size() == kMostVictims || seconds < 0.05 * stall.all || seconds <= 0) {
      break;
    }
    Party party = party_of_group(group->label(0));
    party.share = seconds / stall.all;
    party.doing = "stalls " + figure(seconds, Unit::kRatio) + " of the time in direct reclaim";
    finding.victims.push_back(std::move(party));
  }
}

void add_reclaim_figures(Finding& finding, const DetectorInput& input) {
  const Scene& scene = input.scene;
  add_figure(finding, "pages scanned by kswapd (pgscank)", scene.mean(Signal::kScannedKswapd, kWindow),
             Signal::kScannedKswapd, input.limits.scan_pages_per_second);
  add_figure(finding, "pages scanned by those who allocate (pgscand)", scanned_directly(scene), Signal::kScannedDirect);
  if (input.memory.reclaim.efficiency_ratio) {
    add_figure(finding, "reclaimed of what is scanned (%vmeff)", *input.memory.reclaim.efficiency_ratio, Unit::kRatio,
               std::nullopt, "node_vmstat_pgsteal_kswapd, node_vmstat_pgscan_kswapd");
  }
  add_figure(finding, "allocations that reclaimed for themselves (allocstall)", scene.mean(Signal::kDirectReclaims, kWindow),
             Signal::kDirectReclaims);
  add_figure(finding, "time in which some task waits for memory (PSI)", scene.mean(Signal::kPressureMemory, kWindow),
             Signal::kPressureMemory, input.limits.pressure_memory_ratio);
  const double total = scene.now(Signal::kMemTotal);
  add_figure(finding, "least available memory of the last 10 s, of all", least_available_ratio(scene), Unit::kRatio,
             kTightFactor * input.limits.available_ratio, source_of(Signal::kMemAvailable));
  add_figure(finding, "memory that only swap takes back (AnonPages and Shmem), of all",
             (scene.now(Signal::kAnonPages) + scene.now(Signal::kShmem)) / total, Unit::kRatio, std::nullopt,
             "node_memory_AnonPages_bytes, node_memory_Shmem_bytes");
}

// The node whose free memory is nearest to low.
const NodeReading* tightest_node(const MemoryReading& memory) {
  const NodeReading* out = nullptr;
  for (const NodeReading& node : memory.nodes) {
    const auto& headroom = node.watermarks.headroom_low_pages;
    if (headroom && (out == nullptr || *headroom < *out->watermarks.headroom_low_pages)) {
      out = &node;
    }
  }
  return out;
}

void name_causes(Finding& finding, const Scene& scene) {
  finding.causes = demanders(scene, 3);
  if (finding.causes.empty()) {
    finding.causes = largest_parties(scene);
    if (finding.causes.empty()) {
      finding.unchecked.emplace_back("who takes the memory: no process is seen to");
    }
  } else {
    finding.confidence += 0.1;
  }
}

std::string for_long(const Scene& scene, const Finding& finding) {
  return ", for " + format_duration(static_cast<double>(scene.boottime_ns() - finding.onset_ns) / 1e9) + ".";
}

std::string who_takes(const Finding& finding) {
  return finding.causes.empty() ? "" : "; " + finding.causes.front().text() + " " + finding.causes.front().doing;
}

}  // namespace

void detect_memory_watermark_pressure(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  const double scanned = scene.mean(Signal::kScannedKswapd, kWindow);
  if (!(scanned >= limits.scan_pages_per_second) ||
      !(scene.share_at_least(scene.host(), Signal::kScannedKswapd, limits.scan_pages_per_second / 10, kWindow) >=
        kMostOfIt)) {
    return;
  }
  const double available = least_available_ratio(scene);
  if (!is_tight(input)) {
    return;
  }
  const NodeReading* node = tightest_node(input.memory);
  // kswapd that scans far above the marks is awake for something else.
  if (node != nullptr && node->watermarks.is_far_above_high.value_or(false) &&
      !(scene.min(Signal::kMemFree, kWindow) < 0.5 * scene.now(Signal::kMemFree))) {
    return;
  }
  const double page = page_bytes(input.memory);
  const double stolen = sum_known(scene.mean(Signal::kStolenKswapd, kWindow), scene.mean(Signal::kStolenDirect, kWindow));
  const Taking taking = host_taking(scene, kWindow);
  const bool is_demand = taking.taken_bytes_per_second >= kDemandShare * stolen * page;
  const bool is_short = available < 2 * limits.available_ratio;
  if (!is_demand && !is_short) {
    return;
  }
  const double pressure = scene.mean(Signal::kPressureMemory, kWindow);
  const bool hurts = pressure >= limits.pressure_memory_ratio || scanned_directly(scene) >= limits.scan_pages_per_second / 10;
  if (!hurts && available >= limits.available_ratio) {
    return;
  }
  Finding finding;
  finding.id = VerdictId::kMemoryWatermarkPressure;
  finding.confidence = 0.6 + (hurts ? 0.1 : 0) + (node != nullptr ? 0.1 : 0);
  finding.onset_ns = onset_of(scene, scene.host(), Signal::kScannedKswapd, scanned).value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  name_causes(finding, scene);
  const Stall stall = measure_stall(scene);
  add_stalled(finding, stall);
  add_reclaim_figures(finding, input);
  add_figure(finding, "memory taken that only swap takes back", taking.taken_bytes_per_second, Unit::kBytesPerSecond,
             std::nullopt, "node_memory_AnonPages_bytes, node_memory_Shmem_bytes");
  if (node != nullptr) {
    finding.causes.empty() ? void() : void(finding.causes.front().zone = "node " + node->node);
    add_figure(finding, "free memory of node " + node->node + " above its low watermark",
               *node->watermarks.headroom_low_pages * page, Unit::kBytes, 0, "node_zoneinfo_low_pages");
    if (node->time_to_low_seconds) {
      add_figure(finding, "until it is down to low, as it falls now", *node->time_to_low_seconds, Unit::kSeconds,
                 std::nullopt, "node_zoneinfo_nr_free_pages");
    }
  } else {
    finding.unchecked.emplace_back("free memory against the watermarks: no /proc/zoneinfo at this time");
  }
  add_unchecked(finding, scene, Signal::kPressureMemory, "time lost by waiting for memory: this kernel has no PSI");
  const double in = scene.mean(Signal::kSwapIns, kWindow);
  if (in == 0) {
    finding.ruled_out.push_back({"swap thrash", "nothing is swapped in"});
  }
  Timeline timeline;
  timeline.add(finding.onset_ns, "kswapd scans");
  timeline.add(onset_of(scene, scene.host(), Signal::kDirectReclaims, scene.mean(Signal::kDirectReclaims, kWindow)),
               "allocations reclaim for themselves");
  timeline.add(onset_of(scene, scene.host(), Signal::kPressureMemory, pressure), "tasks wait for memory");
  finding.timeline = std::move(timeline).moments();
  finding.sentence = "Free memory is at its watermarks: kswapd scans " + figure(scanned, Unit::kPagesPerSecond) + " and only " +
                     figure(available, Unit::kRatio) + " of all memory is available" + who_takes(finding) +
                     for_long(scene, finding);
  finding.next_steps = {"sar -B 1", "cat /proc/zoneinfo", "cat /proc/pressure/memory", "ps aux --sort=-rss | head"};
  finding.confidence = std::min(finding.confidence, 0.9);
  out.push_back(std::move(finding));
}

void detect_direct_reclaim_stall(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  const double direct = scanned_directly(scene);
  const double reclaims = scene.mean(Signal::kDirectReclaims, kWindow);
  if (!(direct >= limits.scan_pages_per_second / 10) && !(reclaims >= 1)) {
    return;
  }
  if (!(scene.share_at_least(scene.host(), is_known(direct) ? Signal::kScannedDirect : Signal::kDirectReclaims, 1, kWindow) >=
        kMostOfIt)) {
    return;
  }
  const Stall stall = measure_stall(scene);
  const double pressure = scene.mean(Signal::kPressureMemory, kWindow);
  const bool tight = is_tight(input);
  if (is_known(stall.all)) {
    if (!(stall.others >= limits.direct_stall_ratio) && !(tight && stall.all >= limits.direct_stall_ratio)) {
      return;
    }
  } else {
    // Nobody times the stalls. Some task waits for memory, and it is not kswapd alone: PSI counts that too.
    const double by_allocators = direct / (direct + scene.mean(Signal::kScannedKswapd, kWindow));
    const bool waits = is_known(pressure) ? pressure >= limits.pressure_memory_ratio : reclaims >= 10;
    if (!tight || !waits || !(by_allocators >= 0.05)) {
      return;
    }
  }
  Finding finding;
  finding.id = VerdictId::kDirectReclaimStall;
  finding.confidence = is_known(stall.all) ? 0.75 : 0.55;
  finding.onset_ns = onset_of(scene, scene.host(), is_known(direct) ? Signal::kScannedDirect : Signal::kDirectReclaims,
                              is_known(direct) ? direct : reclaims)
                         .value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  name_causes(finding, scene);
  add_stalled(finding, stall);
  add_figure(finding, "time that threads spend in direct reclaim, all together", stall.all, Unit::kRatio,
             limits.direct_stall_ratio, source_of(Signal::kGroupReclaimStall));
  add_figure(finding, "of it, those that do not stream through the page cache", stall.others, Unit::kRatio, std::nullopt,
             source_of(Signal::kGroupReclaimStall));
  add_reclaim_figures(finding, input);
  add_unchecked(finding, scene, Signal::kGroupReclaimStall, "who stalls, and for how long: needs BPF");
  if (!is_known(pressure)) {
    finding.unchecked.emplace_back("time lost by waiting for memory: this kernel has no PSI");
  }
  const double compacted = scene.mean(Signal::kCompactStalls, kWindow);
  if (is_known(compacted) && compacted < limits.fragmentation_stalls_per_second) {
    finding.ruled_out.push_back(
        {"compaction", figure(compacted, Unit::kPerSecond) + " allocations compact memory (compact_stall)"});
  }
  Timeline timeline;
  timeline.add(onset_of(scene, scene.host(), Signal::kScannedKswapd, scene.mean(Signal::kScannedKswapd, kWindow)), "kswapd scans");
  timeline.add(finding.onset_ns, "allocations reclaim for themselves");
  timeline.add(onset_of(scene, scene.host(), Signal::kPressureMemory, pressure), "tasks wait for memory");
  finding.timeline = std::move(timeline).moments();
  finding.sentence = is_known(stall.all) && !finding.victims.empty()
                         ? "Allocations wait for memory: " + finding.victims.front().text() + " " + finding.victims.front().doing
                         : "Allocations wait for memory: " + figure(reclaims, Unit::kPerSecond) + " reclaim for themselves";
  finding.sentence += who_takes(finding) + for_long(scene, finding);
  finding.next_steps = {"sar -B 1", "cat /proc/pressure/memory", "grep -E 'allocstall|pgscan' /proc/vmstat"};
  finding.confidence = std::min(finding.confidence, 0.9);
  out.push_back(std::move(finding));
}

void detect_memory_fragmentation(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  const double stalls = scene.mean(Signal::kCompactStalls, kWindow);
  if (!(stalls >= limits.fragmentation_stalls_per_second)) {
    return;
  }
  const double fails = scene.mean(Signal::kCompactFails, kWindow);
  double stalled = kUnknown;
  if (scene.has(Signal::kGroupCompactionStall)) {
    stalled = 0;
    for (const Subject* group : scene.subjects(Kind::kGroup)) {
      stalled += Scene::sum(*group, Signal::kGroupCompactionStall);
    }
  }
  // Compaction that succeeds and costs nothing is how huge pages come about.
  const bool in_vain = fails >= stalls / 2;
  if (is_known(stalled) ? stalled < limits.direct_stall_ratio : !in_vain) {
    return;
  }
  // The zone from which allocations come: the largest one.
  const ZoneFragmentation* worst = nullptr;
  int index = -1000;
  std::size_t order = 0;
  double most_pages = 0;
  for (const ZoneFragmentation& zone : input.memory.fragmentation) {
    double pages = 0;
    for (const ZoneReading& one : input.memory.zones) {
      if (one.node == zone.node && one.zone == zone.zone) {
        pages = one.managed_pages.value_or(one.present_pages.value_or(0));
      }
    }
    if (zone.orders.empty() || pages < most_pages / 4) {
      continue;
    }
    most_pages = std::max(most_pages, pages);
    const std::size_t wanted = std::min(kHugeOrder, zone.orders.size() - 1);
    if (zone.orders[wanted].fragmentation_index > index) {
      index = zone.orders[wanted].fragmentation_index;
      order = wanted;
      worst = &zone;
    }
  }
  if (worst == nullptr ? !in_vain : index < kNearOne) {
    return;
  }
  Finding finding;
  finding.id = VerdictId::kMemoryFragmentation;
  finding.confidence = 0.5 + (worst != nullptr ? 0.15 : 0) + (is_known(stalled) ? 0.1 : 0) + (in_vain ? 0.1 : 0);
  finding.onset_ns = onset_of(scene, scene.host(), Signal::kCompactStalls, stalls).value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  for (const Share& one : shares(scene, Signal::kGroupCompactionStall, kWindow, kUnknown, 0.1)) {
    Party party = party_of_group(one.subject->label(0));
    party.share = one.share;
    party.doing = "compacts memory for " + figure(one.value, Unit::kRatio) + " of the time";
    finding.causes.push_back(party);
    finding.victims.push_back(std::move(party));
    if (finding.causes.size() == 3) {
      break;
    }
  }
  add_figure(finding, "allocations that compact memory (compact_stall)", stalls, Signal::kCompactStalls,
             limits.fragmentation_stalls_per_second);
  add_figure(finding, "of these, in vain (compact_fail)", fails, Signal::kCompactFails);
  add_figure(finding, "page faults that got small pages instead of a huge one", scene.now(Signal::kThpFallbacks),
             Signal::kThpFallbacks);
  add_figure(finding, "time that threads compact memory, all together", stalled, Unit::kRatio, limits.direct_stall_ratio,
             source_of(Signal::kGroupCompactionStall));
  add_figure(finding, "free memory", scene.now(Signal::kMemFree), Signal::kMemFree);
  std::string where;
  if (worst != nullptr) {
    where = " of " + std::to_string(1U << order) + " pages in zone " + worst->zone + " of node " + worst->node;
    Party zone;
    zone.zone = worst->zone;
    zone.doing = "has its free memory in pieces";
    finding.causes.push_back(std::move(zone));
    add_figure(finding, "fragmentation index for blocks" + where, index / 1000.0, Unit::kNumber, kNearOne / 1000.0,
               "node_buddyinfo_blocks");
    finding.ruled_out.push_back({"too little memory", "the index is " + figure(index / 1000.0, Unit::kNumber) +
                                                          "; 0 would be want of memory, 1 is memory in pieces"});
  } else {
    finding.unchecked.emplace_back("the free blocks: no /proc/buddyinfo at this time");
  }
  add_unchecked(finding, scene, Signal::kGroupCompactionStall, "who compacts, and for how long: needs BPF");
  finding.sentence = "Free memory lies in pieces: " + figure(stalls, Unit::kPerSecond) + " allocations compact it" +
                     (is_known(fails) ? ", " + figure(fails, Unit::kPerSecond) + " in vain" : "") +
                     (where.empty() ? "" : ", for blocks" + where) + for_long(scene, finding);
  finding.next_steps = {"cat /proc/buddyinfo", "grep -E 'compact|thp' /proc/vmstat",
                        "cat /sys/kernel/mm/transparent_hugepage/defrag"};
  finding.confidence = std::min(finding.confidence, 0.85);
  out.push_back(std::move(finding));
}

namespace {

// Swap's place is in no file that is read: the disk that moves what is swapped, both ways.
const Subject* swap_disk(const Scene& scene, double in_bytes, double out_bytes) {
  const Subject* best = nullptr;
  double nearest = 1;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    const double read = scene.mean(*disk, Signal::kDiskReadBytes, kWindow);
    const double written = scene.mean(*disk, Signal::kDiskWrittenBytes, kWindow);
    if (!(read >= 0.7 * in_bytes) || !(written >= 0.7 * out_bytes)) {
      continue;
    }
    const double off = std::abs(std::log(read / in_bytes)) + std::abs(std::log(written / out_bytes));
    if (best == nullptr || off < nearest) {
      nearest = off;
      best = disk;
    }
  }
  return best;
}

}  // namespace

void detect_swap_thrash(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  const double in = scene.mean(Signal::kSwapIns, kWindow);
  const double swapped = scene.mean(Signal::kSwapOuts, kWindow);
  const double pressure = scene.mean(Signal::kPressureMemory, kWindow);
  // A disk that can do no more pages than that makes the waits longer instead.
  const double limit = limits.swap_pages_per_second * (pressure >= kPsiHeavy ? 0.25 : 1);
  if (!(in >= limit) || !(swapped >= limit) ||
      !(scene.share_at_least(scene.host(), Signal::kSwapIns, limit / 4, kWindow) >= kMostOfIt) ||
      !(scene.share_at_least(scene.host(), Signal::kSwapOuts, limit / 4, kWindow) >= kMostOfIt)) {
    return;
  }
  const double majors = scene.mean(Signal::kMajorFaults, kWindow);
  const bool waits = is_known(pressure) ? pressure >= limits.pressure_memory_ratio : majors >= limit / 8;
  if (!waits) {
    return;
  }
  Finding finding;
  finding.id = VerdictId::kSwapThrash;
  finding.confidence = 0.75;
  const auto began_in = onset_of(scene, scene.host(), Signal::kSwapIns, in);
  const auto began_out = onset_of(scene, scene.host(), Signal::kSwapOuts, swapped);
  finding.onset_ns = std::min(began_in.value_or(scene.boottime_ns()), began_out.value_or(scene.boottime_ns()));
  // Swapping out alone is no thrash yet.
  if (began_in && began_out) {
    finding.onset_ns = std::max(*began_in, *began_out);
  }
  finding.onset_resolution_seconds = scene.tick_seconds();
  const double page = page_bytes(input.memory);
  const Subject* disk = swap_disk(scene, in * page, swapped * page);

  for (const Share& one : shares(scene, Signal::kGroupMajorFaults, kWindow, kUnknown, 0.05)) {
    if (finding.victims.size() == kMostVictims) {
      break;
    }
    Party party = member_of_group(scene, one.subject->label(0), Signal::kProcessMajorFaults, one.value, kWindow);
    party.group = one.subject->label(0);
    party.share = one.share;
    party.doing = "waits for " + figure(one.value, Unit::kPerSecond) + " pages a second from swap or files";
    if (const double bytes = Scene::now(*one.subject, Signal::kGroupSwap); is_known(bytes) && bytes > 0) {
      party.doing += ", has " + figure(bytes, Unit::kBytes) + " in swap";
    }
    finding.victims.push_back(std::move(party));
  }
  // What is resident and what is swapped of it is what it wants.
  finding.causes = largest_parties(scene);
  if (finding.causes.empty()) {
    finding.unchecked.emplace_back("who has the memory: no process is seen to");
  } else {
    finding.confidence += 0.1;
    if (disk != nullptr) {
      finding.causes.front().device = disk->label(0);
    }
  }
  add_figure(finding, "pages swapped in (pswpin)", in, Signal::kSwapIns, limit);
  add_figure(finding, "pages swapped out (pswpout)", swapped, Signal::kSwapOuts, limit);
  add_figure(finding, "major faults (majflt)", majors, Signal::kMajorFaults);
  add_figure(finding, "time in which some task waits for memory (PSI)", pressure, Signal::kPressureMemory,
             limits.pressure_memory_ratio);
  add_figure(finding, "time in which all that could run wait for memory (PSI)", scene.mean(Signal::kPressureMemoryFull, kWindow),
             Signal::kPressureMemoryFull);
  add_figure(finding, "anonymous pages needed again after they were swapped out", scene.mean(Signal::kRefaultsAnon, kWindow),
             Signal::kRefaultsAnon);
  add_figure(finding, "swap that is free", scene.now(Signal::kSwapFree), Signal::kSwapFree);
  add_figure(finding, "anonymous memory (AnonPages)", scene.now(Signal::kAnonPages), Signal::kAnonPages);
  std::string where;
  if (disk != nullptr) {
    where = " on " + disk->label(0);
    add_figure(finding, "time a request of " + disk->label(0) + " takes", disk_latency(scene, *disk, kWindow), Unit::kSeconds,
               std::nullopt, "node_disk_read_time_seconds_total");
  } else {
    finding.unchecked.emplace_back("the disk of the swap space: none moves what is swapped");
  }
  add_unchecked(finding, scene, Signal::kPressureMemory, "time lost by waiting for memory: this kernel has no PSI");
  finding.ruled_out.push_back({"idle memory swapped out once", figure(in, Unit::kPagesPerSecond) + " come back"});
  Timeline timeline;
  timeline.add(began_out, "pages are swapped out");
  timeline.add(began_in, "and in again");
  timeline.add(onset_of(scene, scene.host(), Signal::kPressureMemory, pressure), "tasks wait for memory");
  finding.timeline = std::move(timeline).moments();
  finding.sentence = "Memory is swapped back and forth" + where + ": " + figure(in, Unit::kPagesPerSecond) + " in, " +
                     figure(swapped, Unit::kPagesPerSecond) + " out";
  finding.sentence += who_takes(finding) + for_long(scene, finding);
  finding.next_steps = {"vmstat 1", "sar -W 1", "grep VmSwap /proc/*/status"};
  finding.confidence = std::min(finding.confidence, 0.9);
  out.push_back(std::move(finding));
}

}  // namespace tidegauge::heuristics
