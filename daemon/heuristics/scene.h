// SPDX-License-Identifier: Apache-2.0
#pragma once

// What Snapshots say, as signals of subjects: what is now, and what was. Metrics are found by name, so Snapshots of
// another build serve as far as they go. Pure; bounded memory; not thread-safe.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "collectors/core/section.h"
#include "daemon/heuristics/history.h"
#include "daemon/heuristics/signal.h"

namespace tidegauge::heuristics {

// Requests by how long they took, weighted by age: half a minute ago counts a third.
struct RecentHistogram {
  std::vector<double> bounds;  // upper ones, seconds; the last is infinite
  std::vector<double> counts;  // not cumulative
  // Between bounds as if evenly spread; unknown when there are less than `least` requests.
  [[nodiscard]] double quantile(double share, double least = 5) const;
};

// A CPU, a disk, a group: what signals are about. Lives a quarter of an hour longer than its series.
struct Subject {
  Kind kind = Kind::kHost;
  std::vector<std::string> labels;                              // parallel to kind_labels()
  std::vector<std::pair<std::string, std::string>> attributes;  // by name
  std::vector<double> values;                                   // of the kind's signals, now
  std::vector<std::unique_ptr<Track>> tracks;                   // likewise; null: 0 all the time
  std::vector<std::unique_ptr<MinuteTrack>> minutes;            // likewise; null: not kept
  std::unique_ptr<RecentHistogram> histogram;
  std::int64_t first_seen_ns = 0;
  std::int64_t last_seen_ns = 0;

  [[nodiscard]] const std::string& label(std::size_t place) const { return labels[place]; }
  // "" when there is none.
  [[nodiscard]] std::string_view attribute(std::string_view name) const;
  void set_attribute(std::string_view name, std::string_view value);
};

class Scene {
 public:
  Scene();
  // False, and nothing changes, when it is not newer than the one before.
  bool update(const Snapshot& snapshot);

  // What is remembered up to `until_ns`, for a recording that begins at `begin_ns` or a little later; "" when nothing is
  // older than that. Bounded.
  [[nodiscard]] std::string save_history(std::int64_t begin_ns, std::int64_t until_ns) const;
  // Makes it what is remembered, but for what is later than `until_ns`. False, and nothing changes, where it is not what
  // save_history() gives. Until Snapshots are newer than that they only say from what counters grow.
  bool load_history(std::string_view in, std::int64_t until_ns);

  [[nodiscard]] std::int64_t boottime_ns() const { return boottime_ns_; }
  [[nodiscard]] std::int64_t realtime_ns() const { return realtime_ns_; }
  [[nodiscard]] const TimeAxis& axis() const { return axis_; }
  // From the first tick to the last, as far as is remembered.
  [[nodiscard]] double observed_seconds() const;
  // Seconds that the last tick stands for.
  [[nodiscard]] double tick_seconds() const;

  // ---- subjects ----
  [[nodiscard]] const Subject& host() const { return *host_; }
  // Those with a series now, and those that had one lately.
  [[nodiscard]] std::span<Subject* const> subjects(Kind kind) const {
    return kinds_[index_of(kind)].list;
  }
  [[nodiscard]] const Subject* find(Kind kind, std::span<const std::string_view> labels) const;
  [[nodiscard]] const Subject* find(Kind kind,
                                    std::initializer_list<std::string_view> labels) const {
    return find(kind, std::span(labels.begin(), labels.size()));
  }

  // ---- signals ----
  // What they are now: kUnknown when nobody says so. A slow collector's value holds until its next run.
  [[nodiscard]] static double now(const Subject& subject, Signal signal) {
    return subject.values[index_of(signal) - first_signal(subject.kind)];
  }
  [[nodiscard]] double now(Signal of_host) const { return now(*host_, of_host); }
  // The same, and 0 when unknown: for sums.
  [[nodiscard]] static double sum(const Subject& subject, Signal signal) {
    const double value = now(subject, signal);
    return is_known(value) ? value : 0;
  }
  // Over the last `seconds` before `ago` seconds before now. What is not kept is what it is now.
  [[nodiscard]] double mean(const Subject& subject, Signal signal, double seconds,
                            double ago = 0) const;
  [[nodiscard]] double mean(Signal of_host, double seconds, double ago = 0) const {
    return mean(*host_, of_host, seconds, ago);
  }
  [[nodiscard]] double max(const Subject& subject, Signal signal, double seconds,
                           double ago = 0) const;
  [[nodiscard]] double max(Signal of_host, double seconds, double ago = 0) const {
    return max(*host_, of_host, seconds, ago);
  }
  [[nodiscard]] double min(const Subject& subject, Signal signal, double seconds,
                           double ago = 0) const;
  [[nodiscard]] double min(Signal of_host, double seconds, double ago = 0) const {
    return min(*host_, of_host, seconds, ago);
  }
  // Share of the last `seconds` in which it was at least `level`.
  [[nodiscard]] double share_at_least(const Subject& subject, Signal signal, double level,
                                      double seconds) const;
  // Since when it is at least `level`, in boot time, but for gaps of up to `gap_seconds`.
  [[nodiscard]] std::optional<std::int64_t> at_least_since(const Subject& subject, Signal signal,
                                                           double level,
                                                           double gap_seconds = 3) const;
  [[nodiscard]] const Track* track(const Subject& subject, Signal signal) const;
  [[nodiscard]] const MinuteTrack* minutes(const Subject& subject, Signal signal) const;

  // Whether anybody has this signal now: false tells what could not be checked.
  [[nodiscard]] bool has(Signal signal) const;

  [[nodiscard]] std::size_t tracks() const { return kept_.size(); }
  [[nodiscard]] std::uint64_t tracks_refused() const { return refused_; }

 private:
  struct Cell {
    std::uint32_t row = 0;
    std::uint32_t column = 0;
    Subject* subject = nullptr;
    std::uint16_t signal = 0;  // within the kind
    bool is_rate = false;
    double scale = 1;
    double previous = kUnknown;
  };
  struct BucketCell {
    std::uint32_t row = 0;
    std::uint32_t column = 0;  // cumulative, with the next ones up to `columns`
    Subject* subject = nullptr;
    std::vector<double> previous;
  };
  struct Reader {
    std::shared_ptr<const Shape> shape;
    std::vector<Cell> cells;
    std::vector<BucketCell> buckets;
    std::vector<std::uint32_t> bucket_columns;
  };
  struct Source {
    std::shared_ptr<const Section> section;
    std::int64_t read_ns = 0;
    bool starts_at_zero = false;  // a series that is new began with this run
    std::vector<Reader> readers;  // of each table
    std::vector<std::pair<Subject*, std::uint16_t>> touched;
  };
  struct KindState {
    std::vector<Subject*> list;
    std::unordered_map<std::string, std::unique_ptr<Subject>> by_key;
  };

  static constexpr std::size_t kMaxTracks = 480;  // of all but the host
  static constexpr std::size_t kMaxMinuteTracks = 192;
  // A track, and a value for each tick of its history.
  struct LoadedTrack {
    Track* track = nullptr;
    std::vector<float> values;
  };

  Subject* subject_of(Kind kind, const Shape& shape, std::size_t row, const ColumnInfo& column);
  // Null when there are too many.
  Subject* subject_of(Kind kind, std::vector<std::string> labels);
  void read_all(const Snapshot& snapshot);
  void save_subject(const Subject& subject, std::size_t newest, std::int64_t until_ns,
                    std::string& out) const;
  bool take_history(std::string_view in, std::int64_t until_ns);
  bool take_subject(std::string_view& in, std::size_t ticks, std::int64_t until_ns,
                    std::vector<LoadedTrack>& out);
  bool take_tracks(std::string_view& in, Subject& subject, std::size_t ticks,
                   std::vector<LoadedTrack>& out);
  bool take_minute_tracks(std::string_view& in, Subject& subject, std::int64_t until_ns);
  void read(Source& source, const std::shared_ptr<const Section>& section);
  void map_table(Source& source, Reader& reader, const Table& table);
  void map_buckets(Reader& reader, const Shape& shape, std::size_t row, const Reader& before,
                   std::size_t row_before);
  void forget_values(Source& source);
  void keep();
  void keep_subject(Subject& subject);
  bool make_room();
  void forget_subjects();

  std::int64_t boottime_ns_ = 0;
  std::int64_t realtime_ns_ = 0;
  TimeAxis axis_;
  std::array<KindState, kKinds> kinds_;
  Subject* host_ = nullptr;
  std::map<std::string, Source, std::less<>> sources_;    // by collector
  std::vector<std::pair<Subject*, std::uint16_t>> kept_;  // tracks of all but the host
  std::size_t minute_tracks_ = 0;
  std::int64_t resumed_ns_ = 0;  // up to when load_history() gave it its memory; 0: it did not
  bool is_full_ = false;         // nothing kept can go, as found in this tick
  std::uint64_t refused_ = 0;
};

}  // namespace tidegauge::heuristics
