// SPDX-License-Identifier: Apache-2.0
#pragma once

// A recording as OpenMetrics text: every family once, the samples of a series together and in the order of time,
// as `promtool tsdb create-blocks-from openmetrics` wants it. A recording has it the other way round, so all samples
// are collected first. Where that would take more memory than allowed, the file is read several times, each time for
// the next part of the series in the order of their names.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "daemon/replay/recorded_text.h"
#include "daemon/replay/recording_walk.h"
#include "daemon/replay/sample_lines.h"

namespace tidegauge::replay {

// Takes text; false when nobody wants more of it.
using TextSink = std::function<bool(std::string_view)>;

struct OpenMetricsStats {
  std::uint64_t series = 0;
  std::uint64_t samples = 0;
  std::uint64_t not_later = 0;   // left out: their series had one of this time or a later one
  std::uint64_t collisions = 0;  // left out: another collector had the same series
  std::uint64_t passes = 0;
};

// For one use. Not thread-safe.
class OpenMetricsDump {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{384} << 20U;

  // The arguments must outlive it. `max_bytes` is kept unless a single series takes more.
  OpenMetricsDump(RecordingWalk& walk, RecordedText& text, FamilyMatcher& matcher,
                  std::size_t max_bytes = kMaxBytes);
  ~OpenMetricsDump();
  OpenMetricsDump(const OpenMetricsDump&) = delete;
  OpenMetricsDump& operator=(const OpenMetricsDump&) = delete;

  // Writes all of it. False when the sink refused.
  bool run(const TextSink& sink);
  [[nodiscard]] const OpenMetricsStats& stats() const { return stats_; }

 private:
  struct Family;
  struct Series;
  // In the order of the output. Views of what is kept elsewhere.
  struct Place {
    std::string_view family;
    std::string_view series;
  };
  struct OwnedPlace {
    std::string family;
    std::string series;
    [[nodiscard]] Place view() const { return {family, series}; }
  };
  static bool is_before(const Place& a, const Place& b);

  void collect();
  void begin_time(std::int64_t realtime_ns);
  std::uint32_t keep_time();
  void add_text(std::string_view text);
  bool enter_family(const FamilyLines& lines);
  void add_name(std::string_view name);
  void add_sample(std::string_view name, std::string_view value);
  // That is being read, kept from now on.
  const Family& family();
  [[nodiscard]] std::size_t fixed_bytes() const;
  [[nodiscard]] bool is_in_this_pass(const Place& place) const;
  [[nodiscard]] std::vector<Series*> sorted() const;
  void make_room();
  bool write(const TextSink& sink);
  void append_head(std::string& out, const Family& family) const;
  void append_samples(std::string& out, const Series& series);
  void clear();

  RecordingWalk& walk_;
  RecordedText& text_;
  FamilyMatcher& matcher_;
  const std::size_t max_bytes_;
  std::unordered_set<std::string> names_;  // of all families there are, unless that is too much
  std::size_t names_bytes_ = 0;
  bool knows_all_names_ = true;
  std::unordered_map<std::string_view, std::unique_ptr<Family>> families_;
  std::unordered_map<std::string_view, std::unique_ptr<Series>> series_;
  FamilyLines lines_;                   // of the family that is being read; views of the text
  std::int64_t now_ms_ = 0;             // of the Snapshot that is being read
  bool is_now_kept_ = false;            // now_ms_ is the last of times_ms_
  std::vector<std::int64_t> times_ms_;  // of samples that are kept
  std::vector<std::string> times_;
  std::size_t bytes_ = 0;  // of families and series
  // What earlier passes have written, and what this one leaves to the next.
  bool has_floor_ = false;
  bool has_ceiling_ = false;
  OwnedPlace floor_;    // the last one written
  OwnedPlace ceiling_;  // the first one left
  OpenMetricsStats stats_;
};

// Seconds with milliseconds. Prometheus multiplies by 1000 and cuts, which is exact from 2004 to 2038.
std::string open_metrics_time(std::int64_t ms);

}  // namespace tidegauge::replay
