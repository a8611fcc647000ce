// SPDX-License-Identifier: Apache-2.0

// cgroup_memory_limit: a cgroup is at its limit and its tasks lose time by it. Page cache fills every limit; that alone
// is no trouble.

#include <algorithm>
#include <utility>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/leading_signal.h"
#include "daemon/heuristics/memory_parties.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kWindow = 10;         // seconds
constexpr double kLeastRefaults = 10;  // pages per second
// Whoever has just reclaimed is below its limit by some: that it ran into it, its events say.
constexpr double kReclaimed = 0.03;
// Of what a cgroup has, read again each second: all of it in ten.
constexpr double kTurnover = 0.1;
constexpr double kLeastHits = 0.2;  // times per second
// Where less than this part of the usage is memory that only swap takes back, the page cache fills the limit.
constexpr double kHeldShare = 0.25;

// The largest process of the cgroup, by its unit or its container: the last part of the path says which.
Party member_of_cgroup(const Scene& scene, const std::string& cgroup) {
  const std::string_view leaf = std::string_view(cgroup).substr(cgroup.rfind('/') + 1);
  const Subject* best = nullptr;
  double most = 0;
  for (const Subject* process : scene.subjects(Kind::kProcess)) {
    const std::string_view container = process->attribute("container");
    const bool is_member =
        !leaf.empty() && (process->attribute("unit") == leaf ||
                          (!container.empty() && leaf.find(container) != std::string_view::npos));
    const double bytes = Scene::sum(*process, Signal::kProcessAnon) +
                         Scene::sum(*process, Signal::kProcessShmem) +
                         Scene::sum(*process, Signal::kProcessRead);
    if (is_member && bytes > most) {
      most = bytes;
      best = process;
    }
  }
  Party out = best == nullptr ? Party{} : party_of_process(scene, best->label(0), best->label(1));
  out.cgroup = cgroup;
  return out;
}

}  // namespace

void detect_cgroup_memory_limit(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  for (const Subject* cgroup : scene.subjects(Kind::kCgroup)) {
    const double usage = Scene::now(*cgroup, Signal::kCgroupUsage);
    const double hard = Scene::now(*cgroup, Signal::kCgroupLimit);
    const double high = Scene::now(*cgroup, Signal::kCgroupHigh);
    const double at_limit = limits.cgroup_limit_ratio - kReclaimed;
    const bool is_high = usage >= at_limit * high && !(hard <= high);
    if (!is_high && !(usage >= at_limit * hard)) {
      continue;
    }
    const double limit = is_high ? high : hard;
    const double hits =
        scene.mean(*cgroup, is_high ? Signal::kCgroupHitHigh : Signal::kCgroupHitMax, kWindow);
    if (!(hits >= kLeastHits)) {
      continue;
    }
    const double anon = Scene::now(*cgroup, Signal::kCgroupAnon);
    const double pressure = scene.mean(*cgroup, Signal::kCgroupPressureMemory, kWindow);
    const double refaults = Scene::now(*cgroup, Signal::kCgroupRefaults);
    const double majors = scene.mean(*cgroup, Signal::kCgroupMajorFaults, kWindow);
    const double kills = scene.max(*cgroup, Signal::kCgroupOomKills, 60);
    double stall = kUnknown;
    for (const Subject* group : scene.subjects(Kind::kGroup)) {
      stall = sum_known(stall, scene.mean(*group, Signal::kGroupLimitStall, kWindow));
    }
    const bool needs_again = refaults >= kLeastRefaults || majors >= kLeastRefaults / 2;
    const bool waits = pressure >= limits.pressure_memory_ratio ||
                       (!is_known(pressure) && stall >= limits.direct_stall_ratio) ||
                       (!is_known(pressure) && !is_known(stall) && hits >= 1);
    // Page cache that streams through a limit is how a limit works; what is read again and again would fit in without it.
    // Those who read have no wait for memory then (PSI), but for their disk.
    const bool is_held = anon >= kHeldShare * usage;
    const bool turns_over = refaults * page_bytes(input.memory) >= kTurnover * usage;
    if (!(kills > 0) && !turns_over && !(waits && (is_held || needs_again))) {
      continue;
    }
    const std::string& name = cgroup->label(0);
    Finding finding;
    finding.id = VerdictId::kCgroupMemoryLimit;
    finding.instance = name;
    finding.confidence =
        0.6 + (is_known(pressure) ? 0.15 : 0) + (needs_again || kills > 0 ? 0.1 : 0);
    finding.onset_ns =
        onset_of(scene, *cgroup, is_high ? Signal::kCgroupHitHigh : Signal::kCgroupHitMax, hits)
            .value_or(scene.boottime_ns());
    finding.onset_resolution_seconds = std::max(scene.tick_seconds(), 15.0);
    Party party = member_of_cgroup(scene, name);
    party.share = std::min(usage / limit, 1.0);
    party.doing = "has " + figure(usage, Unit::kBytes) + " of " + figure(limit, Unit::kBytes) +
                  (is_known(anon) ? ", " + figure(anon, Unit::kBytes) + " of it anonymous" : "");
    if (party.comm.empty()) {
      finding.unchecked.emplace_back("which of its processes");
    }
    finding.causes.push_back(party);
    finding.victims.push_back(std::move(party));
    add_figure(finding, is_high ? "usage of memory.high" : "usage of the limit", usage / limit,
               Unit::kRatio, limits.cgroup_limit_ratio, source_of(Signal::kCgroupUsage));
    add_figure(finding, is_high ? "times it ran into memory.high" : "times it ran into the limit",
               hits, Unit::kPerSecond, kLeastHits, source_of(Signal::kCgroupHitMax));
    add_figure(finding, "time in which some task of it waits for memory (PSI)", pressure,
               Signal::kCgroupPressureMemory, limits.pressure_memory_ratio);
    add_figure(finding, "time that threads reclaim for their cgroup, all together", stall,
               Unit::kRatio, limits.direct_stall_ratio, source_of(Signal::kGroupLimitStall));
    add_figure(finding, "pages it read again after their reclaim", refaults,
               Signal::kCgroupRefaults, kLeastRefaults);
    add_figure(finding, "its major faults", majors, Signal::kCgroupMajorFaults);
    add_figure(finding, "its anonymous memory", anon, Signal::kCgroupAnon);
    add_figure(finding, "its page cache", Scene::now(*cgroup, Signal::kCgroupFile),
               Signal::kCgroupFile);
    if (kills > 0) {
      finding.evidence.push_back({"processes of it killed lately", kills, Unit::kPerSecond, 0,
                                  source_of(Signal::kCgroupOomKills)});
    }
    const double available = available_bytes(scene) / scene.now(Signal::kMemTotal);
    if (available > 2 * limits.available_ratio) {
      finding.ruled_out.push_back(
          {"want of memory on the host", figure(available, Unit::kRatio) + " of it is available"});
    }
    if (!is_known(pressure)) {
      finding.unchecked.emplace_back("time it loses by waiting: cgroup v1 or a kernel without PSI");
    }
    finding.timeline.push_back({finding.onset_ns, "it runs into its limit"});
    finding.sentence =
        "Cgroup " + name + " is at its " + (is_high ? "memory.high" : "memory limit") + " of " +
        figure(limit, Unit::kBytes) + " and runs into it " + figure(hits, Unit::kPerSecond);
    if (is_known(pressure)) {
      finding.sentence +=
          "; its tasks wait for memory " + figure(pressure, Unit::kRatio) + " of the time";
    } else if (needs_again) {
      finding.sentence += "; it reads again what was reclaimed";
    }
    finding.sentence += ".";
    finding.next_steps = {
        "cat /sys/fs/cgroup" + name + "/memory.{current,max,high,events,pressure,stat}",
        "systemd-cgtop -m"};
    out.push_back(std::move(finding));
  }
}

}  // namespace tidegauge::heuristics
