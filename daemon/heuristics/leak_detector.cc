// SPDX-License-Identifier: Apache-2.0

// memory_leak_suspected: anonymous memory of a group that grows steadily, has not been so large before, and would use
// up what is available. How long it must have been seen to grow depends on when that is: a tenth of a month says more
// than five minutes, and five minutes must do for what is gone in one hour.

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/memory_parties.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

// Groups take turns, so that a tick costs little; the verdict is kept longer than that without a finding.
constexpr std::int64_t kTurnNs = 20'000'000'000;
constexpr double kMinutesOfPast = 48 * 60;

constexpr double kLeastSeconds = 280;  // five minutes, of which the first and last are not whole
constexpr double kMostSeconds = 24 * 3600;
constexpr double kObservedShare = 0.2;  // of the time until memory is used up
constexpr double kLeastTau = 0.8;
constexpr double kErrors = 4;          // the slope, in standard errors
constexpr double kLateShare = 0.6;     // of the slope, that of the last third must have
constexpr double kLeastGrowth = 0.02;  // of all memory, while it was watched
// Growth that processes which came since explain.
constexpr double kByNewProcesses = 0.5;
constexpr double kTickSeconds = 900;

constexpr std::array<double, 6> kWindows{300, 900, 3600, 6 * 3600, 24 * 3600, 48 * 3600};

struct Leak {
  Trend trend;
  double seconds_left = 0;
  double began = 0;  // seconds before now, negative
  double bytes = 0;
};

bool is_its_turn(const Scene& scene, std::size_t index) {
  const std::int64_t offset = static_cast<std::int64_t>(index * 7 % 20) * 1'000'000'000;
  const std::int64_t now = scene.boottime_ns() + offset;
  return now / kTurnNs != (now - scene.axis().length_ns(0)) / kTurnNs;
}

// Anonymous memory and swap of the subject, oldest first, seconds before now: by ticks, or by minutes.
std::vector<Sample> past_of(const Scene& scene, const Subject& subject, Signal anon, Signal swap,
                            double seconds) {
  if (seconds <= kTickSeconds) {
    std::vector<Sample> out = samples_of(scene, subject, anon, seconds);
    const Track* swapped = swap == anon ? nullptr : scene.track(subject, swap);
    if (swapped != nullptr) {
      const std::vector<Sample> more = samples_of(scene, subject, swap, seconds);
      std::size_t at = 0;
      for (Sample& one : out) {
        while (at < more.size() && more[at].seconds < one.seconds - 1e-6) {
          ++at;
        }
        if (at < more.size() && more[at].seconds <= one.seconds + 1e-6) {
          one.value += more[at].value;
        }
      }
    }
    return out;
  }
  std::vector<Sample> out;
  const MinuteTrack* minutes = scene.minutes(subject, anon);
  if (minutes == nullptr) {
    return out;
  }
  const MinuteTrack* swapped = swap == anon ? nullptr : scene.minutes(subject, swap);
  const std::vector<MinuteTrack::Point> more =
      swapped == nullptr ? std::vector<MinuteTrack::Point>{}
                         : swapped->points(scene.boottime_ns(), seconds / 60);
  std::size_t at = 0;
  const double now = static_cast<double>(scene.boottime_ns()) / 60e9;
  for (const MinuteTrack::Point& point : minutes->points(scene.boottime_ns(), seconds / 60)) {
    while (at < more.size() && more[at].minute < point.minute) {
      ++at;
    }
    const double in_swap = at < more.size() && more[at].minute == point.minute ? more[at].value : 0;
    out.push_back({(point.minute + 0.5 - now) * 60, point.value + in_swap});
  }
  return out;
}

// Whether it grows like a leak over these samples.
std::optional<Leak> judge(const DetectorInput& input, std::span<const Sample> samples,
                          double left) {
  const auto trend = fit_trend(samples);
  const double total = input.scene.now(Signal::kMemTotal);
  if (!trend || !(trend->per_second > 0)) {
    return std::nullopt;
  }
  Leak out;
  out.trend = *trend;
  out.seconds_left = left / trend->per_second;
  out.bytes = samples.back().value;
  const double needed = std::clamp(kObservedShare * out.seconds_left, kLeastSeconds, kMostSeconds);
  const bool is_large =
      trend->per_second * 86'400 >= input.limits.leak_growth_ratio_per_day * total &&
      trend->per_second * trend->seconds >= kLeastGrowth * total;
  const bool is_steady = trend->tau >= kLeastTau && trend->per_second > kErrors * trend->error &&
                         trend->late >= kLateShare * trend->per_second &&
                         trend->early >= 0.3 * trend->per_second;
  if (!is_large || !is_steady || trend->seconds < needed) {
    return std::nullopt;
  }
  // One that slows down levels off before memory is used up: a cache that fills, a program that warms up.
  if (still_to_come(*trend) < left - input.limits.available_ratio * total) {
    return std::nullopt;
  }
  return out;
}

std::optional<Leak> find_leak(const DetectorInput& input, const Subject& subject, Signal anon,
                              Signal swap, double left) {
  const Scene& scene = input.scene;
  std::optional<Leak> out;
  double seen = 0;
  for (const double window : kWindows) {
    const std::vector<Sample> samples = past_of(scene, subject, anon, swap, window);
    const double seconds = samples.empty() ? 0 : samples.back().seconds - samples.front().seconds;
    if (samples.size() < 8 || seconds <= seen * 1.1 || seconds < kLeastSeconds) {
      continue;
    }
    seen = seconds;
    const auto leak = judge(input, samples, left);
    if (leak) {
      out = leak;
    }
  }
  if (!out) {
    return out;
  }
  // A new height: what it has reached before it has given back, too.
  const std::vector<Sample> minutes = past_of(scene, subject, anon, swap, kMinutesOfPast * 60);
  // Means of minutes blunt a peak: two minutes of growth less are as high.
  const double height = out->trend.last - 120 * out->trend.per_second;
  for (const Sample& one : minutes) {
    if (one.seconds < -out->trend.seconds && one.value > height) {
      return std::nullopt;
    }
  }
  const std::vector<Sample> ticks = past_of(scene, subject, anon, swap, kTickSeconds);
  const double slack = 0.02 * out->trend.per_second * out->trend.seconds;
  out->began = rise_began(out->trend.seconds > kTickSeconds ? minutes : ticks, slack);
  return out;
}

// The process of the group that grows, and the sum of how fast those grow that are seen.
const Subject* growing_process(const DetectorInput& input, std::string_view group, const Leak& leak,
                               double& per_second) {
  const Scene& scene = input.scene;
  const Subject* best = nullptr;
  double most = 0;
  per_second = 0;
  for (const Subject* process : scene.subjects(Kind::kProcess)) {
    if (process->attribute("group") != group) {
      continue;
    }
    const double seconds = std::clamp(leak.trend.seconds, kLeastSeconds, 48.0 * 3600);
    const auto trend =
        fit_trend(past_of(scene, *process, Signal::kProcessAnon, Signal::kProcessAnon, seconds));
    if (!trend || trend->seconds < 0.5 * std::min(seconds, kTickSeconds)) {
      continue;
    }
    per_second += std::max(trend->per_second, 0.0);
    if (trend->per_second > most) {
      most = trend->per_second;
      best = process;
    }
  }
  return most >= 0.5 * leak.trend.per_second ? best : nullptr;
}

// Whether processes that came since may explain the growth: as many as came, each as large as they are on average.
bool is_by_new_processes(const Scene& scene, const Subject& group, const Leak& leak) {
  const double starts =
      scene.mean(group, Signal::kGroupStarts, std::min(leak.trend.seconds, 1800.0));
  const double count = Scene::now(group, Signal::kGroupProcesses);
  if (!is_known(starts)) {
    return false;
  }
  const double each = leak.bytes / std::max(is_known(count) ? count : 1, 1.0);
  return starts * each >= kByNewProcesses * leak.trend.per_second;
}

std::string duration_span(const Leak& leak, double left) {
  const double error = 2 * leak.trend.error;
  const double soon = left / (leak.trend.per_second + error);
  const double late =
      leak.trend.per_second > error ? left / (leak.trend.per_second - error) : kUnknown;
  const std::string from = format_duration(soon);
  if (!is_known(late)) {
    return from + " at least";
  }
  const std::string to = format_duration(late);
  return from == to ? from : from + " to " + to;
}

void report(const DetectorInput& input, const Subject* group, const Leak& leak, double left,
            Findings& out) {
  const Scene& scene = input.scene;
  const double total = scene.now(Signal::kMemTotal);
  Finding finding;
  finding.id = VerdictId::kMemoryLeakSuspected;
  finding.onset_ns = scene.boottime_ns() + static_cast<std::int64_t>(leak.began * 1e9);
  finding.onset_resolution_seconds = leak.trend.seconds > kTickSeconds ? 60 : scene.tick_seconds();
  // Half of it by how well it fits, the rest by how long it was watched.
  const double watched =
      leak.trend.seconds / std::max(kObservedShare * leak.seconds_left, kLeastSeconds);
  finding.confidence = 0.3 + 0.2 * leak.trend.fit + 0.1 * std::min(watched, 2.0);
  Party party;
  if (group != nullptr) {
    double per_second = 0;
    const Subject* process = growing_process(input, group->label(0), leak, per_second);
    if (process == nullptr && is_by_new_processes(scene, *group, leak)) {
      return;
    }
    finding.instance = group->label(0);
    party = party_of_group(group->label(0));
    if (process != nullptr) {
      party = party_of_process(scene, process->label(0), process->label(1));
      party.group = group->label(0);
      finding.confidence += 0.2;
    } else {
      finding.unchecked.emplace_back("which of its processes grows");
    }
    const double shmem = Scene::now(*group, Signal::kGroupShmem);
    const double file = Scene::now(*group, Signal::kGroupFile);
    if (is_known(file)) {
      finding.ruled_out.push_back({"page cache and files it maps",
                                   "only anonymous memory is counted; resident of files are " +
                                       figure(file, Unit::kBytes)});
    }
    if (is_known(shmem)) {
      finding.ruled_out.push_back(
          {"shared memory", figure(shmem, Unit::kBytes) + " of it are not counted"});
    }
    if (process != nullptr) {
      finding.ruled_out.push_back({"more processes", "one process grows by itself"});
      const double dirty = Scene::now(*process, Signal::kProcessPrivateDirty);
      if (is_known(dirty)) {
        add_figure(finding, "private and dirty of what it maps", dirty, Unit::kBytes, std::nullopt,
                   source_of(Signal::kProcessPrivateDirty));
      }
    }
  } else {
    finding.unchecked.emplace_back("who grows: no processes are read");
    finding.confidence -= 0.1;
  }
  const double hourly = leak.trend.per_second * 3600;
  party.share = std::min(leak.bytes / total, 1.0);
  party.doing = "has " + figure(leak.bytes, Unit::kBytes) + " of anonymous memory and grows by " +
                figure(hourly, Unit::kBytes) + " an hour";
  const std::string who = group != nullptr ? party.text() : "Anonymous memory of the host";
  finding.causes.push_back(std::move(party));
  const std::string source =
      group != nullptr ? source_of(Signal::kGroupAnon) + ", " + source_of(Signal::kGroupSwap)
                       : source_of(Signal::kAnonPages);
  add_figure(finding, "growth of anonymous memory and swap an hour", hourly, Unit::kBytes,
             input.limits.leak_growth_ratio_per_day * total / 24, source);
  add_figure(finding, "its standard error", leak.trend.error * 3600, Unit::kBytes, std::nullopt,
             source);
  add_figure(finding, "share of the variance that a straight line explains (R2)", leak.trend.fit,
             Unit::kRatio, std::nullopt, source);
  add_figure(finding, "share of pairs of samples that rise (Kendall's tau)", leak.trend.tau,
             Unit::kNumber, kLeastTau, source);
  add_figure(finding, "watched for", leak.trend.seconds, Unit::kSeconds,
             std::clamp(kObservedShare * leak.seconds_left, kLeastSeconds, kMostSeconds), source);
  add_figure(finding, "anonymous memory and swap now", leak.bytes, Unit::kBytes, std::nullopt,
             source);
  add_figure(finding, "of all memory", leak.bytes / total, Unit::kRatio, std::nullopt, source);
  add_figure(finding, "until available memory and free swap are used up", leak.seconds_left,
             Unit::kSeconds, std::nullopt, source_of(Signal::kMemAvailable));
  finding.ruled_out.push_back(
      {"a warm-up that levels off",
       "the last third of the time it grew by " + figure(leak.trend.late * 3600, Unit::kBytes) +
           " an hour, the first by " + figure(leak.trend.early * 3600, Unit::kBytes)});
  finding.timeline.push_back({finding.onset_ns, "anonymous memory begins to grow"});
  finding.sentence =
      who + " has grown by " + figure(hourly, Unit::kBytes) + " an hour for " +
      format_duration(-leak.began) + ", steadily: " + figure(leak.bytes, Unit::kBytes) +
      " of private anonymous memory now, " + figure(leak.bytes / total, Unit::kRatio) +
      " of RAM; what is available lasts for another " + duration_span(leak, left) +
      " at this pace.";
  const std::string pid = finding.causes.front().pid;
  finding.next_steps = {
      "pidstat -r " + (pid.empty() ? std::string() : "-p " + pid + " ") + "60",
      "cat /proc/" + (pid.empty() ? std::string("PID") : pid) + "/smaps_rollup",
      "pmap -X " + (pid.empty() ? std::string("PID") : pid) + " | sort -k 7 -n | tail"};
  finding.confidence = std::clamp(finding.confidence, 0.0, 0.9);
  out.push_back(std::move(finding));
}

}  // namespace

void detect_memory_leak_suspected(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const double total = scene.now(Signal::kMemTotal);
  const double swap = scene.now(Signal::kSwapFree);
  const double left = available_bytes(scene) + (is_known(swap) ? swap : 0);
  if (!(total > 0) || !is_known(left)) {
    return;
  }
  const auto groups = scene.subjects(Kind::kGroup);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Subject& group = *groups[i];
    if (scene.minutes(group, Signal::kGroupAnon) == nullptr || !is_its_turn(scene, i) ||
        !(Scene::now(group, Signal::kGroupAnon) >= kLeastGrowth * total / 2)) {
      continue;
    }
    if (const auto leak = find_leak(input, group, Signal::kGroupAnon, Signal::kGroupSwap, left)) {
      report(input, &group, *leak, left, out);
    }
  }
  if (groups.empty() && is_its_turn(scene, 0)) {
    if (const auto leak =
            find_leak(input, scene.host(), Signal::kAnonPages, Signal::kAnonPages, left)) {
      report(input, nullptr, *leak, left, out);
    }
  }
}

}  // namespace tidegauge::heuristics
