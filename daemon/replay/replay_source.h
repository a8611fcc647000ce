// SPDX-License-Identifier: Apache-2.0
#pragma once

// A recording in the place of the scheduler: what the web server serves as if it were now.

#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/exporter/exposition.h"
#include "daemon/exporter/http_message.h"
#include "daemon/exporter/own_metrics.h"
#include "daemon/exporter/routes.h"
#include "daemon/exporter/snapshot_source.h"
#include "daemon/heuristics/assess.h"
#include "daemon/replay/recorded_text.h"

namespace tidegauge::replay {

// The Snapshot whose turn it is. It is as new as it can be, so nobody waits for a refresh. Any thread.
class ReplaySource final : public SnapshotSource {
 public:
  struct Turn {
    SnapshotPtr snapshot;  // null before the first
    bool node_families = true;
    std::shared_ptr<const heuristics::Report> report = nullptr;  // none: no verdicts
    bool ended = false;  // the recording has no more: its series end
  };
  void publish(Turn turn);
  // What was published last is over.
  void end();
  [[nodiscard]] Turn turn() const;

  [[nodiscard]] SnapshotPtr latest() const override { return turn().snapshot; }
  [[nodiscard]] bool is_stale(const std::vector<bool>& /*selected*/) const override {
    return false;
  }
  void request_refresh() override {}
  [[nodiscard]] bool alive() const override { return true; }

 private:
  mutable std::mutex mutex_;
  Turn turn_;
};

// The daemon's routes over a ReplaySource. Routes know one set of collectors and a recording may change its own, so
// they are made anew with it. On the web thread.
class ReplayHandler final : public HttpHandler {
 public:
  // `source` must outlive it.
  ReplayHandler(const ReplaySource& source, CollectorRegistry registry);

  std::variant<HttpResponse, HttpPending> handle(const HttpRequest& request, bool resumed) override;

 private:
  // One Snapshot for the length of a request: the set of collectors must not change within it.
  class Pinned;
  struct Generation {
    std::unique_ptr<RecordedCollectors> collectors;
    bool node_families = true;
    std::unique_ptr<Exposition> exposition;
    std::unique_ptr<Routes> routes;
  };
  void make_generation(const Snapshot& snapshot, bool node_families);
  [[nodiscard]] static HttpResponse end_of_series(const Snapshot& last);
  [[nodiscard]] std::string verdicts_json() const;

  const ReplaySource& source_;
  CollectorRegistry registry_;
  std::vector<std::string_view> known_;
  OwnMetrics own_;
  std::shared_ptr<Pinned> pinned_;
  std::shared_ptr<const heuristics::Report> report_;  // that belongs to the pinned one
  Generation generation_;
};

}  // namespace tidegauge::replay
