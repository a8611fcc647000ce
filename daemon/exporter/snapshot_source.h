// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the exporter needs of whoever makes Snapshots: the scheduler when live, a replay otherwise.

#include <string_view>
#include <vector>

#include "collectors/core/metric_doc.h"
#include "collectors/core/section.h"

namespace tidegauge {

// All of it may be called on any thread and returns at once.
class SnapshotSource {
 public:
  SnapshotSource() = default;
  SnapshotSource(const SnapshotSource&) = delete;
  SnapshotSource& operator=(const SnapshotSource&) = delete;
  virtual ~SnapshotSource() = default;

  // The newest data of each collector. Null before there is any.
  [[nodiscard]] virtual SnapshotPtr latest() const = 0;
  // Whether a scrape of these collectors (empty: all) should ask for a refresh and wait for it.
  [[nodiscard]] virtual bool is_stale(const std::vector<bool>& selected) const = 0;
  // Asks for old but cheap data to be read again; requests made meanwhile share one run.
  virtual void request_refresh() = 0;
  // Whether ticks make progress.
  [[nodiscard]] virtual bool alive() const = 0;
};

// A collector as the exporter sees it, in the order of Snapshot::entries.
struct ExportedCollector {
  std::string_view name;
  std::string_view help;
  std::vector<MetricDoc> metrics;
};

}  // namespace tidegauge
