// SPDX-License-Identifier: Apache-2.0
#pragma once

// Recorded Snapshots through the heuristics that live ones go through. Thresholds are those of the recording;
// where Snapshots are missing before one, its checkpoint says which verdicts there were; docs/recording.md says what a replay from the middle lacks.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "collectors/core/section.h"
#include "daemon/heuristics/assess.h"
#include "daemon/heuristics/thresholds.h"
#include "daemon/recorder/messages.h"
#include "daemon/replay/recording_walk.h"

namespace tidegauge::replay {

// Entries of a checkpoint: "heuristics.disk_queue" is a threshold, this one what Heuristics::save() gave.
inline constexpr std::string_view kHeuristicsEntries = "heuristics.";
inline constexpr std::string_view kHeuristicsState = "heuristics.state";
void add_thresholds(const heuristics::Thresholds& limits, recording::Checkpoint& out);
// Defaults for what is missing or no threshold.
heuristics::Thresholds thresholds_of(const recording::Checkpoint& checkpoint);

// Not thread-safe, but for the Report.
class ReplayHeuristics {
 public:
  ReplayHeuristics() { rewind(); }

  // Back to before the first Snapshot.
  void rewind();
  // Lets it see what the file has before the beginning of `walk`, as far back as the history of heuristics reaches.
  // Before the first apply().
  void warm_up(const std::string& path, const RecordingWalk& walk);

  // The Snapshot with verdicts made anew, instead of those that were recorded. `checkpoint` and `history` are those that
  // belong to it.
  SnapshotPtr apply(const SnapshotPtr& snapshot, const recording::Checkpoint& checkpoint,
                    std::string_view history = {});

  // After the last apply().
  [[nodiscard]] std::shared_ptr<const heuristics::Report> report() const {
    return heuristics_->report();
  }

 private:
  void resume(const Snapshot& snapshot, const recording::Checkpoint& checkpoint,
              std::string_view history);

  std::unique_ptr<heuristics::Heuristics> heuristics_;
  heuristics::Thresholds limits_;
  std::optional<std::uint64_t> ticks_;  // of the last Snapshot
  std::uint64_t runs_ = 0;
};

}  // namespace tidegauge::replay
