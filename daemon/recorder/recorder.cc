// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/recorder.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace tidegauge::recording {

namespace {

// Of an incident no more than that is lost when the machine goes down.
constexpr std::int64_t kIncidentChunkNs = 10'000'000'000;

// Meant to save the cold caches of each tick; not yet shown by a measurement: 1 would do, too.
constexpr std::size_t kTogether = 5;

std::int64_t thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Recorder::Recorder(RecorderOptions options, std::function<Checkpoint()> checkpoint,
                   IncidentWriter::RawReader raw, IncidentWriter::EventHandler report,
                   History history)
    : options_(std::move(options)),
      history_(std::move(history)),
      ring_(options_.ring, std::move(checkpoint)),
      writer_(options_.incidents, std::move(raw), std::move(report)) {}

void Recorder::on_snapshot(const SnapshotPtr& snapshot) {
  const std::lock_guard lock(mutex_);
  last_ = snapshot;
  waiting_.push_back(snapshot);
  const bool is_recording = still_recording();
  ChunkPtr sealed = is_recording || waiting_.size() >= kTogether ? record_waiting() : nullptr;
  if (is_recording) {
    begin_if_triggered(snapshot->boottime_ns);
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
    if (snapshot->boottime_ns >= ends_ns_) {  // all that was recorded has been handed over
      is_recording_ = false;
      writer_.finish();
    }
  }
}

// The time afterwards begins with the first Snapshot afterwards: ticks may have stood still until now.
void Recorder::begin_if_triggered(std::int64_t boottime_ns) {
  if (!std::exchange(is_triggered_, false)) {
    return;
  }
  began_ns_ = began_ns_.value_or(boottime_ns);
  ends_ns_ = std::min(boottime_ns + options_.after_ns, *began_ns_ + options_.max_incident_ns);
}

// Returns the chunk that was full; of several, which only a change of collectors makes, the last one.
ChunkPtr Recorder::record_waiting() {
  const std::int64_t cpu_start_ns = thread_cpu_ns();
  ChunkPtr sealed;
  for (const SnapshotPtr& snapshot : waiting_) {
    if (ChunkPtr full = ring_.add(snapshot)) {
      sealed = std::move(full);
    }
  }
  waiting_.clear();
  cpu_ns_ += thread_cpu_ns() - cpu_start_ns;
  return sealed;
}

// One that failed is over: the next trigger may have better luck.
bool Recorder::still_recording() {
  is_recording_ = is_recording_ && writer_.accepts();
  return is_recording_;
}

// The ring, and in front of it what was known before it begins. The state that its first chunk carries was made a few
// Snapshots after the chunk's first.
std::vector<ChunkPtr> Recorder::all_there_is() const {
  std::vector<ChunkPtr> out = ring_.chunks();
  if (!history_ || out.empty()) {
    return out;
  }
  const Chunk& first = *out.front();
  const std::int64_t begin_ns = first.first_boottime_ns;
  const std::string plain =
      history_(begin_ns, out[std::min<std::size_t>(out.size() - 1, 1)]->last_boottime_ns);
  if (plain.empty() || plain.size() > kMaxPlainBytes) {
    return out;
  }
  Chunk chunk{.info = {.kind = ChunkKind::kHistory,
                       .count = 1,
                       .first_realtime_ns = first.info.first_realtime_ns,
                       .last_realtime_ns = first.info.first_realtime_ns},
              .bytes = {},
              .first_boottime_ns = begin_ns,
              .last_boottime_ns = begin_ns};
  ChunkCompressor compressor(options_.ring.level);
  compressor.add(plain);
  chunk.bytes = compressor.finish(chunk.info);
  out.insert(out.begin(), std::make_shared<const Chunk>(std::move(chunk)));
  return out;
}

Result<Triggered> Recorder::trigger(std::string_view reason, bool is_cheap) {
  const std::lock_guard lock(mutex_);
  if (is_stopped_) {
    return tl::make_unexpected(Error{ErrorKind::kInvalid, 0, "the recorder is being replaced"});
  }
  if (!last_) {
    return tl::make_unexpected(Error{ErrorKind::kMissing, 0, "nothing has been recorded yet"});
  }
  if (still_recording()) {
    is_triggered_ = true;
    return Triggered{file_, true};
  }
  if (const std::string busy = writer_.stats().in_progress; !busy.empty()) {
    return tl::make_unexpected(Error{ErrorKind::kInvalid, 0, busy + " is still being written"});
  }
  record_waiting();
  ring_.seal();
  auto file = writer_.begin(last_->realtime_ns, reason, all_there_is(), is_cheap);
  if (!file) {
    return tl::make_unexpected(file.error());
  }
  file_ = std::move(*file);
  is_recording_ = true;
  is_triggered_ = true;
  ends_ns_ = INT64_MAX;
  began_ns_.reset();
  peak_watch_.begin_incident();
  sealed_ns_ = last_->boottime_ns;
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
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_recording_, false)) {
      if (ChunkPtr rest = ring_.seal()) {
        writer_.add(std::move(rest));
      }
      writer_.finish();
    }
    is_stopped_ = true;
  }
  // Without the lock: whoever asks for stats() should not wait for a disk.
  return writer_.stop(grace);
}

}  // namespace tidegauge::recording
