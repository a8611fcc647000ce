// SPDX-License-Identifier: Apache-2.0
#pragma once

// Recorded Snapshots through the exporter that renders live ones. A recording may hold other collectors from
// chunk to chunk, and some that this build does not have: those have no documentation and claim no family.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/core/section.h"
#include "daemon/config/config.h"
#include "daemon/exporter/collector_status_text.h"
#include "daemon/exporter/exposition.h"
#include "daemon/exporter/section_text.h"

namespace tidegauge::replay {

// The collectors of a Snapshot, with what this build knows of them.
class RecordedCollectors {
 public:
  RecordedCollectors(const Snapshot& snapshot, CollectorRegistry registry);
  RecordedCollectors(const RecordedCollectors&) = delete;
  RecordedCollectors& operator=(const RecordedCollectors&) = delete;

  [[nodiscard]] bool are_of(const Snapshot& snapshot) const;
  // Views into this object.
  [[nodiscard]] const std::vector<ExportedCollector>& exported() const { return exported_; }

 private:
  std::vector<std::string> names_;
  std::vector<ExportedCollector> exported_;
};

// Whole bodies, byte for byte those of /metrics without the daemon's own families. Not thread-safe.
class RecordedExposition {
 public:
  explicit RecordedExposition(CollectorRegistry registry) : registry_(registry) {}

  std::shared_ptr<const std::string> body(const SnapshotPtr& snapshot, bool node_families);

 private:
  CollectorRegistry registry_;
  std::unique_ptr<RecordedCollectors> collectors_;
  bool node_families_ = true;
  std::unique_ptr<Exposition> exposition_;  // refers to collectors_
};

// The same text in parts. Not thread-safe.
class RecordedText {
 public:
  explicit RecordedText(CollectorRegistry registry) : registry_(registry) {}

  // Of the Snapshot that the rest is about.
  void begin(const SnapshotPtr& snapshot, bool node_families);
  // Of one of its entries; valid until the next begin().
  const std::string& section(std::size_t entry);
  // Whether that entry's collector has read it anew since it was asked for last.
  bool is_new(std::size_t entry);
  // How the collectors fare.
  const std::string& status();
  // Every entry is new again.
  void forget() { last_read_.clear(); }

 private:
  CollectorRegistry registry_;
  std::unique_ptr<RecordedCollectors> collectors_;
  bool node_families_ = true;
  SnapshotPtr snapshot_;
  std::vector<SectionText> sections_;  // refer to collectors_
  std::string status_;
  // By collector; pointers do not tell, as every chunk begins with new ones.
  std::map<std::string, std::pair<std::int64_t, std::int64_t>, std::less<>> last_read_;
};

}  // namespace tidegauge::replay
