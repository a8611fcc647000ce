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
// Available memory below so many times available_ratio is tight: with more, reclaim has clean cache to take.
constexpr double kTightFactor = 5;
// Memory that only swap can take back, taken at this part of the pace of reclaim, is what reclaim is for.
constexpr double kDemandShare = 0.3;
constexpr std::size_t kMostVictims = 4;

double scanned_directly(const Scene& scene) { return scene.mean(Signal::kScannedDirect, kWindow); }

// The least memory that was available within the window, as a share of all; unknown where neither is.
double least_available_ratio(const Scene& scene) {
  const double least = scene.has(Signal::kMemAvailable) ? scene.min(Signal::kMemAvailable, kWindow)
                                                        : available_bytes(scene);
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
  const bool has_cache =
      scene.has(Signal::kGroupCacheRead) || scene.has(Signal::kGroupCacheWritten);
  const Signal read = has_cache ? Signal::kGroupCacheRead : Signal::kGroupRead;
  const Signal written = has_cache ? Signal::kGroupCacheWritten : Signal::kGroupWritten;
  std::vector<Filler> out;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    const double bytes =
        sum_known(scene.mean(*group, read, kWindow), scene.mean(*group, written, kWindow));
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
  std::stable_sort(all.begin(), all.end(),
                   [](const Demand& a, const Demand& b) { return a.bytes > b.bytes; });
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
    Party party = member_of_group(
        scene, group, reads ? Signal::kProcessRead : Signal::kProcessWritten, one.bytes, kWindow);
    party.group = group;
    party.share = one.bytes / whole;
    party.doing = std::string("fills the page cache with ") +
                  figure(one.bytes, Unit::kBytesPerSecond) +
                  (reads ? " that it reads" : " that it writes");
    out.push_back(std::move(party));
  }
  return out;
}

// Groups that stall in direct reclaim, not for their cgroup's limit.
struct Stall {
  double all = kUnknown;     // seconds per second
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
    const bool streams =
        std::max(is_known(filled) ? filled : 0, is_known(moved) ? moved : 0) > 0.01 * total;
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
  add_figure(finding, "pages scanned by kswapd (pgscank)",
             scene.mean(Signal::kScannedKswapd, kWindow), Signal::kScannedKswapd,
             input.limits.scan_pages_per_second);
  add_figure(finding, "pages scanned by those who allocate (pgscand)", scanned_directly(scene),
             Signal::kScannedDirect);
  if (input.memory.reclaim.efficiency_ratio) {
    add_figure(finding, "reclaimed of what is scanned (%vmeff)",
               *input.memory.reclaim.efficiency_ratio, Unit::kRatio, std::nullopt,
               "node_vmstat_pgsteal_kswapd, node_vmstat_pgscan_kswapd");
  }
  add_figure(finding, "allocations that reclaimed for themselves (allocstall)",
             scene.mean(Signal::kDirectReclaims, kWindow), Signal::kDirectReclaims);
  add_figure(finding, "time in which some task waits for memory (PSI)",
             scene.mean(Signal::kPressureMemory, kWindow), Signal::kPressureMemory,
             input.limits.pressure_memory_ratio);
  const double total = scene.now(Signal::kMemTotal);
  add_figure(finding, "least available memory of the last 10 s, of all",
             least_available_ratio(scene), Unit::kRatio,
             kTightFactor * input.limits.available_ratio, source_of(Signal::kMemAvailable));
  add_figure(finding, "memory that only swap takes back (AnonPages and Shmem), of all",
             (scene.now(Signal::kAnonPages) + scene.now(Signal::kShmem)) / total, Unit::kRatio,
             std::nullopt, "node_memory_AnonPages_bytes, node_memory_Shmem_bytes");
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
    finding.causes = largest_parties(scene, kWindow);
    if (finding.causes.empty()) {
      finding.unchecked.emplace_back("who takes the memory: no process is seen to");
    }
  } else {
    finding.confidence += 0.1;
  }
}

}  // namespace

void detect_memory_watermark_pressure(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  const double scanned = scene.mean(Signal::kScannedKswapd, kWindow);
  if (!(scanned >= limits.scan_pages_per_second) ||
      !lasts_or_recurs(scene, Signal::kScannedKswapd, limits.scan_pages_per_second / 10, kWindow)) {
    return;
  }
  const double available = least_available_ratio(scene);
  if (!is_tight(input) || !goes_on(scene, Signal::kScannedKswapd, scanned)) {
    return;
  }
  const NodeReading* node = tightest_node(input.memory);
  // kswapd that scans far above the marks is awake for something else.
  if (node != nullptr && node->watermarks.is_far_above_high.value_or(false) &&
      !(scene.min(Signal::kMemFree, kWindow) < 0.5 * scene.now(Signal::kMemFree))) {
    return;
  }
  const double page = page_bytes(input.memory);
  const double stolen = sum_known(scene.mean(Signal::kStolenKswapd, kWindow),
                                  scene.mean(Signal::kStolenDirect, kWindow));
  const Taking taking = host_taking(scene, kWindow);
  const bool is_demand = taking.taken_bytes_per_second >= kDemandShare * stolen * page;
  const bool is_short = available < 2 * limits.available_ratio;
  if (!is_demand && !is_short) {
    return;
  }
  const double pressure = scene.mean(Signal::kPressureMemory, kWindow);
  const bool hurts = pressure >= limits.pressure_memory_ratio ||
                     scanned_directly(scene) >= limits.scan_pages_per_second / 10;
  if (!hurts && available >= limits.available_ratio) {
    return;
  }
  Finding finding;
  finding.id = VerdictId::kMemoryWatermarkPressure;
  finding.confidence = 0.6 + (hurts ? 0.1 : 0) + (node != nullptr ? 0.1 : 0);
  finding.onset_ns =
      onset_of(scene, scene.host(), Signal::kScannedKswapd, scanned).value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  name_causes(finding, scene);
  const Stall stall = measure_stall(scene);
  add_stalled(finding, stall);
  add_reclaim_figures(finding, input);
  add_figure(finding, "memory taken that only swap takes back", taking.taken_bytes_per_second,
             Unit::kBytesPerSecond, std::nullopt,
             "node_memory_AnonPages_bytes, node_memory_Shmem_bytes");
  if (node != nullptr) {
    add_figure(finding, "free memory of node " + node->node + " above its low watermark",
               *node->watermarks.headroom_low_pages * page, Unit::kBytes, 0,
               "node_zoneinfo_low_pages");
    if (node->time_to_low_seconds) {
      add_figure(finding, "until it is down to low, as it falls now", *node->time_to_low_seconds,
                 Unit::kSeconds, std::nullopt, "node_zoneinfo_nr_free_pages");
    }
  } else {
    finding.unchecked.emplace_back(
        "free memory against the watermarks: no /proc/zoneinfo at this time");
  }
  add_unchecked(finding, scene, Signal::kPressureMemory,
                "time lost by waiting for memory: this kernel has no PSI");
  const double in = scene.mean(Signal::kSwapIns, kWindow);
  if (in == 0) {
    finding.ruled_out.push_back({"swap thrash", "nothing is swapped in"});
  }
  Timeline timeline;
  timeline.add(finding.onset_ns, "kswapd scans");
  timeline.add(onset_of(scene, scene.host(), Signal::kDirectReclaims,
                        scene.mean(Signal::kDirectReclaims, kWindow)),
               "allocations reclaim for themselves");
  timeline.add(onset_of(scene, scene.host(), Signal::kPressureMemory, pressure),
               "tasks wait for memory");
  finding.timeline = std::move(timeline).moments();
  finding.sentence = "Free memory is at its watermarks: kswapd scans " +
                     figure(scanned, Unit::kPagesPerSecond) + " and only " +
                     figure(available, Unit::kRatio) + " of all memory is available" +
                     who_does(finding) + lasted(scene, finding);
  finding.next_steps = {"sar -B 1", "cat /proc/zoneinfo", "cat /proc/pressure/memory",
                        "ps aux --sort=-rss | head"};
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
  if (!lasts_or_recurs(scene, is_known(direct) ? Signal::kScannedDirect : Signal::kDirectReclaims,
                       1, kWindow)) {
    return;
  }
  if (!goes_on(scene, is_known(direct) ? Signal::kScannedDirect : Signal::kDirectReclaims,
               is_known(direct) ? direct : reclaims)) {
    return;
  }
  const Stall stall = measure_stall(scene);
  const double pressure = scene.mean(Signal::kPressureMemory, kWindow);
  const bool tight = is_tight(input);
  if (is_known(stall.all)) {
    const bool others_wait =
        stall.others >= limits.direct_stall_ratio && !(pressure < limits.pressure_memory_ratio);
    if (!others_wait && !(tight && stall.all >= limits.direct_stall_ratio)) {
      return;
    }
  } else {
    // Nobody times the stalls. Some task waits for memory, and it is not kswapd alone: PSI counts that too.
    const double by_allocators = direct / (direct + scene.mean(Signal::kScannedKswapd, kWindow));
    const bool waits =
        is_known(pressure) ? pressure >= limits.pressure_memory_ratio : reclaims >= 10;
    if (!tight || !waits || !(by_allocators >= 0.05)) {
      return;
    }
  }
  Finding finding;
  finding.id = VerdictId::kDirectReclaimStall;
  finding.confidence = is_known(stall.all) ? 0.75 : 0.55;
  finding.onset_ns = onset_of(scene, scene.host(),
                              is_known(direct) ? Signal::kScannedDirect : Signal::kDirectReclaims,
                              is_known(direct) ? direct : reclaims)
                         .value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  name_causes(finding, scene);
  add_stalled(finding, stall);
  add_figure(finding, "time that threads spend in direct reclaim, all together", stall.all,
             Unit::kRatio, limits.direct_stall_ratio, source_of(Signal::kGroupReclaimStall));
  add_figure(finding, "of it, those that do not stream through the page cache", stall.others,
             Unit::kRatio, std::nullopt, source_of(Signal::kGroupReclaimStall));
  add_reclaim_figures(finding, input);
  add_unchecked(finding, scene, Signal::kGroupReclaimStall,
                "who stalls, and for how long: needs BPF");
  if (!is_known(pressure)) {
    finding.unchecked.emplace_back("time lost by waiting for memory: this kernel has no PSI");
  }
  const double compacted = scene.mean(Signal::kCompactStalls, kWindow);
  if (is_known(compacted) && compacted < limits.fragmentation_stalls_per_second) {
    finding.ruled_out.push_back({"compaction", figure(compacted, Unit::kPerSecond) +
                                                   " allocations compact memory (compact_stall)"});
  }
  Timeline timeline;
  timeline.add(onset_of(scene, scene.host(), Signal::kScannedKswapd,
                        scene.mean(Signal::kScannedKswapd, kWindow)),
               "kswapd scans");
  timeline.add(finding.onset_ns, "allocations reclaim for themselves");
  timeline.add(onset_of(scene, scene.host(), Signal::kPressureMemory, pressure),
               "tasks wait for memory");
  finding.timeline = std::move(timeline).moments();
  finding.sentence = is_known(stall.all) && !finding.victims.empty()
                         ? "Allocations wait for memory: " + finding.victims.front().text() + " " +
                               finding.victims.front().doing
                         : "Allocations wait for memory: " + figure(reclaims, Unit::kPerSecond) +
                               " reclaim for themselves";
  finding.sentence += who_does(finding) + lasted(scene, finding);
  finding.next_steps = {"sar -B 1", "cat /proc/pressure/memory",
                        "grep -E 'allocstall|pgscan' /proc/vmstat"};
  finding.confidence = std::min(finding.confidence, 0.9);
  out.push_back(std::move(finding));
}

}  // namespace tidegauge::heuristics
