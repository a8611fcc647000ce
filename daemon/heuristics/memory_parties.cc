// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/memory_parties.h"

#include <algorithm>
#include <utility>

#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kNsPerSecond = 1e9;
constexpr double kUsualMinutes = 24 * 60;
constexpr std::size_t kLeastUsualMinutes = 5;
constexpr double kLeastUsualSeconds = 30;
constexpr double kPastSeconds = 1800;
// Scene keeps the ticks of a group's memory from this share of all on; what crosses it did not rise from 0.
constexpr double kKeptShare = 0.005;

double lower_quartile(std::vector<double>& values) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 4);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double quartile_of_ticks(const Scene& scene, const Subject& subject, Signal signal) {
  const Track* track = scene.track(subject, signal);
  if (track == nullptr) {
    return kUnknown;
  }
  const TimeAxis& axis = scene.axis();
  const std::size_t ticks = axis.ticks_within(kPastSeconds);
  // Every so many of them will do.
  const std::size_t step = std::max<std::size_t>(ticks / 120, 1);
  std::vector<double> values;
  for (std::size_t back = 0; back + 1 < ticks; back += step) {
    if (const double value = track->at(axis, back); is_known(value)) {
      values.push_back(value);
    }
  }
  const double seconds =
      ticks > 1 ? static_cast<double>(axis.end_ns(0) - axis.end_ns(ticks - 1)) / kNsPerSecond : 0;
  return values.size() < 3 || seconds < kLeastUsualSeconds ? kUnknown : lower_quartile(values);
}

double quartile_of_minutes(const Scene& scene, const Subject& subject, Signal signal) {
  const MinuteTrack* minutes = scene.minutes(subject, signal);
  if (minutes == nullptr || minutes->size() < kLeastUsualMinutes) {
    return kUnknown;
  }
  std::vector<double> values;
  for (const MinuteTrack::Point& point : minutes->points(scene.boottime_ns(), kUsualMinutes)) {
    values.push_back(point.value);
  }
  return values.size() < kLeastUsualMinutes ? kUnknown : lower_quartile(values);
}

double value_at(const Scene& scene, Signal signal, std::size_t back) {
  const Track* track = scene.track(scene.host(), signal);
  return track == nullptr ? kUnknown : track->at(scene.axis(), back);
}

double available_at(const Scene& scene, std::size_t back) {
  if (const double bytes = value_at(scene, Signal::kMemAvailable, back); is_known(bytes)) {
    return bytes;
  }
  const double free = value_at(scene, Signal::kMemFree, back);
  const double file =
      value_at(scene, Signal::kActiveFile, back) + value_at(scene, Signal::kInactiveFile, back);
  if (is_known(file)) {
    return free + file;
  }
  const double shmem = value_at(scene, Signal::kShmem, back);
  return free + value_at(scene, Signal::kBuffers, back) + value_at(scene, Signal::kCached, back) -
         (is_known(shmem) ? shmem : 0);
}

// How `value(back)` moved, tick by tick. What has no value before counts from `from`.
template <class Value>
void add_moves(Taking& out, const Scene& scene, double seconds, const Value& value, double from) {
  const TimeAxis& axis = scene.axis();
  const std::size_t ticks = std::min(axis.ticks_within(seconds), axis.size() - 1);
  double elapsed = 0;
  double net = 0;
  double taken = 0;
  for (std::size_t back = 0; back < ticks; ++back) {
    const double now = value(back);
    double before = value(back + 1);
    elapsed += static_cast<double>(axis.length_ns(back)) / kNsPerSecond;
    if (!is_known(now) || !is_known(before)) {
      continue;
    }
    if (before == 0) {
      before = std::min(now, from);
    }
    net += now - before;
    taken += std::max(now - before, 0.0);
  }
  if (elapsed > 0) {
    out.net_bytes_per_second += net / elapsed;
    out.taken_bytes_per_second += taken / elapsed;
  }
}

Taking taking_of(const Scene& scene, const Subject& subject, Signal anon, double seconds) {
  Taking out;
  out.subject = &subject;
  out.bytes = Scene::sum(subject, anon);
  const Track* track = scene.track(subject, anon);
  const TimeAxis& axis = scene.axis();
  if (track == nullptr || axis.size() < 2) {
    return out;
  }
  const std::size_t ticks = std::min(axis.ticks_within(seconds), axis.size() - 1);
  const bool is_new = subject.first_seen_ns > axis.end_ns(ticks);
  const double total = scene.now(Signal::kMemTotal);
  const double from = is_new || !is_known(total) ? 0 : kKeptShare * total;
  add_moves(
      out, scene, seconds, [&](std::size_t back) { return track->at(axis, back); }, from);
  return out;
}

std::vector<Taking> all_takers(const Scene& scene, Kind kind, Signal anon, double seconds) {
  std::vector<Taking> out;
  for (const Subject* subject : scene.subjects(kind)) {
    const Taking taking = taking_of(scene, *subject, anon, seconds);
    if (taking.taken_bytes_per_second > 0) {
      out.push_back(taking);
    }
  }
  std::sort(out.begin(), out.end(), [](const Taking& a, const Taking& b) {
    return a.taken_bytes_per_second != b.taken_bytes_per_second
               ? a.taken_bytes_per_second > b.taken_bytes_per_second
               : a.subject->labels < b.subject->labels;
  });
  return out;
}

std::string taking_text(const Taking& taking) {
  const bool returns = taking.net_bytes_per_second < taking.taken_bytes_per_second / 2;
  return std::string(returns ? "takes " : "grows by ") +
         figure(returns ? taking.taken_bytes_per_second : taking.net_bytes_per_second,
                Unit::kBytesPerSecond) +
         (returns ? " and returns it, has " : " to ") + figure(taking.bytes, Unit::kBytes);
}

}  // namespace

double page_bytes(const MemoryReading& reading) { return reading.page_bytes.value_or(4096); }

std::string figure(double value, Unit unit) { return format_figure(value, unit); }

std::string source_of(Signal signal) {
  const SignalInfo& info = info_of(signal);
  return std::string(info.sources[0].family) + std::string(info.sources[0].suffix);
}

void add_figure(Finding& finding, std::string what, double value, Unit unit,
                std::optional<double> threshold, std::string source) {
  if (is_known(value)) {
    finding.evidence.push_back({std::move(what), value, unit, threshold, std::move(source)});
  }
}

void add_figure(Finding& finding, std::string what, double value, Signal signal,
                std::optional<double> threshold) {
  add_figure(finding, std::move(what), value, info_of(signal).unit, threshold, source_of(signal));
}

double sum_known(double a, double b) { return is_known(a) ? (is_known(b) ? a + b : a) : b; }

double usual_of(const Scene& scene, const Subject& subject, Signal signal) {
  const double ticks = quartile_of_ticks(scene, subject, signal);
  const double minutes = quartile_of_minutes(scene, subject, signal);
  // What lasts for long fills the one before the other.
  return is_known(minutes) && !(ticks < minutes) ? minutes : ticks;
}

bool goes_on(const Scene& scene, Signal of_host, double level) {
  constexpr double kJustNow = 4;
  return scene.max(of_host, kJustNow) >= level / 4;
}

bool lasts_or_recurs(const Scene& scene, Signal of_host, double level, double seconds) {
  constexpr double kMostOfIt = 0.5;
  if (scene.share_at_least(scene.host(), of_host, level, seconds) >= kMostOfIt) {
    return true;
  }
  // A program that starts makes reclaim work once, for a few seconds.
  constexpr std::size_t kTicks = 3;
  constexpr std::size_t kEpisodes = 2;
  constexpr double kRemembered = 1.5;  // times as long
  std::size_t ticks = 0;
  std::size_t episodes = 0;
  bool was_there = false;
  for (std::size_t back = scene.axis().ticks_within(kRemembered * seconds); back-- > 0;) {
    const bool is_there = value_at(scene, of_host, back) >= level;
    ticks += is_there ? 1 : 0;
    episodes += is_there && !was_there ? 1 : 0;
    was_there = is_there;
  }
  return ticks >= kTicks && episodes >= kEpisodes;
}

double available_bytes(const Scene& scene) { return available_at(scene, 0); }

std::vector<Sample> left_of_memory(const Scene& scene, double seconds) {
  const TimeAxis& axis = scene.axis();
  std::vector<Sample> out;
  for (std::size_t back = axis.ticks_within(seconds); back-- > 0;) {
    const double swap = value_at(scene, Signal::kSwapFree, back);
    const double left = available_at(scene, back) + (is_known(swap) ? swap : 0);
    if (is_known(left)) {
      out.push_back({static_cast<double>(axis.end_ns(back) - axis.end_ns(0)) / kNsPerSecond, left});
    }
  }
  return out;
}

std::vector<Sample> samples_of(const Scene& scene, const Subject& subject, Signal signal,
                               double seconds) {
  std::vector<Sample> out;
  const Track* track = scene.track(subject, signal);
  if (track == nullptr) {
    return out;
  }
  const TimeAxis& axis = scene.axis();
  for (std::size_t back = axis.ticks_within(seconds); back-- > 0;) {
    const double value = track->at(axis, back);
    if (is_known(value) && value > 0) {
      out.push_back(
          {static_cast<double>(axis.end_ns(back) - axis.end_ns(0)) / kNsPerSecond, value});
    }
  }
  return out;
}

Taking host_taking(const Scene& scene, double seconds) {
  Taking out;
  if (scene.axis().size() < 2) {
    return out;
  }
  for (const Signal signal : {Signal::kAnonPages, Signal::kShmem}) {
    out.bytes += is_known(scene.now(signal)) ? scene.now(signal) : 0;
    add_moves(
        out, scene, seconds, [&](std::size_t back) { return value_at(scene, signal, back); }, 0);
  }
  return out;
}

std::vector<Taking> takers(const Scene& scene, double seconds) {
  return all_takers(scene, Kind::kGroup, Signal::kGroupAnon, seconds);
}

Party member_of_group(const Scene& scene, std::string_view group, Signal of_process,
                      double group_value, double seconds) {
  const Subject* best = nullptr;
  double most = 0;
  for (const Subject* process : scene.subjects(Kind::kProcess)) {
    if (process->attribute("group") != group) {
      continue;
    }
    const double value = scene.mean(*process, of_process, seconds);
    if (value > most) {
      most = value;
      best = process;
    }
  }
  if (best == nullptr || most < group_value / 2) {
    return party_of_group(group);
  }
  return party_of_process(scene, best->label(0), best->label(1));
}

Party taker_party(const Scene& scene, const Taking& taking, double seconds, double whole) {
  const std::string& group = taking.subject->label(0);
  Party out = party_of_group(group);
  for (const Taking& process : all_takers(scene, Kind::kProcess, Signal::kProcessAnon, seconds)) {
    if (process.subject->attribute("group") == group) {
      if (process.taken_bytes_per_second >= taking.taken_bytes_per_second / 2) {
        out = party_of_process(scene, process.subject->label(0), process.subject->label(1));
      }
      break;
    }
  }
  if (whole > 0) {
    out.share = std::min(taking.taken_bytes_per_second / whole, 1.0);
  }
  out.doing = taking_text(taking);
  return out;
}

std::vector<Party> taker_parties(const Scene& scene, double seconds, std::size_t most) {
  const std::vector<Taking> all = takers(scene, seconds);
  double whole = 0;
  for (const Taking& one : all) {
    whole += one.taken_bytes_per_second;
  }
  std::vector<Party> out;
  for (const Taking& one : all) {
    if (out.size() == most || one.taken_bytes_per_second < 0.1 * whole) {
      break;
    }
    out.push_back(taker_party(scene, one, seconds, whole));
  }
  return out;
}

std::vector<Party> largest_parties(const Scene& scene, double seconds, std::size_t most) {
  std::vector<std::pair<double, const Subject*>> all;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    // At its largest within the time: one that has just ended is still who it was.
    const double bytes = sum_known(scene.max(*group, Signal::kGroupAnon, seconds),
                                   scene.max(*group, Signal::kGroupSwap, seconds));
    if (bytes > 0) {
      all.emplace_back(bytes, group);
    }
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second->labels < b.second->labels;
  });
  const double total = scene.now(Signal::kMemTotal);
  std::vector<Party> out;
  for (const auto& [bytes, group] : all) {
    if (out.size() == most) {
      break;
    }
    const double own = scene.mean(*group, Signal::kGroupAnon, seconds);
    Party party = member_of_group(scene, group->label(0), Signal::kProcessAnon, own, seconds);
    party.share =
        is_known(total) && total > 0 ? std::optional(std::min(bytes / total, 1.0)) : std::nullopt;
    party.doing = "has " + figure(bytes, Unit::kBytes) + " of anonymous memory and swap";
    out.push_back(std::move(party));
  }
  return out;
}

std::string lasted(const Scene& scene, const Finding& finding) {
  return ", for " +
         format_duration(static_cast<double>(scene.boottime_ns() - finding.onset_ns) / 1e9) + ".";
}

std::string who_does(const Finding& finding) {
  return finding.causes.empty()
             ? ""
             : "; " + finding.causes.front().text() + " " + finding.causes.front().doing;
}

void add_unchecked(Finding& finding, const Scene& scene, Signal signal, std::string_view what) {
  if (!scene.has(signal)) {
    finding.unchecked.emplace_back(what);
  }
}

}  // namespace tidegauge::heuristics
