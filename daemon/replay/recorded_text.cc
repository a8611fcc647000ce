// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/recorded_text.h"

#include <algorithm>

#include "daemon/heuristics/assess.h"

namespace tidegauge::replay {

RecordedCollectors::RecordedCollectors(const Snapshot& snapshot, CollectorRegistry registry) {
  names_.reserve(snapshot.entries.size());  // exported_ refers to them
  for (const SnapshotEntry& entry : snapshot.entries) {
    names_.emplace_back(entry.collector);
    ExportedCollector collector;
    collector.name = names_.back();
    const auto known = std::ranges::find(registry, entry.collector, &CollectorInfo::name);
    if (known != registry.end()) {
      collector.help = (*known)->help;
      collector.metrics = (*known)->metrics();
    } else if (entry.collector == heuristics::Heuristics::kName) {
      collector.help = heuristics::kHelp;
      collector.metrics = heuristics::heuristics_metrics();
    }
    exported_.push_back(std::move(collector));
  }
}

bool RecordedCollectors::are_of(const Snapshot& snapshot) const {
  return std::ranges::equal(names_, snapshot.entries, {}, {}, &SnapshotEntry::collector);
}

std::shared_ptr<const std::string> RecordedExposition::body(const SnapshotPtr& snapshot,
                                                            bool node_families) {
  if (!exposition_ || node_families != node_families_ || !collectors_->are_of(*snapshot)) {
    exposition_.reset();
    collectors_ = std::make_unique<RecordedCollectors>(*snapshot, registry_);
    node_families_ = node_families;
    ExpositionOptions options;
    options.node_families = node_families;
    exposition_ = std::make_unique<Exposition>(options, collectors_->exported(), nullptr);
  }
  return exposition_->body(snapshot, {}, false);
}

void RecordedText::begin(const SnapshotPtr& snapshot, bool node_families) {
  snapshot_ = snapshot;
  if (collectors_ && node_families == node_families_ && collectors_->are_of(*snapshot)) {
    return;
  }
  sections_.clear();
  collectors_ = std::make_unique<RecordedCollectors>(*snapshot, registry_);
  node_families_ = node_families;
  const auto owners = std::make_shared<const FamilyOwners>(collectors_->exported());
  for (const ExportedCollector& collector : collectors_->exported()) {
    sections_.emplace_back(family_filter(owners, collector.name, node_families));
  }
}

const std::string& RecordedText::section(std::size_t entry) {
  return sections_[entry].render(snapshot_->entries[entry].section);
}

bool RecordedText::is_new(std::size_t entry) {
  const SnapshotEntry& asked = snapshot_->entries[entry];
  if (!asked.section) {
    return false;
  }
  const std::pair read(asked.section->read_start_boottime_ns, asked.section->read_end_boottime_ns);
  const auto [at, is_first] = last_read_.try_emplace(std::string(asked.collector), read);
  return is_first || std::exchange(at->second, read) != read;
}

const std::string& RecordedText::status() {
  status_.clear();
  CollectorStatusText(node_families_).append(status_, *snapshot_, {});
  return status_;
}

}  // namespace tidegauge::replay
