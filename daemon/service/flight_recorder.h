// SPDX-License-Identifier: Apache-2.0
#pragma once

// The recorder in the daemon: made from its configuration, fed by its scheduler, triggered from outside.

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/exporter/http_message.h"
#include "daemon/recorder/peak_watch.h"
#include "daemon/recorder/recorder.h"
#include "daemon/service/log.h"

namespace tidegauge {

class FlightRecorder {
 public:
  // `complete` adds to the checkpoints of recordings, on any thread and as long as this lives.
  using Complete = std::function<void(recording::Checkpoint&)>;
  // `history`: see Recorder; likewise.
  FlightRecorder(Log& log, Complete complete, recording::Recorder::History history)
      : log_(log), complete_(std::move(complete)), history_(std::move(history)) {}

  // What was recorded is kept where the recorder's settings stay. On the owner's thread, while no scheduler runs.
  void configure(const Config& config);
  // For the scheduler's on_snapshot(); null without a recorder.
  [[nodiscard]] std::function<void(const SnapshotPtr&)> consumer() const;

  // Says in the log what came of it. Any thread.
  void trigger(std::string_view reason);
  // The answer to POST /api/v1/record. Web thread.
  HttpResponse trigger_over_http(std::string_view reason);
  [[nodiscard]] std::optional<recording::RecorderStats> stats() const;  // any thread

  // Ends an incident in progress. Whether all its threads ended in time.
  bool stop();

 private:
  [[nodiscard]] std::shared_ptr<recording::Recorder> recorder() const;

  Log& log_;
  const Complete complete_;
  const recording::Recorder::History history_;
  mutable std::mutex mutex_;
  std::shared_ptr<recording::Recorder> recorder_;
  RecorderConfig settings_;
  std::int64_t tick_ns_ = 0;
  bool node_families_ = true;
  // With a thread at a disk that does not answer.
  std::vector<std::shared_ptr<recording::Recorder>> left_behind_;
  std::optional<recording::RecorderStats> before_;  // of earlier recorders
  KernelRoots roots_;
  std::optional<std::chrono::steady_clock::time_point> last_over_http_;
};

}  // namespace tidegauge
