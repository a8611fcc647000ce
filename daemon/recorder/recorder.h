// SPDX-License-Identifier: Apache-2.0
#pragma once

// The flight recorder: the last minutes in memory, and an incident file when somebody asks for one. A consumer of
// Snapshots; knows no kernel files, no clock but that of its own CPU time.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/result.h"
#include "collectors/core/section.h"
#include "daemon/recorder/incident_writer.h"
#include "daemon/recorder/peak_watch.h"
#include "daemon/recorder/raw_files.h"
#include "daemon/recorder/ring.h"

namespace tidegauge::recording {

struct RecorderOptions {
  RingOptions ring;
  IncidentOptions incidents;
  std::int64_t after_ns = 60'000'000'000;  // recorded after the last trigger
  // An incident that is triggered again and again ends then; the next trigger begins another.
  std::int64_t max_incident_ns = 900'000'000'000;
};

struct RecorderStats {
  RingStats ring;
  std::size_t ring_limit_bytes = 0;
  std::int64_t cpu_ns = 0;  // of the tick thread, in all
  bool is_recording = false;
  IncidentStats incidents;
};

// What a trigger led to.
struct Triggered {
  std::string file;          // its name in the directory once it is finished
  bool is_extended = false;  // an incident was in progress and goes on for longer
};

class Recorder {
 public:
  // What heuristics remembered where a recording begins that begins at that boot time, up to a later one; "" for nothing.
  using History = std::function<std::string(std::int64_t begin_ns, std::int64_t until_ns)>;

  // `checkpoint` and `history`, which may be null, are called under the recorder's lock, on the tick thread or that of a
  // trigger; `raw` and `report` on a thread of the writer's,
  // which may outlive this.
  Recorder(RecorderOptions options, std::function<Checkpoint()> checkpoint,
           IncidentWriter::RawReader raw, IncidentWriter::EventHandler report,
           History history = {});

  // Tick thread. While nothing happens, only every few Snapshots go into the ring.
  void on_snapshot(const SnapshotPtr& snapshot);
  // `reason` becomes part of the file's name. What is cheap, because anybody can ask
  // for it, takes the place of nothing that is not. Fails while nothing was recorded yet. Any thread; does not wait.
  Result<Triggered> trigger(std::string_view reason, bool is_cheap = false);
  [[nodiscard]] RecorderStats stats() const;  // any thread

  // Ends an incident in progress with what there is, and records none any more. Returns whether its thread ended
  // in time.
  bool stop(std::chrono::nanoseconds grace);

 private:
  [[nodiscard]] bool still_recording();
  ChunkPtr record_waiting();
  [[nodiscard]] std::vector<ChunkPtr> all_there_is() const;
  void begin_if_triggered(std::int64_t boottime_ns);

  const RecorderOptions options_;
  mutable std::mutex mutex_;  // of all below
  const History history_;
  Ring ring_;
  IncidentWriter writer_;
  std::vector<SnapshotPtr> waiting_;
  SnapshotPtr last_;
  PeakWatch peak_watch_;
  std::string file_;  // of the incident in progress
  bool is_recording_ = false;
  bool is_triggered_ = false;  // since the last Snapshot
  bool is_stopped_ = false;
  std::optional<std::int64_t> began_ns_;  // boot time of the first Snapshot after the trigger
  std::int64_t ends_ns_ = INT64_MAX;
  std::int64_t sealed_ns_ = 0;
  std::int64_t cpu_ns_ = 0;
};

}  // namespace tidegauge::recording
