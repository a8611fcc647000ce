// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/assess.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "collectors/core/text.h"
#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/headroom.h"
#include "daemon/heuristics/reclaim_model.h"
#include "daemon/heuristics/state_bytes.h"

namespace tidegauge::heuristics {

namespace {

// Nothing is said before: windows are not full yet, and the daemon's own start is not the host's trouble.
constexpr double kWarmUpSeconds = 30;
// Of what save() writes: another one is not understood.
constexpr std::uint32_t kStateVersion = 1;

// Whether what a process maps tells more of it.
bool is_about_memory(VerdictId id) {
  constexpr VerdictId kIds[] = {
      VerdictId::kMemoryWatermarkPressure,
      VerdictId::kDirectReclaimStall,
      VerdictId::kSwapThrash,
      VerdictId::kMemoryLeakSuspected,
      VerdictId::kOomRisk,
      VerdictId::kCgroupMemoryLimit,
  };
  return std::find(std::begin(kIds), std::end(kIds), id) != std::end(kIds);
}

// A look at the processes for each verdict that begins, and at what its first cause has mapped.
std::vector<Request> requests_of(const std::vector<const Verdict*>& begun) {
  std::vector<Request> out;
  for (const Verdict* verdict : begun) {
    Request request{.collector = "process"};
    const auto& causes = verdict->finding.causes;
    if (is_about_memory(verdict->finding.id) && !causes.empty()) {
      const auto pid = parse_unsigned(causes.front().pid);
      request.pid = pid && *pid <= UINT32_MAX ? static_cast<std::uint32_t>(*pid) : 0;
    }
    if (out.size() < kMaxRequests && std::find(out.begin(), out.end(), request) == out.end()) {
      out.push_back(request);
    }
  }
  return out;
}

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

Thresholds Heuristics::limits() const {
  const std::lock_guard lock(update_mutex_);
  return limits_;
}

std::shared_ptr<const Section> Heuristics::update(const Snapshot& snapshot) {
  const std::lock_guard lock(update_mutex_);
  if (!scene_.update(snapshot)) {
    return section_;
  }
  Conditions::Changes changes;
  if (scene_.boottime_ns() > loaded_boottime_ns_) {
    memory_->model.update(snapshot);
    changes = look();
  }
  auto section = std::make_shared<Section>();
  tables_.append(conditions_, *section);
  memory_->model.append_tables(*section);
  section->read_start_boottime_ns = snapshot.boottime_ns;
  section->read_end_boottime_ns = snapshot.boottime_ns;
  section_ = std::move(section);
  make_report(snapshot, requests_of(changes.begun));
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

Conditions::Changes Heuristics::look() {
  // A replay that goes on where live stood is past that.
  if (loaded_boottime_ns_ == 0 && scene_.observed_seconds() < kWarmUpSeconds) {
    return {};
  }
  Findings findings;
  const DetectorInput input{scene_, memory_->model.reading(), limits_};
  for (const Detector detector : all_detectors()) {
    detector(input, findings);
  }
  return conditions_.update(std::move(findings), scene_.boottime_ns(), scene_.realtime_ns(),
                            scene_.tick_seconds());
}

std::string Heuristics::save() const {
  const std::lock_guard lock(update_mutex_);
  std::string out;
  put_number(out, kStateVersion);
  put_number(out, std::max(scene_.boottime_ns(), loaded_boottime_ns_));
  conditions_.save(out);
  memory_->model.save(out);
  return out;
}

bool Heuristics::load(std::string_view state) {
  const std::lock_guard lock(update_mutex_);
  std::uint32_t version = 0;
  std::int64_t boottime_ns = 0;
  Conditions conditions;
  MemoryModel model;
  if (!take_number(state, version) || version != kStateVersion ||
      !take_number(state, boottime_ns) || boottime_ns < 0 || !conditions.load(state) ||
      !model.load(state)) {
    return false;
  }
  conditions_ = std::move(conditions);
  memory_->model = std::move(model);
  loaded_boottime_ns_ = boottime_ns;
  return true;
}

std::string Heuristics::save_history(std::int64_t begin_ns, std::int64_t until_ns) const {
  const std::lock_guard lock(update_mutex_);
  return scene_.save_history(begin_ns, until_ns);
}

bool Heuristics::load_history(std::string_view history) {
  const std::lock_guard lock(update_mutex_);
  return scene_.load_history(history, loaded_boottime_ns_);
}

void Heuristics::make_report(const Snapshot& snapshot, std::vector<Request> requests) {
  auto report = std::make_shared<Report>();
  report->boottime_ns = scene_.boottime_ns();
  report->realtime_ns = scene_.realtime_ns();
  report->host = scene_.host().attribute("nodename");
  report->kernel = scene_.host().attribute("release");
  for (const Verdict* verdict : conditions_.active()) {
    report->active.push_back(*verdict);
  }
  report->recent.assign(conditions_.recent().begin(), conditions_.recent().end());
  report->headroom = headroom(scene_, limits_);
  report->unchecked = missing_sources(snapshot);
  report->requests = std::move(requests);
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
