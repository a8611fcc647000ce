// SPDX-License-Identifier: Apache-2.0
#pragma once

// The daemon's HTTP routes: the telemetry path, the landing page, health and lifecycle.

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "daemon/exporter/exposition.h"
#include "daemon/exporter/http_message.h"
#include "daemon/exporter/own_metrics.h"
#include "daemon/exporter/snapshot_source.h"

namespace tidegauge {

struct RouteOptions {
  std::string telemetry_path = "/metrics";
  bool enable_lifecycle = false;
  std::function<std::string()> ebpf_json;  // body of /api/v1/ebpf; none: 404
  // Body of /api/v1/verdicts, "" before the first one; none: 404.
  std::function<std::string()> verdicts_json;
  // POST /api/v1/record; none: 403. `reason` is the client's word, of any bytes.
  std::function<HttpResponse(std::string_view reason)> record;
};

// Answers on the web thread. Everything it is given must outlive it.
class Routes final : public HttpHandler {
 public:
  // `collectors`: those that run, in the order of Snapshot::entries. `known`: names of all that this
  // build has, for error messages as node_exporter gives them.
  Routes(RouteOptions options, std::vector<ExportedCollector> collectors,
         std::vector<std::string_view> known, SnapshotSource& source, Exposition& exposition,
         OwnMetrics& own, std::function<void()> reload);

  std::variant<HttpResponse, HttpPending> handle(const HttpRequest& request, bool resumed) override;

  // Not ready: before the first tick and while shutting down. Any thread.
  void set_ready(bool ready) { ready_.store(ready, std::memory_order_relaxed); }

 private:
  std::variant<HttpResponse, HttpPending> metrics(const HttpRequest& request, bool resumed);
  HttpResponse landing_page() const;
  HttpResponse verdicts() const;
  HttpResponse reload(const HttpRequest& request);
  HttpResponse record(const HttpRequest& request);
  // The selection that collect[] and exclude[] make, or an error text for a 400.
  tl::expected<std::vector<bool>, std::string> select(const HttpQuery& query) const;

  RouteOptions options_;
  std::vector<ExportedCollector> collectors_;
  std::vector<std::string_view> known_;
  SnapshotSource& source_;
  Exposition& exposition_;
  OwnMetrics& own_;
  std::function<void()> reload_;
  std::atomic<bool> ready_{false};
};

}  // namespace tidegauge
