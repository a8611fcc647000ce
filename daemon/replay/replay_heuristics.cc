// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/replay_heuristics.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "collectors/core/text.h"

namespace tidegauge::replay {

namespace {

using heuristics::Heuristics;
using heuristics::kThresholds;
using heuristics::ThresholdInfo;
using heuristics::Thresholds;

constexpr std::int64_t kSecondNs = 1'000'000'000;
// As far back as heuristics look tick by tick, at one a second.
constexpr std::int64_t kHistoryNs = 1800 * kSecondNs;
// A checkpoint stands in front of its Snapshots, and is made a few ticks late. What is further off belongs to others.
constexpr std::int64_t kStateReachNs = 600 * kSecondNs;

// Differences of two such times can be told; a damaged file may have others.
bool is_time(std::int64_t ns) { return ns >= 0 && ns <= std::int64_t{1} << 61U; }

// A Snapshot with an entry of its own, and what the other entries refer to.
struct Kept {
  Snapshot snapshot;
  SnapshotPtr original;
};

std::string entry_name(const ThresholdInfo& info) {
  return std::string(kHeuristicsEntries) + std::string(info.key);
}

}  // namespace

void add_thresholds(const Thresholds& limits, recording::Checkpoint& out) {
  for (const ThresholdInfo& info : kThresholds) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.17g", limits.*info.member);
    out[entry_name(info)] = text.data();
  }
}

Thresholds thresholds_of(const recording::Checkpoint& checkpoint) {
  Thresholds out;
  for (const ThresholdInfo& info : kThresholds) {
    const auto at = checkpoint.find(entry_name(info));
    const auto value = at == checkpoint.end() ? std::nullopt : parse_real(at->second);
    if (value && *value >= info.least && *value <= info.most) {
      out.*info.member = *value;
    }
  }
  return out;
}

void ReplayHeuristics::rewind() {
  heuristics_ = std::make_unique<Heuristics>();
  limits_ = {};
  ticks_.reset();
  runs_ = 0;
}

void ReplayHeuristics::warm_up(const std::string& path, const RecordingWalk& walk) {
  const std::int64_t from_ns = walk.from_ns();
  if (from_ns <= INT64_MIN + kHistoryNs) {
    return;
  }
  // Damage here was not asked for, and costs no more than some history.
  auto before = RecordingWalk::open(
      path, {TimeArgument{false, from_ns - kHistoryNs}, TimeArgument{false, from_ns - 1}},
      [](const recording::Damage&) {});
  while (before) {
    const SnapshotPtr snapshot = before->next();
    if (!snapshot) {
      break;
    }
    apply(snapshot, before->checkpoint(), before->history());
  }
}

// The history stays, where there is one.
void ReplayHeuristics::resume(const Snapshot& snapshot, const recording::Checkpoint& checkpoint,
                              std::string_view history) {
  const auto state = checkpoint.find(kHeuristicsState);
  // From the daemon's first tick on the Snapshots alone say everything.
  if (state == checkpoint.end() || snapshot.ticks <= 1) {
    return;
  }
  Heuristics loaded;
  if (loaded.load(state->second) &&
      std::abs(loaded.loaded_boottime_ns() - snapshot.boottime_ns) <= kStateReachNs) {
    heuristics_->load(state->second);
    if (!history.empty() && heuristics_->scene().axis().size() == 0) {
      heuristics_->load_history(history);
    }
  }
}

SnapshotPtr ReplayHeuristics::apply(const SnapshotPtr& snapshot,
                                    const recording::Checkpoint& checkpoint,
                                    std::string_view history) {
  if (!is_time(snapshot->boottime_ns) || !is_time(snapshot->realtime_ns)) {
    return snapshot;
  }
  if (const Thresholds limits = thresholds_of(checkpoint); !(limits == limits_)) {
    limits_ = limits;
    heuristics_->set_limits(limits);
  }
  // At the beginning, and behind what is damaged.
  if (!ticks_ || snapshot->ticks != *ticks_ + 1) {
    resume(*snapshot, checkpoint, history);
  }
  ticks_ = snapshot->ticks;
  auto kept = std::make_shared<Kept>(Kept{*snapshot, snapshot});
  std::vector<SnapshotEntry>& entries = kept->snapshot.entries;
  auto at = std::ranges::find(entries, Heuristics::kName, &SnapshotEntry::collector);
  SnapshotEntry entry{Heuristics::kName, nullptr, {}};
  if (at != entries.end()) {
    entry.section = at->section;
    entry.status = at->status;
    at = entries.erase(at);
  } else {
    entry.status.ran = entry.status.success = true;
    entry.status.last_success_realtime_ns = snapshot->realtime_ns;
    entry.status.last_run_boottime_ns = snapshot->boottime_ns;
    entry.status.runs = ++runs_;
  }
  // They look at what live ones see, which is without what they say.
  auto section = heuristics_->update(kept->snapshot);
  if (!entry.section || snapshot->boottime_ns > heuristics_->loaded_boottime_ns()) {
    entry.section = std::move(section);
  }
  entries.insert(at, std::move(entry));
  return {kept, &kept->snapshot};
}

}  // namespace tidegauge::replay
