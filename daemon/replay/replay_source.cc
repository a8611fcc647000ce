// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/replay_source.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/exporter/text_format.h"
#include "daemon/heuristics/verdict_json.h"
#include "daemon/replay/recording_walk.h"

namespace tidegauge::replay {

void ReplaySource::publish(Turn turn) {
  // What was there goes with `turn`, after the lock: it may be much to free.
  const std::lock_guard lock(mutex_);
  std::swap(turn_, turn);
}

void ReplaySource::end() {
  const std::lock_guard lock(mutex_);
  turn_.ended = true;
}

ReplaySource::Turn ReplaySource::turn() const {
  const std::lock_guard lock(mutex_);
  return turn_;
}

class ReplayHandler::Pinned final : public SnapshotSource {
 public:
  void set(SnapshotPtr snapshot) { snapshot_ = std::move(snapshot); }

  [[nodiscard]] SnapshotPtr latest() const override { return snapshot_; }
  [[nodiscard]] bool is_stale(const std::vector<bool>& /*selected*/) const override {
    return false;
  }
  void request_refresh() override {}
  [[nodiscard]] bool alive() const override { return true; }

 private:
  SnapshotPtr snapshot_;
};

ReplayHandler::ReplayHandler(const ReplaySource& source, CollectorRegistry registry)
    : source_(source), registry_(registry), pinned_(std::make_shared<Pinned>()) {
  for (const CollectorInfo* info : registry) {
    known_.push_back(info->name);
  }
  known_.push_back(heuristics::Heuristics::kName);
  make_generation({}, true);
}

void ReplayHandler::make_generation(const Snapshot& snapshot, bool node_families) {
  generation_.routes.reset();
  generation_.exposition.reset();
  generation_.collectors = std::make_unique<RecordedCollectors>(snapshot, registry_);
  generation_.node_families = node_families;
  ExpositionOptions options;
  options.node_families = node_families;
  generation_.exposition =
      std::make_unique<Exposition>(options, generation_.collectors->exported(), nullptr);
  RouteOptions routes;
  routes.verdicts_json = [this] { return verdicts_json(); };
  generation_.routes =
      std::make_unique<Routes>(std::move(routes), generation_.collectors->exported(), known_,
                               *pinned_, *generation_.exposition, own_, [] {});
  generation_.routes->set_ready(true);
}

std::string ReplayHandler::verdicts_json() const {
  return report_ ? heuristics::json_text(heuristics::report_json(*report_)) : "";
}

// Values that stand still would look like a hung disk and a host that does nothing. Without series a scrape succeeds,
// and Prometheus marks all there were as stale at once.
HttpResponse ReplayHandler::end_of_series(const Snapshot& last) {
  HttpResponse response;
  response.content_type = kTextContentType;
  response.body = std::make_shared<const std::string>("# The recording ended at " +
                                                      time_text(last.realtime_ns) + "\n");
  return response;
}

std::variant<HttpResponse, HttpPending> ReplayHandler::handle(const HttpRequest& request,
                                                              bool resumed) {
  const ReplaySource::Turn turn = source_.turn();
  if (turn.snapshot && (turn.node_families != generation_.node_families ||
                        !generation_.collectors->are_of(*turn.snapshot))) {
    make_generation(*turn.snapshot, turn.node_families);
  }
  const bool is_reading = request.method == "GET" || request.method == "HEAD";
  if (turn.ended && is_reading && request.path == RouteOptions().telemetry_path) {
    return end_of_series(*turn.snapshot);
  }
  pinned_->set(turn.snapshot);
  report_ = turn.report;
  return generation_.routes->handle(request, resumed);
}

}  // namespace tidegauge::replay
