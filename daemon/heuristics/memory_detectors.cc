// SPDX-License-Identifier: Apache-2.0

// Memory that runs out, and what the kernel kills then.

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
constexpr double kLeastFall = 10;  // seconds that memory must have fallen
constexpr double kLongestFall = 900;
constexpr double kSteadyTau = -0.8;
// A program that starts takes memory as fast as a leak, and then stops. So part of what was there must be gone, or
// little have been there.
constexpr double kConsumedShare = 0.25;
constexpr double kLittle = 3;  // times available_ratio
constexpr double kGone = 0.6;  // times available_ratio: there is nothing to project any more
constexpr double kStallFull = 0.05;
constexpr double kAmple = 0.25;  // of all memory

// ---- oom_kill ----
constexpr double kYoungSeconds = 15;

struct Fall {
  Trend trend;
  double left = 0;      // bytes, now
  double seconds = 0;   // until it is gone
  double began = 0;     // seconds before now, negative
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
    const auto begin = std::find_if(
        all.begin(), all.end(), [&](const Sample& one) { return one.seconds >= -window - 0.5; });
    const std::span<const Sample> part(begin, all.end());
    const auto trend = fit_trend(part);
    if (!trend || trend->per_second >= 0 || trend->tau > kSteadyTau ||
        trend->seconds < window * 0.7) {
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
  const auto first = std::find_if(all.begin(), all.end(),
                                  [&](const Sample& one) { return one.seconds >= out->began; });
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
  if (fall.trend.per_second >= 0 || fall.trend.tau > kSteadyTau ||
      fall.seconds > input.limits.oom_horizon_seconds) {
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
  const double free_swap =
      is_known(scene.now(Signal::kSwapFree)) ? scene.now(Signal::kSwapFree) : 0;
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
  // There is time to look.
  if (falls && left_ratio > kAmple && fall->seconds > input.limits.oom_horizon_seconds / 2) {
    finding.severity = Severity::kWarning;
  }
  const double lasted = falls ? std::max(-fall->began, kWindow) : 60;
  finding.onset_ns = falls ? scene.boottime_ns() + static_cast<std::int64_t>(fall->began * 1e9)
                           : onset_of(scene, scene.host(), Signal::kScannedDirect, direct)
                                 .value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  name_growers(finding, scene, std::min(lasted, kLongestFall));
  const Taking anon = host_taking(scene, lasted);
  const double shmem = (scene.now(Signal::kShmem) - scene.mean(Signal::kShmem, 1, lasted)) / lasted;
  if (shmem > anon.net_bytes_per_second / 2) {
    Party files;
    files.directory = "tmpfs and shared memory";
    files.doing = "grow by " + figure(shmem, Unit::kBytesPerSecond) + " to " +
                  figure(scene.now(Signal::kShmem), Unit::kBytes);
    finding.causes.insert(finding.causes.begin(), std::move(files));
  }
  if (finding.causes.empty()) {
    finding.causes = largest_parties(scene, kWindow);
    finding.confidence -= 0.1;
  } else {
    finding.confidence += 0.1;
  }
  if (finding.causes.empty()) {
    finding.unchecked.emplace_back("who takes the memory: no process is seen to");
  }
  add_figure(finding, "available memory", available, Signal::kMemAvailable);
  add_figure(finding, "available memory and free swap, of all memory", left_ratio, Unit::kRatio,
             kGone * input.limits.available_ratio,
             "node_memory_MemAvailable_bytes, node_memory_SwapFree_bytes");
  if (falls) {
    add_figure(finding, "until nothing is left, at the present pace", fall->seconds, Unit::kSeconds,
               input.limits.oom_horizon_seconds, source_of(Signal::kMemAvailable));
    add_figure(finding, "it falls by", -fall->trend.per_second, Unit::kBytesPerSecond, std::nullopt,
               source_of(Signal::kMemAvailable));
    add_figure(finding, "gone of what was there when it began to fall", fall->consumed,
               Unit::kRatio, kConsumedShare, source_of(Signal::kMemAvailable));
    finding.timeline.push_back({finding.onset_ns, "available memory begins to fall"});
  }
  add_figure(finding, "anonymous memory and tmpfs grow by", anon.net_bytes_per_second,
             Unit::kBytesPerSecond, std::nullopt,
             "node_memory_AnonPages_bytes, node_memory_Shmem_bytes");
  add_figure(finding, "time in which all that could run wait for memory (PSI)", full,
             Signal::kPressureMemoryFull, kStallFull);
  finding.ruled_out.push_back({"page cache", "what can be given back at once counts as available"});
  if (!scene.has(Signal::kMemAvailable)) {
    finding.unchecked.emplace_back(
        "MemAvailable: this kernel does not say it; free memory and page cache of files instead");
  }
  finding.sentence = "Memory is about to run out: " + figure(available, Unit::kBytes) +
                     " are left" +
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
  const double least = scene.has(Signal::kMemAvailable)
                           ? scene.min(Signal::kMemAvailable, 4 * kYoungSeconds)
                           : kUnknown;
  if (least < 0.1 * scene.now(Signal::kMemTotal)) {
    return nullptr;
  }
  const Subject* best = nullptr;
  for (const Subject* cgroup : scene.subjects(Kind::kCgroup)) {
    const std::string& name = cgroup->label(0);
    const bool is_its =
        of_victim.empty() || of_victim == name ||
        (of_victim.starts_with(name) && (name == "/" || of_victim[name.size()] == '/'));
    const double limit = Scene::now(*cgroup, Signal::kCgroupLimit);
    if (is_its && is_known(limit) &&
        (!of_victim.empty() ||
         scene.max(*cgroup, Signal::kCgroupOomKills, 4 * kYoungSeconds) > 0) &&
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
  const std::string_view cgroup =
      killed.empty() ? std::string_view{} : killed.front()->attribute("cgroup");
  const Subject* limited = limited_cgroup(scene, cgroup);
  finding.onset_ns = scene.boottime_ns();
  finding.onset_resolution_seconds = scene.tick_seconds();
  if (!killed.empty()) {
    const double age = now - Scene::now(*killed.back(), Signal::kOomVictimTime);
    finding.onset_ns -= static_cast<std::int64_t>(std::max(age, 0.0) * 1e9);
  } else if (const auto since =
                 scene.at_least_since(scene.host(), Signal::kOomKills, 1e-9, kYoungSeconds)) {
    finding.onset_ns = *since;
  }
  for (const Subject* victim : killed) {
    Party party = party_of_process(scene, victim->label(1), victim->label(2));
    party.group = victim->label(3);
    party.cgroup = victim->attribute("cgroup");
    party.doing = "was killed";
    finding.victims.push_back(std::move(party));
  }
  // Before the kill: who had grown. The dead one is remembered, by its group.
  constexpr double kPast = 300;
  std::vector<std::pair<double, const Subject*>> growers;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    growers.emplace_back(largest_rise(samples_of(scene, *group, Signal::kGroupAnon, kPast)), group);
  }
  std::sort(growers.begin(), growers.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second->labels < b.second->labels;
  });
  const double total = scene.now(Signal::kMemTotal);
  const auto grew = [&](double bytes) {
    return "had grown by " + figure(bytes, Unit::kBytes) + " within " + format_duration(kPast);
  };
  if (!finding.victims.empty()) {
    Party subject = finding.victims.front();
    for (const auto& [bytes, group] : growers) {
      if (group->label(0) == subject.group && bytes > 0.05 * total) {
        subject.doing = grew(bytes) + " and was killed";
      }
    }
    finding.causes.push_back(std::move(subject));
  }
  for (const auto& [bytes, group] : growers) {
    if (limited != nullptr || finding.causes.size() >= 3 || !(bytes >= 0.1 * total)) {
      break;
    }
    if (finding.causes.empty() || group->label(0) != finding.causes.front().group) {
      Party party = member_of_group(scene, group->label(0), Signal::kProcessAnon,
                                    Scene::sum(*group, Signal::kGroupAnon), kWindow);
      party.group = group->label(0);
      party.doing = grew(bytes);
      finding.causes.push_back(std::move(party));
    }
  }
  if (finding.causes.empty()) {
    finding.causes = largest_parties(scene, kWindow, 1);
  }
  add_figure(finding, "processes killed within 15 s",
             std::round(kills * std::max(kYoungSeconds, scene.tick_seconds())), Unit::kNumber, 1,
             source_of(Signal::kOomKills));
  add_figure(finding, "available memory, the least of the last minute",
             scene.min(Signal::kMemAvailable, 60), Signal::kMemAvailable);
  add_figure(finding, "free swap", scene.now(Signal::kSwapFree), Signal::kSwapFree);
  std::string what = "memory of the host";
  if (limited != nullptr) {
    what = "memory within the limit of " + limited->label(0);
    finding.instance = limited->label(0);
    add_figure(finding, "limit of " + limited->label(0), Scene::now(*limited, Signal::kCgroupLimit),
               Signal::kCgroupLimit);
    finding.ruled_out.push_back({"want of memory on the host",
                                 "available were " +
                                     figure(scene.min(Signal::kMemAvailable, 60), Unit::kBytes) +
                                     " at least"});
  }
  if (killed.empty()) {
    finding.unchecked.emplace_back("whom: needs BPF, or see the kernel's log");
  }
  finding.timeline.push_back({finding.onset_ns, "the kernel kills"});
  finding.sentence = killed.empty() ? "The kernel killed for want of " + what
                                    : "The kernel killed " + finding.victims.front().text() +
                                          " for want of " + what;
  if (!finding.causes.empty() && finding.causes.back().doing != "was killed") {
    const Party& cause = finding.causes.front().doing != "was killed" ? finding.causes.front()
                                                                      : finding.causes.back();
    finding.sentence += "; " + cause.text() + " " + cause.doing;
  }
  finding.sentence += ".";
  finding.next_steps = {"dmesg | grep -i -A 30 'invoked oom-killer'", "free -m",
                        "ps aux --sort=-rss | head"};
  out.push_back(std::move(finding));
}

}  // namespace tidegauge::heuristics
