// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/flight_recorder.h"

#include <sys/utsname.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/exporter/own_metrics.h"

namespace tidegauge {

namespace {

using recording::Checkpoint;
using recording::IncidentEvent;
using recording::RawFiles;
using recording::Recorder;
using recording::RecorderOptions;

constexpr std::chrono::seconds kStopGrace{2};
constexpr std::chrono::seconds kLeastBetweenRequests{60};

// What people ask for first when a host was slow.
constexpr std::string_view kRawFiles[] = {
    "meminfo",   "vmstat",  "zoneinfo",     "buddyinfo",   "slabinfo", "diskstats",
    "stat",      "loadavg", "pressure/cpu", "pressure/io", "swaps",    "pressure/memory",
    "schedstat", "softirqs"};

RawFiles read_raw(const KernelFiles& files, std::string_view moment) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  RawFiles out;
  out.moment = moment;
  out.realtime_ns = now.tv_sec * 1'000'000'000 + now.tv_nsec;
  ReadBuffer buffer;
  for (const std::string_view name : kRawFiles) {
    const std::string path = files.proc(name);
    if (const auto text = read_file(path, buffer)) {
      out.files.emplace_back(path, std::string(*text));
    }
  }
  return out;
}

Checkpoint checkpoint(std::int64_t tick_ns, bool node_families) {
  const BuildInfo& build = build_info();
  Checkpoint out{{"build.version", build.version},
                 {"build.revision", build.revision},
                 {"tick_ns", std::to_string(tick_ns)},
                 {std::string(recording::kNodeFamiliesEntry), node_families ? "true" : "false"}};
  utsname host{};
  if (::uname(&host) == 0) {
    out["host.name"] = host.nodename;
    out["host.kernel"] = host.release;
    out["host.machine"] = host.machine;
  }
  return out;
}

RecorderOptions options_of(const RecorderConfig& settings) {
  RecorderOptions out;
  out.ring.window_ns = settings.window_ns;
  out.ring.max_bytes = static_cast<std::size_t>(settings.memory_bytes);
  out.after_ns = settings.after_ns;
  out.max_incident_ns = std::max(out.max_incident_ns, settings.after_ns);
  out.incidents.directory = settings.directory;
  out.incidents.bytes_per_second = static_cast<std::uint64_t>(settings.write_rate_bytes);
  out.incidents.max_files = static_cast<std::size_t>(settings.max_files);
  out.incidents.max_bytes = static_cast<std::uint64_t>(settings.max_disk_bytes);
  out.incidents.max_age_ns = settings.max_age_ns;
  return out;
}

std::string behind(const std::string& text) { return text.empty() ? text : ": " + text; }

void tell(Log& log, const IncidentEvent& event) {
  switch (event.kind) {
    case IncidentEvent::Kind::kBegan:
      log.notice("recording an incident" + behind(event.text), {{"file", event.file}});
      break;
    case IncidentEvent::Kind::kFinished:
      log.notice("incident recorded" + behind(event.text), {{"file", event.file}});
      break;
    case IncidentEvent::Kind::kFailed:
      log.warn("incident not recorded whole", {{"file", event.file}, {"err", event.text}});
      break;
    case IncidentEvent::Kind::kRemoved:
      log.info("old incident file deleted", {{"file", event.file}});
      break;
    case IncidentEvent::Kind::kWarning:
      log.warn("incident files", {{"err", event.text}});
      break;
  }
}

// What is counted since the start, of recorders that followed one another.
void add_counts(const recording::RecorderStats& from, std::optional<recording::RecorderStats>& to) {
  if (!to) {
    to.emplace();
    to->incidents.last_finished_realtime_ns = from.incidents.last_finished_realtime_ns;
  }
  to->cpu_ns += from.cpu_ns;
  to->ring.recorded += from.ring.recorded;
  to->ring.plain_bytes += from.ring.plain_bytes;
  to->ring.compressed_bytes += from.ring.compressed_bytes;
  to->ring.evicted_early += from.ring.evicted_early;
  to->ring.sections_left_out += from.ring.sections_left_out;
  to->ring.snapshots_left_out += from.ring.snapshots_left_out;
  to->incidents.files_written += from.incidents.files_written;
  to->incidents.bytes_written += from.incidents.bytes_written;
  for (std::size_t i = 0; i < to->incidents.failures.size(); ++i) {
    to->incidents.failures[i] += from.incidents.failures[i];
  }
}

HttpResponse json_response(int status, const nlohmann::ordered_json& body) {
  HttpResponse out;
  out.status = status;
  out.content_type = "application/json";
  out.body = std::make_shared<const std::string>(
      body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  return out;
}

}  // namespace

std::shared_ptr<Recorder> FlightRecorder::recorder() const {
  const std::lock_guard lock(mutex_);
  return recorder_;
}

void FlightRecorder::configure(const Config& config) {
  const bool same = recorder() != nullptr && settings_ == config.recorder &&
                    tick_ns_ == config.tick_ns && roots_ == config.roots &&
                    node_families_ == config.node_families;
  if (same) {
    return;
  }
  if (const auto old = recorder(); old != nullptr) {
    if (!old->stop(kStopGrace)) {
      log_.warn("an incident file of before the reload is left unfinished");
      left_behind_.push_back(old);
    }
    const std::lock_guard lock(mutex_);
    add_counts(old->stats(), before_);
  }
  settings_ = config.recorder;
  tick_ns_ = config.tick_ns;
  node_families_ = config.node_families;
  roots_ = config.roots;
  std::shared_ptr<Recorder> fresh;
  if (config.recorder.enabled) {
    fresh = std::make_shared<Recorder>(
        options_of(config.recorder),
        [tick_ns = config.tick_ns, node_families = config.node_families, complete = complete_] {
          Checkpoint out = checkpoint(tick_ns, node_families);
          complete(out);
          return out;
        },
        [files = KernelFiles(config.roots)](std::string_view moment) {
          return read_raw(files, moment);
        },
        [this](const IncidentEvent& event) { tell(log_, event); }, history_);
  }
  const std::lock_guard lock(mutex_);
  recorder_ = std::move(fresh);
}

std::function<void(const SnapshotPtr&)> FlightRecorder::consumer() const {
  auto to = recorder();
  if (to == nullptr) {
    return nullptr;
  }
  return [to = std::move(to)](const SnapshotPtr& snapshot) { to->on_snapshot(snapshot); };
}

void FlightRecorder::trigger(std::string_view reason) {
  const auto to = recorder();
  if (to == nullptr) {
    log_.warn("nothing is recorded: recorder.enabled is false");
    return;
  }
  const auto outcome = to->trigger(reason);
  if (!outcome) {
    log_.warn("no incident file", {{"err", outcome.error().message()}});
  } else if (outcome->is_extended) {
    log_.notice("the incident in progress is recorded for longer", {{"file", outcome->file}});
  }
}

HttpResponse FlightRecorder::trigger_over_http(std::string_view reason) {
  const auto to = recorder();
  if (to == nullptr) {
    return json_response(403, {{"error", "recorder.enabled is false"}});
  }
  const auto now = std::chrono::steady_clock::now();
  const bool is_early = last_over_http_ && now - *last_over_http_ < kLeastBetweenRequests;
  if (is_early && !to->stats().is_recording) {
    HttpResponse out =
        json_response(429, {{"error", "asked for less than a minute ago; SIGUSR2 is not limited"}});
    out.headers.emplace_back("Retry-After", "60");
    return out;
  }
  last_over_http_ = now;
  const auto outcome = to->trigger(reason, true);
  if (!outcome) {
    return json_response(503, {{"error", outcome.error().message()}});
  }
  return json_response(202, {{"file", outcome->file}, {"extended", outcome->is_extended}});
}

std::optional<recording::RecorderStats> FlightRecorder::stats() const {
  recording::RecorderStats out;
  std::shared_ptr<Recorder> to;
  {
    const std::lock_guard lock(mutex_);
    to = recorder_;
    if (to == nullptr && !before_) {
      return std::nullopt;  // there never was one
    }
    out = before_.value_or(recording::RecorderStats{});
  }
  if (to != nullptr) {
    recording::RecorderStats now = to->stats();
    std::optional<recording::RecorderStats> sum(std::move(now));
    add_counts(out, sum);
    return sum;
  }
  return out;
}

bool FlightRecorder::stop() {
  const auto to = recorder();
  const bool ended = to == nullptr || to->stop(kStopGrace);
  // It may have come back meanwhile.
  std::erase_if(left_behind_, [](const auto& old) { return old->stop(std::chrono::seconds(0)); });
  return ended && left_behind_.empty();
}

}  // namespace tidegauge
