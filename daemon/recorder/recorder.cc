// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/recorder.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace tidegauge::recording {

namespace {

// Of an incident no more than that is lost when the machine goes down.
// Together they cost a third of what they do one by one: code and data are in the caches after the first.
constexpr std::size_t kTogether = 5;
constexpr std::int64_t kIncidentChunkNs = 10'000'000'000;

std::int64_t thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Recorder::Recorder(RecorderOptions options, std::function<Checkpoint()> checkpoint,
                   IncidentWriter::RawReader raw, IncidentWriter::EventHandler report)
    : options_(std::move(options)),
      ring_(options_.ring, std::move(checkpoint)),
      writer_(options_.incidents, std::move(raw), std::move(report)) {}

void Recorder::on_snapshot(const SnapshotPtr& snapshot) {
  const std::int64_t cpu_start_ns = thread_cpu_ns();
  const std::lock_guard lock(mutex_);
  last_ = snapshot;
  waiting_.push_back(snapshot);
  const bool is_recording = still_recording();
  ChunkPtr sealed = is_recording || waiting_.size() >= kTogether ? record_waiting() : nullptr;
  if (is_recording) {
    if (peak_watch_.is_peak(*snapshot)) {
      writer_.peak();
    }
    if (sealed) {
      writer_.add(std::move(sealed));
      sealed_ns_ = snapshot->boottime_ns;
    }
    if (snapshot->boottime_ns - sealed_ns_ >= kIncidentChunkNs ||
        snapshot->boottime_ns >= ends_ns_) {
      sealed_ns_ = snapshot->boottime_ns;
      writer_.add(ring_.seal());
    }
    end_if_due(snapshot->boottime_ns);
  }
  cpu_ns_ += thread_cpu_ns() - cpu_start_ns;
}

// Returns the chunk that was full; of several, which only a change of collectors makes, the last one.
ChunkPtr Recorder::record_waiting() {
  ChunkPtr sealed;
  for (const SnapshotPtr& snapshot : waiting_) {
    if (ChunkPtr full = ring_.add(snapshot)) {
      sealed = std::move(full);
    }
  }
  waiting_.clear();
  return sealed;
}

// One that failed is over: the next trigger may have better luck.
bool Recorder::still_recording() {
  is_recording_ = is_recording_ && !writer_.stats().in_progress.empty();
  return is_recording_;
}

// All that was recorded has been handed over.
void Recorder::end_if_due(std::int64_t boottime_ns) {
  if (boottime_ns >= ends_ns_) {
    is_recording_ = false;
    writer_.finish();
  }
}

Result<Triggered> Recorder::trigger(std::string_view reason) {
  const std::lock_guard lock(mutex_);
  if (!last_) {
    return tl::make_unexpected(Error{ErrorKind::kMissing, 0, "nothing has been recorded yet"});
  }
  const std::int64_t now_ns = last_->boottime_ns;
  if (still_recording()) {
    ends_ns_ = std::min(now_ns + options_.after_ns, began_ns_ + options_.max_incident_ns);
    return Triggered{file_, true};
  }
  record_waiting();
  ring_.seal();
  auto file = writer_.begin(last_->realtime_ns, reason, ring_.chunks());
  if (!file) {
    return tl::make_unexpected(file.error());
  }
  file_ = std::move(*file);
  is_recording_ = true;
  began_ns_ = now_ns;
  peak_watch_.begin_incident();
  sealed_ns_ = now_ns;
  ends_ns_ = now_ns + std::min(options_.after_ns, options_.max_incident_ns);
  end_if_due(now_ns);
  return Triggered{file_, false};
}

RecorderStats Recorder::stats() const {
  const std::lock_guard lock(mutex_);
  return {.ring = ring_.stats(),
          .ring_limit_bytes = options_.ring.max_bytes,
          .cpu_ns = cpu_ns_,
          .is_recording = is_recording_,
          .incidents = writer_.stats()};
}

bool Recorder::stop(std::chrono::nanoseconds grace) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(is_recording_, false)) {
    if (ChunkPtr rest = ring_.seal()) {
      writer_.add(std::move(rest));
    }
    writer_.finish();
  }
  return writer_.stop(grace);
}

}  // namespace tidegauge::recording
