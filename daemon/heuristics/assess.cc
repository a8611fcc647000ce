// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/assess.h"

#include <algorithm>
#include <utility>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/reclaim_model.h"

namespace tidegauge::heuristics {

namespace {

// Nothing is said before: windows are not full yet, and the daemon's own start is not the host's trouble.
constexpr double kWarmUpSeconds = 30;

}  // namespace

struct Heuristics::Memory {
  MemoryModel model;
};

Heuristics::Heuristics(Thresholds limits)
    : limits_(limits),
      memory_(std::make_unique<Memory>()),
      section_(std::make_shared<const Section>()),
      report_(std::make_shared<const Report>()) {}

Heuristics::~Heuristics() = default;

std::shared_ptr<const Report> Heuristics::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

void Heuristics::set_limits(const Thresholds& limits) {
  const std::lock_guard lock(update_mutex_);
  limits_ = limits;
}

std::shared_ptr<const Section> Heuristics::update(const Snapshot& snapshot) {
  const std::lock_guard lock(update_mutex_);
  if (!scene_.update(snapshot)) {
    return section_;
  }
  memory_->model.update(snapshot);
  Findings findings;
  const DetectorInput input{scene_, memory_->model.reading(), limits_};
  if (scene_.observed_seconds() >= kWarmUpSeconds) {
    for (const Detector detector : all_detectors()) {
      detector(input, findings);
    }
  }
  const Conditions::Changes changes = conditions_.update(
      std::move(findings), scene_.boottime_ns(), scene_.realtime_ns(), scene_.tick_seconds());
  auto section = std::make_shared<Section>();
  tables_.append(conditions_, *section);
  memory_->model.append_tables(*section);
  section->read_start_boottime_ns = snapshot.boottime_ns;
  section->read_end_boottime_ns = snapshot.boottime_ns;
  section_ = std::move(section);
  make_report();
  if (on_change_) {
    for (const Verdict* verdict : changes.begun) {
      on_change_(*verdict);
    }
    for (const Verdict* verdict : changes.ended) {
      on_change_(*verdict);
    }
  }
  return section_;
}

void Heuristics::make_report() {
  auto report = std::make_shared<Report>();
  report->boottime_ns = scene_.boottime_ns();
  report->realtime_ns = scene_.realtime_ns();
  report->host = scene_.host().attribute("nodename");
  report->kernel = scene_.host().attribute("release");
  for (const Verdict* verdict : conditions_.active()) {
    report->active.push_back(*verdict);
  }
  report->recent.assign(conditions_.recent().begin(), conditions_.recent().end());
  const std::lock_guard lock(mutex_);
  report_ = std::move(report);
}

std::vector<MetricDoc> heuristics_metrics() {
  std::vector<MetricDoc> out = verdict_metrics();
  for (MetricDoc& doc : memory_model_metrics()) {
    out.push_back(std::move(doc));
  }
  return out;
}

}  // namespace tidegauge::heuristics
