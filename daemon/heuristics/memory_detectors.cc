// SPDX-License-Identifier: Apache-2.0

// Memory that runs out: of the host, of a cgroup, and what the kernel kills then.

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

// ---- oom_risk ----
constexpr double kLeastFall = 10;      // seconds that memory must have fallen
constexpr double kLongestFall = 900;
constexpr double kSteadyTau = -0.8;
// A program that starts takes memory as fast as a leak, and then stops. So part of what was there must be gone, or
// little have been there.
constexpr double kConsumedShare = 0.25;
constexpr double kLittle = 3;   // times available_ratio
constexpr double kGone = 0.6;   // times available_ratio: there is nothing to project any more
constexpr double kStallFull = 0.05;

// ---- oom_kill ----
constexpr double kYoungSeconds = 15;

// ---- cgroup_memory_limit ----
constexpr double kLeastRefaults = 10;  // pages per second
constexpr double kLeastHits = 0.2;     // times per second
// Where less than this part of the usage is memory that only swap takes back, the page cache fills the limit.
constexpr double kHeldShare = 0.25;

struct Fall {
  Trend trend;
  double left = 0;     // bytes, now
  double seconds = 0;  // until it is gone
  double began = 0;    // seconds before now, negative
  double consumed = 0;  // of what was there when it began
};

// How memory falls: over the longest time over which it does so steadily.
std::optional<Fall> find_fall(const DetectorInput& input) {
  const Scene& scene = input.scene;
  const double total = scene.now(Signal::kMemTotal);
  const std::vector<Sample> lately = left_of_memory(scene, kLeastFall);
  if (lately.size() < 4 || !(total > 0)) {
    return std::nullopt;
  }
  const double seconds = lately.back().seconds - lately.front().seconds;
  const double pace = (lately.front().value - lately.back().value) / seconds;
  if (!(pace > 0) || lately.back().value / pace > 2 * input.limits.oom_horizon_seconds) {
    return std::nullopt;
  }
  const std::vector<Sample> all = left_of_memory(scene, kLongestFall);
  std::optional<Fall> out;
  for (const double window : {10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 900.0}) {
    const auto begin = std::find_if(all.begin(), all.end(), [&](const Sample& one) { return one.seconds >= -window - 0.5; });
    const std::span<const Sample> part(begin, all.end());
    const auto trend = fit_trend(part);
    if (!trend || trend->per_second >= 0 || trend->tau > kSteadyTau || trend->seconds < window * 0.7) {
      if (trend && trend->seconds >= window * 0.7) {
        break;
      }
      continue;
    }
    // A longer one that begins before memory fell has a flat first third.
    if (out && trend->early > 0.3 * trend->per_second) {
      break;
    }
    out = Fall{*trend, lately.back().value, 0, 0, 0};
  }
  if (!out) {
    return std::nullopt;
  }
  // What fell, as a rise of what is gone.
  std::vector<Sample> gone = all;
  for (Sample& one : gone) {
    one.value = -one.value;
  }
  const double grown = -out->trend.per_second * out->trend.seconds;
  out->began = rise_began(gone, 0.03 * grown);
  const auto first = std::find_if(all.begin(), all.end(), [&](const Sample& one) { return one.seconds >= out->began; });
  const double there = first->value;
  out->consumed = there > 0 ? (there - out->left) / there : 0;
  const auto whole = fit_trend(std::span<const Sample>(first, all.end()));
  if (whole) {
    out->trend = *whole;
  }
  out->seconds = out->left / -out->trend.per_second;
  return out;
}

bool is_at_risk(const DetectorInput& input, const Fall& fall) {
  const double total = input.scene.now(Signal::kMemTotal);
  if (fall.trend.per_second >= 0 || fall.trend.tau > kSteadyTau || fall.seconds > input.limits.oom_horizon_seconds) {
    return false;
  }
  const bool is_little = fall.left < kLittle * input.limits.available_ratio * total;
  if (-fall.began < kLeastFall - 1 || (fall.consumed < kConsumedShare && !is_little)) {
    return false;
  }
  // One that slows down so that something remains levels off.
  return fall.left - still_to_come(fall.trend) < input.limits.available_ratio * total;
}

// What grows that makes memory fall: of the host.
void name_growers(Finding& finding, const Scene& scene, double seconds) {
  std::vector<Taking> all = takers(scene, seconds);
  std::erase_if(all, [](const Taking& one) { return one.net_bytes_per_second <= 0; });
  std::sort(all.begin(), all.end(), [](const Taking& a, const Taking& b) {
    return a.net_bytes_per_second > b.net_bytes_per_second;
  });
  double whole = 0;
  for (const Taking& one : all) {
    whole += one.net_bytes_per_second;
  }
  for (const Taking& one : all) {
    if (finding.causes.size() == 3 || one.net_bytes_per_second < 0.1 * whole) {
      break;
    }
    Party party = taker_party(scene, one, seconds, 0);
    party.share = one.net_bytes_per_second / whole;
    finding.causes.push_back(std::move(party));
  }
}

}  // namespace

void detect_oom_risk(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const double total = scene.now(Signal::kMemTotal);
  const double available = available_bytes(scene);
  if (!is_known(available) || !(total > 0)) {
    return;
  }
  const double free_swap = is_known(scene.now(Signal::kSwapFree)) ? scene.now(Signal::kSwapFree) : 0;
  const double left_ratio = (available + free_swap) / total;
  const double full = scene.mean(Signal::kPressureMemoryFull, kWindow);
  const double direct = scene.mean(Signal::kScannedDirect, kWindow);
  const bool stalls = full >= kStallFull || direct >= input.limits.scan_pages_per_second;
  const bool is_gone = left_ratio < kGone * input.limits.available_ratio && stalls;
  const std::optional<Fall> fall = find_fall(input);
  const bool falls = fall && is_at_risk(input, *fall);
  if (!falls && !is_gone) {
    return;
  }
  Finding finding;
  finding.id = VerdictId::kOomRisk;
  finding.confidence = falls ? std::min(0.6 + 0.3 * fall->consumed, 0.8) : 0.7;
  const double lasted = falls ? std::max(-fall->began, kWindow) : 60;
  finding.onset_ns = falls ? scene.boottime_ns() + static_cast<std::int64_t>(fall->began * 1e9)
                           : onset_of(scene, scene.host(), Signal::kScannedDirect, direct).value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  name_growers(finding, scene, std::min(lasted, kLongestFall));
  const Taking anon = host_taking(scene, lasted);
  const double shmem = (scene.now(Signal::kShmem) - scene.mean(Signal::kShmem, 1, lasted)) / lasted;
  if (shmem > anon.net_bytes_per_second / 2) {
    Party files;
    files.directory = "tmpfs and shared memory";
    files.doing = "grow by " + figure(shmem, Unit::kBytesPerSecond) + " to " + figure(scene.now(Signal::kShmem), Unit::kBytes);
    finding.causes.insert(finding.causes.begin(), std::move(files));
  }
  if (finding.causes.empty()) {
    finding.causes = largest_parties(scene);
    finding.confidence -= 0.1;
  } else {
    finding.confidence += 0.1;
  }
  if (finding.causes.empty()) {
    finding.unchecked.emplace_back("who takes the memory: no process is seen to");
  }
  add_figure(finding, "available memory", available, Signal::kMemAvailable);
  add_figure(finding, "available memory and free swap, of all memory", left_ratio, Unit::kRatio,
             kGone * input.limits.available_ratio, "node_memory_MemAvailable_bytes, node_memory_SwapFree_bytes");
  if (falls) {
    add_figure(finding, "until nothing is left, at the present pace", fall->seconds, Unit::kSeconds,
               input.limits.oom_horizon_seconds, source_of(Signal::kMemAvailable));
    add_figure(finding, "it falls by", -fall->trend.per_second, Unit::kBytesPerSecond, std::nullopt,
               source_of(Signal::kMemAvailable));
    add_figure(finding, "gone of what was there when it began to fall", fall->consumed, Unit::kRatio, kConsumedShare,
               source_of(Signal::kMemAvailable));
    finding.timeline.push_back({finding.onset_ns, "available memory begins to fall"});
  }
  add_figure(finding, "anonymous memory and tmpfs grow by", anon.net_bytes_per_second, Unit::kBytesPerSecond, std::nullopt,
             "node_memory_AnonPages_bytes, node_memory_Shmem_bytes");
  add_figure(finding, "time in which all that could run wait for memory (PSI)", full, Signal::kPressureMemoryFull, kStallFull);
  finding.ruled_out.push_back({"page cache", "what can be given back at once counts as available"});
  if (!scene.has(Signal::kMemAvailable)) {
    finding.unchecked.emplace_back("MemAvailable: this kernel does not say it; free memory and page cache of files instead");
  }
  finding.sentence = "Memory is about to run out: " + figure(available, Unit::kBytes) + " are left" +
                     (free_swap > 0 ? " and " + figure(free_swap, Unit::kBytes) + " of swap" : "");
  if (falls) {
    finding.sentence += ", gone in " + format_duration(fall->seconds) + " at the present pace";
  }
  if (!finding.causes.empty()) {
    finding.sentence += "; " + finding.causes.front().text() + " " + finding.causes.front().doing;
  }
  finding.sentence += ".";
  finding.next_steps = {"free -m", "ps aux --sort=-rss | head", "cat /proc/pressure/memory"};
  out.push_back(std::move(finding));
}

namespace {

// The cgroup in which the kernel killed, if it was for its limit and not for the host's memory.
const Subject* limited_cgroup(const Scene& scene, std::string_view of_victim) {
  const double least = scene.has(Signal::kMemAvailable) ? scene.min(Signal::kMemAvailable, 4 * kYoungSeconds) : kUnknown;
  if (least < 0.1 * scene.now(Signal::kMemTotal)) {
    return nullptr;
  }
  const Subject* best = nullptr;
  for (const Subject* cgroup : scene.subjects(Kind::kCgroup)) {
    const std::string& name = cgroup->label(0);
    const bool is_its = of_victim.empty() || of_victim == name ||
                        (of_victim.starts_with(name) && (name == "/" || of_victim[name.size()] == '/'));
    const double limit = Scene::now(*cgroup, Signal::kCgroupLimit);
    if (is_its && is_known(limit) &&
        (!of_victim.empty() || scene.max(*cgroup, Signal::kCgroupOomKills, 4 * kYoungSeconds) > 0) &&
        (best == nullptr || best->label(0).size() < name.size())) {
      best = cgroup;
    }
  }
  return best;
}

}  // namespace

void detect_oom_kill(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const double now = static_cast<double>(scene.realtime_ns()) / 1e9;
  const double kills = scene.mean(Signal::kOomKills, kYoungSeconds);
  std::vector<const Subject*> killed;
  for (const Subject* victim : scene.subjects(Kind::kOomVictim)) {
    const double age = now - Scene::now(*victim, Signal::kOomVictimTime);
    if (age >= -2 && age <= std::max(kYoungSeconds, scene.tick_seconds())) {
      killed.push_back(victim);
    }
  }
  if (!(kills > 0) && killed.empty()) {
    return;
  }
  std::sort(killed.begin(), killed.end(), [](const Subject* a, const Subject* b) {
    return Scene::now(*a, Signal::kOomVictimTime) > Scene::now(*b, Signal::kOomVictimTime);
  });
  Finding finding;
  finding.id = VerdictId::kOomKill;
  finding.confidence = killed.empty() ? 0.8 : 0.95;
  const std::string_view cgroup = killed.empty() ? std::string_view{} : killed.front()->attribute("cgroup");
  const Subject* limited = limited_cgroup(scene, cgroup);
  finding.onset_ns = scene.boottime_ns();
  finding.onset_resolution_seconds = scene.tick_seconds();
  if (!killed.empty()) {
    const double age = now - Scene::now(*killed.back(), Signal::kOomVictimTime);
    finding.onset_ns -= static_cast<std::int64_t>(std::max(age, 0.0) * 1e9);
  } else if (const auto since = scene.at_least_since(scene.host(), Signal::kOomKills, 1e-9, kYoungSeconds)) {
    finding.onset_ns = *since;
  }
  for (const Subject* victim : killed) {
    Party party = party_of_process(scene, victim->label(1), victim->label(2));
    party.group = victim->label(3);
    party.cgroup = victim->attribute("cgroup");
    party.doing = "was killed";
    finding.victims.push_back(std::move(party));
  }
  // Before the kill: who had grown, and who has most now. The dead one has nothing left to be seen by.
  const double past = 300;
  std::vector<Taking> growers = takers(scene, past);
  std::sort(growers.begin(), growers.end(), [](const Taking& a, const Taking& b) {
    return a.taken_bytes_per_second > b.taken_bytes_per_second;
  });
  const double total = scene.now(Signal::kMemTotal);
  if (!finding.victims.empty()) {
    Party subject = finding.victims.front();
    for (const Taking& one : growers) {
      const double grown = one.taken_bytes_per_second * past;
      if (one.subject->label(0) == subject.group && grown > 0.05 * total) {
        subject.doing = "had taken " + figure(grown, Unit::kBytes) + " within " + format_duration(past) + " and was killed";
      }
    }
    finding.causes.push_back(std::move(subject));
  }
  if (limited == nullptr) {
    for (const Taking& one : growers) {
      const double grown = one.taken_bytes_per_second * past;
      if (finding.causes.size() >= 3 || grown < 0.1 * total) {
        break;
      }
      if (finding.causes.empty() || one.subject->label(0) != finding.causes.front().group) {
        Party party = taker_party(scene, one, past, 0);
        party.doing = "took " + figure(grown, Unit::kBytes) + " within " + format_duration(past);
        finding.causes.push_back(std::move(party));
      }
    }
  }
  if (finding.causes.empty()) {
    finding.causes = largest_parties(scene, 1);
  }
  add_figure(finding, "processes killed within 15 s", std::round(kills * std::max(kYoungSeconds, scene.tick_seconds())),
             Unit::kNumber, 1, source_of(Signal::kOomKills));
  add_figure(finding, "available memory, the least of the last minute", scene.min(Signal::kMemAvailable, 60),
             Signal::kMemAvailable);
  add_figure(finding, "free swap", scene.now(Signal::kSwapFree), Signal::kSwapFree);
  std::string what = "memory of the host";
  if (limited != nullptr) {
    what = "memory within the limit of " + limited->label(0);
    finding.instance = limited->label(0);
    add_figure(finding, "limit of " + limited->label(0), Scene::now(*limited, Signal::kCgroupLimit), Signal::kCgroupLimit);
    finding.ruled_out.push_back({"want of memory on the host", "available were " +
                                                                   figure(scene.min(Signal::kMemAvailable, 60), Unit::kBytes) +
                                                                   " at least"});
  }
  if (killed.empty()) {
    finding.unchecked.emplace_back("whom: needs BPF, or see the kernel's log");
  }
  finding.timeline.push_back({finding.onset_ns, "the kernel kills"});
  finding.sentence = killed.empty() ? "The kernel killed for want of " + what
                                    : "The kernel killed " + finding.victims.front().text() + " for want of " + what;
  if (!finding.causes.empty() && finding.causes.back().doing != "was killed") {
    const Party& cause = finding.causes.front().doing != "was killed" ? finding.causes.front() : finding.causes.back();
    finding.sentence += "; " + cause.text() + " " + cause.doing;
  }
  finding.sentence += ".";
  finding.next_steps = {"dmesg | grep -i -A 30 'invoked oom-killer'", "free -m", "ps aux --sort=-rss | head"};
  out.push_back(std::move(finding));
}

namespace {

// The largest process of the cgroup, by its unit or its container: the last part of the path says which.
Party member_of_cgroup(const Scene& scene, const std::string& cgroup) {
  const std::string_view leaf = std::string_view(cgroup).substr(cgroup.rfind('/') + 1);
  const Subject* best = nullptr;
  double most = 0;
  for (const Subject* process : scene.subjects(Kind::kProcess)) {
    const std::string_view container = process->attribute("container");
    const bool is_member = !leaf.empty() && (process->attribute("unit") == leaf ||
                                             (!container.empty() && leaf.find(container) != std::string_view::npos));
    const double bytes = Scene::sum(*process, Signal::kProcessAnon) + Scene::sum(*process, Signal::kProcessShmem) +
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
    const bool is_high = usage >= limits.cgroup_limit_ratio * high && !(hard <= high);
    if (!is_high && !(usage >= limits.cgroup_limit_ratio * hard)) {
      continue;
    }
    const double limit = is_high ? high : hard;
    const double hits = scene.mean(*cgroup, is_high ? Signal::kCgroupHitHigh : Signal::kCgroupHitMax, kWindow);
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
    // Page cache that streams through a limit is how a limit works.
    const bool is_held = anon >= kHeldShare * usage;
    if (!(kills > 0) && !(waits && (is_held || needs_again))) {
      continue;
    }
    const std::string& name = cgroup->label(0);
    Finding finding;
    finding.id = VerdictId::kCgroupMemoryLimit;
    finding.instance = name;
    finding.confidence = 0.6 + (is_known(pressure) ? 0.15 : 0) + (needs_again || kills > 0 ? 0.1 : 0);
    finding.onset_ns = onset_of(scene, *cgroup, is_high ? Signal::kCgroupHitHigh : Signal::kCgroupHitMax, hits)
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
    add_figure(finding, is_high ? "usage of memory.high" : "usage of the limit", usage / limit, Unit::kRatio,
               limits.cgroup_limit_ratio, source_of(Signal::kCgroupUsage));
    add_figure(finding, is_high ? "times it ran into memory.high" : "times it ran into the limit", hits,
               Unit::kPerSecond, kLeastHits, source_of(Signal::kCgroupHitMax));
    add_figure(finding, "time in which some task of it waits for memory (PSI)", pressure, Signal::kCgroupPressureMemory,
               limits.pressure_memory_ratio);
    add_figure(finding, "time that threads reclaim for their cgroup, all together", stall, Unit::kRatio,
               limits.direct_stall_ratio, source_of(Signal::kGroupLimitStall));
    add_figure(finding, "pages it read again after their reclaim", refaults, Signal::kCgroupRefaults, kLeastRefaults);
    add_figure(finding, "its major faults", majors, Signal::kCgroupMajorFaults);
    add_figure(finding, "its anonymous memory", anon, Signal::kCgroupAnon);
    add_figure(finding, "its page cache", Scene::now(*cgroup, Signal::kCgroupFile), Signal::kCgroupFile);
    if (kills > 0) {
      finding.evidence.push_back({"processes of it killed lately", kills, Unit::kPerSecond, 0, source_of(Signal::kCgroupOomKills)});
    }
    const double available = available_bytes(scene) / scene.now(Signal::kMemTotal);
    if (available > 2 * limits.available_ratio) {
      finding.ruled_out.push_back({"want of memory on the host", figure(available, Unit::kRatio) + " of it is available"});
    }
    if (!is_known(pressure)) {
      finding.unchecked.emplace_back("time it loses by waiting: cgroup v1 or a kernel without PSI");
    }
    finding.timeline.push_back({finding.onset_ns, "it runs into its limit"});
    finding.sentence = "Cgroup " + name + " is at its " + (is_high ? "memory.high" : "memory limit") + " of " +
                       figure(limit, Unit::kBytes) + " and runs into it " + figure(hits, Unit::kPerSecond);
    if (is_known(pressure)) {
      finding.sentence += "; its tasks wait for memory " + figure(pressure, Unit::kRatio) + " of the time";
    } else if (needs_again) {
      finding.sentence += "; it reads again what was reclaimed";
    }
    finding.sentence += ".";
    finding.next_steps = {"cat /sys/fs/cgroup" + name + "/memory.{current,max,high,events,pressure,stat}",
                          "systemd-cgtop -m"};
    out.push_back(std::move(finding));
  }
}

}  // namespace tidegauge::heuristics
