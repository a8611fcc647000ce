// SPDX-License-Identifier: Apache-2.0

// memory_fragmentation: allocations of large blocks compact memory, in vain or for long, because what is free lies in
// pieces. Compaction that succeeds and costs nothing is how huge pages come about.

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
// Blocks that are wanted most are huge pages: 2 MiB in pages of 4 KiB.
constexpr std::size_t kHugeOrder = 9;
constexpr int kNearOne =
    500;  // thousandths; vm.extfrag_threshold: from here the kernel compacts instead of reclaiming

}  // namespace

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
  int index = -1001;
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
  finding.confidence =
      0.5 + (worst != nullptr ? 0.15 : 0) + (is_known(stalled) ? 0.1 : 0) + (in_vain ? 0.1 : 0);
  finding.onset_ns =
      onset_of(scene, scene.host(), Signal::kCompactStalls, stalls).value_or(scene.boottime_ns());
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
  add_figure(finding, "allocations that compact memory (compact_stall)", stalls,
             Signal::kCompactStalls, limits.fragmentation_stalls_per_second);
  add_figure(finding, "of these, in vain (compact_fail)", fails, Signal::kCompactFails);
  add_figure(finding, "page faults that got small pages instead of a huge one",
             scene.now(Signal::kThpFallbacks), Signal::kThpFallbacks);
  add_figure(finding, "time that threads compact memory, all together", stalled, Unit::kRatio,
             limits.direct_stall_ratio, source_of(Signal::kGroupCompactionStall));
  add_figure(finding, "free memory", scene.now(Signal::kMemFree), Signal::kMemFree);
  std::string where;
  if (worst != nullptr) {
    where = " of " + std::to_string(1U << order) + " pages in zone " + worst->zone + " of node " +
            worst->node;
    Party zone;
    zone.zone = worst->zone;
    zone.doing = "has its free memory in pieces";
    finding.causes.push_back(std::move(zone));
    add_figure(finding, "fragmentation index for blocks" + where, index / 1000.0, Unit::kNumber,
               kNearOne / 1000.0, "node_buddyinfo_blocks");
    finding.ruled_out.push_back(
        {"too little memory", "the index is " + figure(index / 1000.0, Unit::kNumber) +
                                  "; 0 would be want of memory, 1 is memory in pieces"});
  } else {
    finding.unchecked.emplace_back("the free blocks: no /proc/buddyinfo at this time");
  }
  add_unchecked(finding, scene, Signal::kGroupCompactionStall,
                "who compacts, and for how long: needs BPF");
  finding.sentence = "Free memory lies in pieces: " + figure(stalls, Unit::kPerSecond) +
                     " allocations compact it" +
                     (is_known(fails) ? ", " + figure(fails, Unit::kPerSecond) + " in vain" : "") +
                     (where.empty() ? "" : ", for blocks" + where) + lasted(scene, finding);
  finding.next_steps = {"cat /proc/buddyinfo", "grep -E 'compact|thp' /proc/vmstat",
                        "cat /sys/kernel/mm/transparent_hugepage/defrag"};
  finding.confidence = std::min(finding.confidence, 0.85);
  out.push_back(std::move(finding));
}

}  // namespace tidegauge::heuristics
