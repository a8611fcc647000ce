// SPDX-License-Identifier: Apache-2.0

// What a Scene remembers, as bytes that go in front of a recording: ticks, then subjects with their tracks. Written and
// read by the public sides of tracks alone, so that how they keep their values is nobody's business here.

#include <algorithm>
#include <cmath>

#include "daemon/heuristics/scene.h"
#include "daemon/heuristics/state_bytes.h"

namespace tidegauge::heuristics {

namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::int64_t kMinuteNs = 60'000'000'000;
constexpr std::size_t kLongestText = 4096;
constexpr std::uint32_t kMaxAttributes = 64;
// Values of which a damaged or forged file may have greater ones.
constexpr double kGreatest = 1e21;

constexpr std::int64_t kLastTimeNs = std::int64_t{1} << 61U;

bool is_time(std::int64_t ns) { return ns >= 0 && ns <= kLastTimeNs; }

std::string_view name_of(Kind kind, std::size_t place) {
  return all_signals()[first_signal(kind) + place].name;
}

bool is_short(const Subject& subject) {
  const auto fits = [](const std::string& text) { return text.size() <= kLongestText; };
  return std::all_of(subject.labels.begin(), subject.labels.end(), fits) &&
         subject.attributes.size() <= kMaxAttributes &&
         std::all_of(subject.attributes.begin(), subject.attributes.end(),
                     [&](const auto& pair) { return fits(pair.first) && fits(pair.second); });
}

template <class T>
bool is_any(const std::vector<std::unique_ptr<T>>& kept) {
  return std::any_of(kept.begin(), kept.end(), [](const auto& one) { return one != nullptr; });
}

template <class T>
std::uint16_t count_of(const std::vector<std::unique_ptr<T>>& kept) {
  return static_cast<std::uint16_t>(
      std::count_if(kept.begin(), kept.end(), [](const auto& one) { return one != nullptr; }));
}

// A track that is younger than the beginning has nothing to say yet: it will be made again.
bool has_values(const Track& track, const TimeAxis& axis, std::size_t newest) {
  for (std::size_t back = newest; back < axis.size(); ++back) {
    if (track.at(axis, back) != 0) {
      return true;
    }
  }
  return false;
}

// Runs of equal values, oldest first: most of most tracks is 0.
void put_values(std::string& out, const Track& track, const TimeAxis& axis, std::size_t newest) {
  const auto value_at = [&](std::size_t back) { return static_cast<float>(track.at(axis, back)); };
  const auto is_same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  for (std::size_t back = axis.size(); back > newest;) {
    const float value = value_at(back - 1);
    std::uint16_t length = 0;
    while (back > newest && is_same(value_at(back - 1), value)) {
      --back;
      ++length;
    }
    put_number(out, length);
    put_number(out, value);
  }
}

bool take_values(std::string_view& in, std::size_t ticks, std::vector<float>& out) {
  out.clear();
  while (out.size() < ticks) {
    std::uint16_t length = 0;
    float value = 0;
    if (!take_number(in, length) || !take_number(in, value) || length == 0 ||
        length > ticks - out.size()) {
      return false;
    }
    const bool is_possible = std::abs(static_cast<double>(value)) <= kGreatest;
    out.insert(out.end(), length, is_possible ? value : static_cast<float>(kUnknown));
  }
  return true;
}

void put_minutes(std::string& out, const MinuteTrack& track, std::int64_t now_ns,
                 std::int64_t until_ns) {
  std::vector<MinuteTrack::Point> points = track.points(now_ns, MinuteTrack::kMinutes);
  std::erase_if(points, [&](const MinuteTrack::Point& point) {
    return static_cast<std::int64_t>(point.minute) * kMinuteNs > until_ns;
  });
  put_number(out, static_cast<std::uint16_t>(points.size()));
  for (const MinuteTrack::Point& point : points) {
    put_number(out, static_cast<std::int32_t>(point.minute));
    put_number(out, static_cast<float>(point.value));
  }
}

// The minute that `until_ns` is in was not over then: it has as much of its mean as had passed.
bool take_minutes(std::string_view& in, std::int64_t until_ns, MinuteTrack* out) {
  std::uint16_t count = 0;
  if (!take_number(in, count) || count > MinuteTrack::kMinutes) {
    return false;
  }
  std::int32_t last = -1;
  for (; count > 0; --count) {
    std::int32_t minute = 0;
    float value = 0;
    if (!take_number(in, minute) || !take_number(in, value) || minute <= last ||
        minute > kLastTimeNs / kMinuteNs) {
      return false;
    }
    last = minute;
    const std::int64_t begin_ns = minute * kMinuteNs;
    const std::int64_t end_ns = std::min(begin_ns + kMinuteNs, until_ns);
    if (out != nullptr && end_ns > begin_ns && std::abs(static_cast<double>(value)) <= kGreatest) {
      out->add(end_ns, end_ns - begin_ns, value);
    }
  }
  return true;
}

}  // namespace

std::string Scene::save_history(std::int64_t begin_ns, std::int64_t until_ns) const {
  std::size_t newest = 0;  // ticks back
  while (newest < axis_.size() && axis_.end_ns(newest) > until_ns) {
    ++newest;
  }
  std::string out;
  if (newest == axis_.size() || axis_.end_ns(axis_.size() - 1) >= begin_ns) {
    return out;
  }
  put_number(out, kVersion);
  put_number(out, static_cast<std::uint16_t>(axis_.size() - newest));
  for (std::size_t back = axis_.size(); back > newest; --back) {
    put_number(out, axis_.end_ns(back - 1));
  }
  for (const KindState& kind : kinds_) {
    for (const Subject* const subject : kind.list) {
      if (subject->first_seen_ns <= until_ns && is_short(*subject) &&
          (is_any(subject->tracks) || is_any(subject->minutes))) {
        save_subject(*subject, newest, until_ns, out);
      }
    }
  }
  return out;
}

void Scene::save_subject(const Subject& subject, std::size_t newest, std::int64_t until_ns,
                         std::string& out) const {
  put_number(out, static_cast<std::uint8_t>(subject.kind));
  for (const std::string& label : subject.labels) {
    put_text(out, label);
  }
  put_number(out, static_cast<std::uint8_t>(subject.attributes.size()));
  for (const auto& [name, value] : subject.attributes) {
    put_text(out, name);
    put_text(out, value);
  }
  put_number(out, subject.first_seen_ns);
  put_number(out, std::min(subject.last_seen_ns, until_ns));
  std::vector<std::size_t> tracks;
  for (std::size_t i = 0; i < subject.tracks.size(); ++i) {
    if (subject.tracks[i] && has_values(*subject.tracks[i], axis_, newest)) {
      tracks.push_back(i);
    }
  }
  put_number(out, static_cast<std::uint16_t>(tracks.size()));
  for (const std::size_t i : tracks) {
    put_text(out, name_of(subject.kind, i));
    put_values(out, *subject.tracks[i], axis_, newest);
  }
  put_number(out, count_of(subject.minutes));
  for (std::size_t i = 0; i < subject.minutes.size(); ++i) {
    if (subject.minutes[i]) {
      put_text(out, name_of(subject.kind, i));
      put_minutes(out, *subject.minutes[i], boottime_ns_, until_ns);
    }
  }
}

bool Scene::load_history(std::string_view in, std::int64_t until_ns) {
  Scene loaded;
  if (!loaded.take_history(in, until_ns)) {
    return false;
  }
  *this = std::move(loaded);
  return true;
}

bool Scene::take_history(std::string_view in, std::int64_t until_ns) {
  std::uint32_t version = 0;
  std::uint16_t ticks = 0;
  if (!is_time(until_ns) || !take_number(in, version) || version != kVersion ||
      !take_number(in, ticks) || ticks == 0 || ticks > TimeAxis::kTicks) {
    return false;
  }
  std::vector<std::int64_t> ends(ticks);
  for (std::int64_t& end_ns : ends) {
    if (!take_number(in, end_ns) || !is_time(end_ns)) {
      return false;
    }
  }
  const auto later = std::upper_bound(ends.begin(), ends.end(), until_ns);
  // Value by value, as they came: tick by tick for all tracks at once.
  std::vector<LoadedTrack> tracks;
  while (!in.empty()) {
    if (!take_subject(in, ends.size(), until_ns, tracks)) {
      return false;
    }
  }
  for (auto end = ends.begin(); end != later; ++end) {
    if (!axis_.add(*end)) {
      return false;
    }
    for (const LoadedTrack& track : tracks) {
      const float value = track.values[static_cast<std::size_t>(end - ends.begin())];
      track.track->set(axis_, value);
    }
  }
  if (axis_.size() == 0) {
    return false;
  }
  boottime_ns_ = axis_.end_ns(0);
  resumed_ns_ = boottime_ns_;
  return true;
}

bool Scene::take_subject(std::string_view& in, std::size_t ticks, std::int64_t until_ns,
                         std::vector<LoadedTrack>& out) {
  std::uint8_t kind = 0;
  if (!take_number(in, kind) || kind >= kKinds) {
    return false;
  }
  std::vector<std::string> labels(kind_labels(static_cast<Kind>(kind)).size());
  for (std::string& label : labels) {
    if (!take_text(in, label, kLongestText)) {
      return false;
    }
  }
  Subject* const subject = subject_of(static_cast<Kind>(kind), std::move(labels));
  std::uint8_t attributes = 0;
  if (subject == nullptr || !take_number(in, attributes) || attributes > kMaxAttributes) {
    return false;
  }
  std::string name;
  std::string value;
  for (; attributes > 0; --attributes) {
    if (!take_text(in, name, kLongestText) || !take_text(in, value, kLongestText)) {
      return false;
    }
    subject->set_attribute(name, value);
  }
  if (!take_number(in, subject->first_seen_ns) || !take_number(in, subject->last_seen_ns) ||
      !is_time(subject->first_seen_ns) || !is_time(subject->last_seen_ns)) {
    return false;
  }
  return take_tracks(in, *subject, ticks, out) && take_minute_tracks(in, *subject, until_ns);
}

bool Scene::take_tracks(std::string_view& in, Subject& subject, std::size_t ticks,
                        std::vector<LoadedTrack>& out) {
  std::uint16_t count = 0;
  std::string name;
  if (!take_number(in, count)) {
    return false;
  }
  for (; count > 0; --count) {
    LoadedTrack loaded;
    if (!take_text(in, name, kLongestText) || !take_values(in, ticks, loaded.values) ||
        out.size() >= kMaxTracks + signal_count(Kind::kHost)) {
      return false;
    }
    const auto place = place_of(subject.kind, name);
    if (!place || !keeps_seconds(subject.kind, *place)) {
      continue;  // of another build
    }
    std::unique_ptr<Track>& track = subject.tracks[*place];
    if (&subject != host_) {
      if (track || !make_room()) {
        continue;
      }
      track = std::make_unique<Track>(0);
      kept_.emplace_back(&subject, static_cast<std::uint16_t>(*place));
    }
    loaded.track = track.get();
    out.push_back(std::move(loaded));
  }
  return true;
}

bool Scene::take_minute_tracks(std::string_view& in, Subject& subject, std::int64_t until_ns) {
  std::uint16_t count = 0;
  std::string name;
  if (!take_number(in, count)) {
    return false;
  }
  for (; count > 0; --count) {
    if (!take_text(in, name, kLongestText)) {
      return false;
    }
    MinuteTrack* to = nullptr;
    const auto place = place_of(subject.kind, name);
    if (place && keeps_minutes(subject.kind, *place)) {
      std::unique_ptr<MinuteTrack>& minutes = subject.minutes[*place];
      if (!minutes && minute_tracks_ < kMaxMinuteTracks) {
        minutes = std::make_unique<MinuteTrack>();
        ++minute_tracks_;
      }
      to = minutes.get();
    }
    if (!take_minutes(in, until_ns, to)) {
      return false;
    }
  }
  return true;
}

}  // namespace tidegauge::heuristics
