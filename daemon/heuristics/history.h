// SPDX-License-Identifier: Apache-2.0
#pragma once

// What was, in bounded memory: values tick by tick for a quarter of an hour and more, and one mean a minute for two
// days. Times are CLOCK_BOOTTIME. A value belongs to the time since the tick before: ticks may be a second apart or,
// in old captures, ten minutes. Not thread-safe.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/heuristics/unit.h"

namespace tidegauge::heuristics {

// When the ticks were. All tracks share it: a value stands at its tick's number.
class TimeAxis {
 public:
  static constexpr std::size_t kTicks = 1800;

  // Times must rise; what does not is refused.
  bool add(std::int64_t boottime_ns);

  [[nodiscard]] std::size_t size() const { return count_ < kTicks ? count_ : kTicks; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  // Ticks back from the last one, 0 being that one. Below size().
  [[nodiscard]] std::int64_t end_ns(std::size_t back) const { return ends_[place(back)]; }
  // The first tick of all has no length.
  [[nodiscard]] std::int64_t length_ns(std::size_t back) const {
    return back + 1 < size() ? end_ns(back) - end_ns(back + 1) : 0;
  }
  // How many ticks ended within the last `seconds`: at least the last one, and all that `seconds` reach into by more
  // than half.
  [[nodiscard]] std::size_t ticks_within(double seconds) const;
  // Mean length of the ticks within the last `seconds`.
  [[nodiscard]] double resolution_seconds(double seconds) const;

  void save(std::string& out) const;
  bool load(std::string_view& in);

 private:
  friend class Track;
  [[nodiscard]] std::size_t place(std::size_t back) const {
    return static_cast<std::size_t>((count_ - 1 - back) % kTicks);
  }
  [[nodiscard]] std::size_t find_ticks_within(double seconds) const;

  std::vector<std::int64_t> ends_ = std::vector<std::int64_t>(kTicks);
  std::uint64_t count_ = 0;
  // What ticks_within() found at this tick: every mean of it asks for the same few spans.
  struct Found {
    double seconds = 0;
    std::uint64_t count = 0;
    std::size_t ticks = 0;
  };
  mutable std::array<Found, 16> found_{};
};

// One signal of one subject. Memory grows by blocks as there is something to remember.
class Track {
 public:
  // `missing`: what a tick says at which nothing was set; 0 for signals that are only kept while they are not 0.
  explicit Track(double missing) : missing_(static_cast<float>(missing)) {}

  // For the axis' last tick.
  void set(const TimeAxis& axis, double value);
  [[nodiscard]] double at(const TimeAxis& axis, std::size_t back) const;

  // Of the ticks within the last `seconds` (at least one) that end no later than `ago` seconds before the last one;
  // by time, unknown ones left out. Unknown if all are.
  [[nodiscard]] double mean(const TimeAxis& axis, double seconds, double ago = 0) const;
  [[nodiscard]] double max(const TimeAxis& axis, double seconds, double ago = 0) const;
  [[nodiscard]] double min(const TimeAxis& axis, double seconds, double ago = 0) const;
  // Share of the time within which it was at least `level`.
  [[nodiscard]] double share_at_least(const TimeAxis& axis, double level, double seconds) const;
  // Since when it has been at least `level`, but for gaps of up to `gap_seconds`; boot time at which the first such
  // tick began. None when it is not so now, give or take the gap.
  [[nodiscard]] std::optional<std::int64_t> at_least_since(const TimeAxis& axis, double level,
                                                           double gap_seconds) const;
  // Seconds since it was above 0.
  [[nodiscard]] double seconds_idle(const TimeAxis& axis) const;

  void save(std::string& out) const;
  bool load(std::string_view& in);

 private:
  static constexpr std::size_t kBlock = 150;
  static constexpr std::size_t kBlocks = TimeAxis::kTicks / kBlock;
  using Block = std::array<float, kBlock>;

  float missing_;
  std::array<std::unique_ptr<Block>, kBlocks> blocks_;
  std::uint64_t last_set_ = 0;  // the axis' count then
  std::uint64_t last_positive_ = 0;
};

// Means of minutes; the oldest go after two days.
class MinuteTrack {
 public:
  static constexpr std::size_t kMinutes = 2880;

  // A value that held for `length_ns` up to `end_ns` (boot time). An unknown one leaves its time out.
  void add(std::int64_t end_ns, std::int64_t length_ns, double value);

  struct Point {
    double minute = 0;  // since boot
    double value = 0;
  };
  // Whole minutes within the last `minutes` before `now_ns`, oldest first.
  [[nodiscard]] std::vector<Point> points(std::int64_t now_ns, double minutes) const;
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  // The median of these; unknown when there are fewer than `least`.
  [[nodiscard]] double median(std::int64_t now_ns, double minutes, std::size_t least) const;

  void save(std::string& out) const;
  bool load(std::string_view& in);

 private:
  void finish();
  std::deque<std::pair<std::int32_t, float>> values_;  // minute since boot, mean
  std::int32_t minute_ = -1;                           // being summed
  double sum_ = 0;
  double seconds_ = 0;
};

}  // namespace tidegauge::heuristics
