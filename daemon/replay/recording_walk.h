// SPDX-License-Identifier: Apache-2.0
#pragma once

// A recording from a file, as the commands go through it: the Snapshots of a span of time, one after another.
// What is damaged is told once and passed over. Memory: what RecordingReader takes.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "collectors/core/result.h"
#include "collectors/core/section.h"
#include "daemon/config/time_argument.h"
#include "daemon/recorder/recording_reader.h"

namespace tidegauge::replay {

// What of a recording is wanted; none: from its beginning, to its end. Both ends are whole milliseconds and belong to
// it, so every time that is printed selects its Snapshot.
struct WalkRange {
  std::optional<TimeArgument> from;
  std::optional<TimeArgument> to;
};

// Not thread-safe.
class RecordingWalk {
 public:
  using Damaged = std::function<void(const recording::Damage&)>;

  // Fails where the file is no recording, and where the span ends before it begins.
  static Result<RecordingWalk> open(const std::string& path, const WalkRange& range,
                                    Damaged damaged);

  // The next Snapshot; null at the end. Passes over copies of kernel files, and next_raw() over Snapshots.
  SnapshotPtr next();
  std::optional<recording::RawFiles> next_raw();
  void rewind();

  // That belongs to the last Snapshot.
  [[nodiscard]] const recording::Checkpoint& checkpoint() const { return reader_.checkpoint(); }
  [[nodiscard]] const std::string& history() const { return reader_.history(); }
  // As it says.
  [[nodiscard]] bool node_families() const;
  // In the part that was asked for, as far as it has been read.
  [[nodiscard]] std::uint64_t damages() const { return damages_; }
  // That next() has returned, of all rounds.
  [[nodiscard]] std::uint64_t snapshots() const { return snapshots_; }
  // What of the whole file is in it, and what was asked for.
  [[nodiscard]] const recording::RecordingSummary& summary() const { return summary_; }
  [[nodiscard]] std::int64_t from_ns() const { return from_ns_; }
  [[nodiscard]] std::int64_t to_ns() const { return to_ns_; }

 private:
  RecordingWalk(recording::RecordingReader reader, Damaged damaged)
      : reader_(std::move(reader)), damaged_(std::move(damaged)) {}

  [[nodiscard]] bool is_wanted(std::int64_t realtime_ns) const {
    return realtime_ns >= from_ns_ && realtime_ns <= to_ns_;
  }
  // The next part that is no damage.
  std::optional<recording::RecordingReader::Item> next_item();

  recording::RecordingReader reader_;
  Damaged damaged_;
  recording::RecordingSummary summary_;
  std::int64_t from_ns_ = INT64_MIN;
  std::int64_t to_ns_ = INT64_MAX;
  std::uint64_t damages_ = 0;
  std::uint64_t snapshots_ = 0;
  bool is_first_walk_ = true;  // later ones meet the same damage
};

// 2026-11-26T01:32:32.123Z, cut to milliseconds.
std::string time_text(std::int64_t realtime_ns);

}  // namespace tidegauge::replay
