// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/history.h"

#include <algorithm>
#include <cmath>

#include "daemon/heuristics/state_bytes.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kNsPerSecond = 1e9;
constexpr std::int64_t kMinuteNs = 60'000'000'000;

}  // namespace

bool TimeAxis::add(std::int64_t boottime_ns) {
  if (count_ > 0 && boottime_ns <= end_ns(0)) {
    return false;
  }
  ++count_;
  ends_[place(0)] = boottime_ns;
  return true;
}

std::size_t TimeAxis::ticks_within(double seconds) const {
  const bool is_place = seconds >= 0 && seconds < 1e6;
  Found& found = found_[is_place ? static_cast<std::size_t>(seconds) % found_.size() : 0];
  if (found.count != count_ || found.seconds != seconds) {
    found = {seconds, count_, find_ticks_within(seconds)};
  }
  return found.ticks;
}

std::size_t TimeAxis::find_ticks_within(double seconds) const {
  const std::size_t all = size();
  if (all <= 1) {
    return all;
  }
  const auto begin_ns = static_cast<double>(end_ns(0)) - seconds * kNsPerSecond;
  // The middle of the first tick that belongs to it lies within. Ticks rise: halve.
  std::size_t low = 1;
  std::size_t high = all;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    const double center =
        static_cast<double>(end_ns(middle)) - static_cast<double>(length_ns(middle)) / 2;
    if (center > begin_ns) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

double TimeAxis::resolution_seconds(double seconds) const {
  const std::size_t ticks = ticks_within(seconds);
  if (ticks == 0 || size() < 2) {
    return 0;
  }
  const std::size_t last = std::min(ticks, size() - 1);
  return static_cast<double>(end_ns(0) - end_ns(last)) / kNsPerSecond / static_cast<double>(last);
}

void TimeAxis::save(std::string& out) const {
  put_number(out, count_);
  for (std::size_t back = 0; back < size(); ++back) {
    put_number(out, end_ns(back));
  }
}

bool TimeAxis::load(std::string_view& in) {
  std::uint64_t count = 0;
  if (!take_number(in, count)) {
    return false;
  }
  found_ = {};
  count_ = count;
  std::int64_t last_ns = INT64_MAX;
  for (std::size_t back = 0; back < size(); ++back) {
    std::int64_t end = 0;
    if (!take_number(in, end) || end >= last_ns) {
      count_ = 0;
      return false;
    }
    ends_[place(back)] = end;
    last_ns = end;
  }
  return true;
}

void Track::set(const TimeAxis& axis, double value) {
  const std::uint64_t tick = axis.count_;
  // What was kept a whole axis ago is not of the ticks between.
  const std::uint64_t passed = std::min<std::uint64_t>(tick - last_set_, TimeAxis::kTicks);
  for (std::uint64_t back = last_set_ == 0 ? 0 : 1; back < passed; ++back) {
    const std::size_t at = axis.place(back);
    if (blocks_[at / kBlock]) {
      (*blocks_[at / kBlock])[at % kBlock] = missing_;
    }
  }
  const std::size_t at = axis.place(0);
  std::unique_ptr<Block>& block = blocks_[at / kBlock];
  if (!block) {
    block = std::make_unique<Block>();
    block->fill(missing_);
  }
  (*block)[at % kBlock] = static_cast<float>(value);
  last_set_ = tick;
  if (value > 0) {
    last_positive_ = tick;
  }
}

double Track::at(const TimeAxis& axis, std::size_t back) const {
  const std::uint64_t tick = axis.count_ - back;
  if (tick > last_set_ || last_set_ == 0 || tick + TimeAxis::kTicks <= last_set_) {
    return missing_;
  }
  const std::size_t at = axis.place(back);
  const std::unique_ptr<Block>& block = blocks_[at / kBlock];
  return block ? (*block)[at % kBlock] : missing_;
}

namespace {

struct Window {
  std::size_t first = 0;  // ticks back
  std::size_t last = 0;   // one past
};

Window window_of(const TimeAxis& axis, double seconds, double ago) {
  const std::size_t first = ago > 0 ? axis.ticks_within(ago) : 0;
  return {first, std::min(std::max(axis.ticks_within(seconds + ago), first + 1), axis.size())};
}

}  // namespace

double Track::mean(const TimeAxis& axis, double seconds, double ago) const {
  const Window window = window_of(axis, seconds, ago);
  double sum = 0;
  double length = 0;
  for (std::size_t back = window.first; back < window.last; ++back) {
    const double value = at(axis, back);
    if (is_known(value)) {
      const auto weight = static_cast<double>(std::max<std::int64_t>(axis.length_ns(back), 1));
      sum += value * weight;
      length += weight;
    }
  }
  return length > 0 ? sum / length : kUnknown;
}

double Track::max(const TimeAxis& axis, double seconds, double ago) const {
  const Window window = window_of(axis, seconds, ago);
  double out = kUnknown;
  for (std::size_t back = window.first; back < window.last; ++back) {
    const double value = at(axis, back);
    out = is_known(value) && !(out >= value) ? value : out;
  }
  return out;
}

double Track::min(const TimeAxis& axis, double seconds, double ago) const {
  const Window window = window_of(axis, seconds, ago);
  double out = kUnknown;
  for (std::size_t back = window.first; back < window.last; ++back) {
    const double value = at(axis, back);
    out = is_known(value) && !(out <= value) ? value : out;
  }
  return out;
}

double Track::share_at_least(const TimeAxis& axis, double level, double seconds) const {
  const Window window = window_of(axis, seconds, 0);
  double above = 0;
  double length = 0;
  for (std::size_t back = window.first; back < window.last; ++back) {
    const double value = at(axis, back);
    if (is_known(value)) {
      const auto weight = static_cast<double>(std::max<std::int64_t>(axis.length_ns(back), 1));
      above += value >= level ? weight : 0;
      length += weight;
    }
  }
  return length > 0 ? above / length : kUnknown;
}

std::optional<std::int64_t> Track::at_least_since(const TimeAxis& axis, double level,
                                                  double gap_seconds) const {
  std::optional<std::int64_t> since;
  double gap_ns = 0;
  for (std::size_t back = 0; back < axis.size(); ++back) {
    if (at(axis, back) >= level) {
      since = axis.end_ns(back) - axis.length_ns(back);
      gap_ns = 0;
      continue;
    }
    gap_ns += static_cast<double>(axis.length_ns(back));
    if (gap_ns > gap_seconds * kNsPerSecond) {
      break;
    }
  }
  return since;
}

double Track::seconds_idle(const TimeAxis& axis) const {
  const std::uint64_t back = axis.count_ - last_positive_;
  if (last_positive_ == 0 || back >= axis.size()) {
    return axis.size() < 2
               ? 0
               : static_cast<double>(axis.end_ns(0) - axis.end_ns(axis.size() - 1)) / kNsPerSecond;
  }
  return static_cast<double>(axis.end_ns(0) - axis.end_ns(static_cast<std::size_t>(back))) /
         kNsPerSecond;
}

void Track::save(std::string& out) const {
  put_number(out, missing_);
  put_number(out, last_set_);
  put_number(out, last_positive_);
  for (const auto& block : blocks_) {
    put_number(out, static_cast<std::uint8_t>(block ? 1 : 0));
    if (block) {
      for (const float value : *block) {
        put_number(out, value);
      }
    }
  }
}

bool Track::load(std::string_view& in) {
  if (!take_number(in, missing_) || !take_number(in, last_set_) ||
      !take_number(in, last_positive_)) {
    return false;
  }
  for (auto& block : blocks_) {
    std::uint8_t has = 0;
    if (!take_number(in, has) || has > 1) {
      return false;
    }
    block.reset();
    if (has == 1) {
      block = std::make_unique<Block>();
      for (float& value : *block) {
        if (!take_number(in, value)) {
          return false;
        }
      }
    }
  }
  return true;
}

void MinuteTrack::finish() {
  if (minute_ >= 0 && seconds_ > 0) {
    values_.emplace_back(minute_, static_cast<float>(sum_ / seconds_));
    if (values_.size() > kMinutes) {
      values_.pop_front();
    }
  }
  sum_ = 0;
  seconds_ = 0;
}

void MinuteTrack::add(std::int64_t end_ns, std::int64_t length_ns, double value) {
  constexpr auto kMost = static_cast<std::int64_t>(kMinutes);
  const std::int64_t end_minute = end_ns / kMinuteNs;
  std::int64_t minute = std::max({(end_ns - length_ns) / kMinuteNs, end_minute - kMost,
                                  std::int64_t{minute_}, std::int64_t{0}});
  for (; minute <= end_minute; ++minute) {
    if (minute != minute_) {
      finish();
      minute_ = static_cast<std::int32_t>(minute);
    }
    const std::int64_t begin_ns = std::max(end_ns - length_ns, minute * kMinuteNs);
    const std::int64_t stop_ns = std::min(end_ns, (minute + 1) * kMinuteNs);
    if (is_known(value) && stop_ns > begin_ns) {
      const double seconds = static_cast<double>(stop_ns - begin_ns) / kNsPerSecond;
      sum_ += value * seconds;
      seconds_ += seconds;
    }
  }
}

std::vector<MinuteTrack::Point> MinuteTrack::points(std::int64_t now_ns, double minutes) const {
  const double now = static_cast<double>(now_ns) / static_cast<double>(kMinuteNs);
  std::vector<Point> out;
  for (const auto& [minute, value] : values_) {
    if (minute + 1 > now - minutes) {
      out.push_back({static_cast<double>(minute), value});
    }
  }
  return out;
}

double MinuteTrack::median(std::int64_t now_ns, double minutes, std::size_t least) const {
  std::vector<Point> all = points(now_ns, minutes);
  if (all.size() < std::max<std::size_t>(least, 1)) {
    return kUnknown;
  }
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
  std::nth_element(all.begin(), middle, all.end(),
                   [](const Point& a, const Point& b) { return a.value < b.value; });
  return middle->value;
}

void MinuteTrack::save(std::string& out) const {
  put_number(out, static_cast<std::uint32_t>(values_.size()));
  for (const auto& [minute, value] : values_) {
    put_number(out, minute);
    put_number(out, value);
  }
  put_number(out, minute_);
  put_number(out, sum_);
  put_number(out, seconds_);
}

bool MinuteTrack::load(std::string_view& in) {
  std::uint32_t count = 0;
  if (!take_number(in, count) || count > kMinutes) {
    return false;
  }
  values_.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    std::pair<std::int32_t, float> point;
    if (!take_number(in, point.first) || !take_number(in, point.second)) {
      return false;
    }
    values_.push_back(point);
  }
  return take_number(in, minute_) && take_number(in, sum_) && take_number(in, seconds_);
}

}  // namespace tidegauge::heuristics
