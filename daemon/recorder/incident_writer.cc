// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/incident_writer.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/recorder/incident_state.h"

namespace tidegauge::recording {

namespace {

std::string span_text(std::int64_t span_ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  constexpr std::int64_t kMinute = 60 * kSecond;
  const bool is_long = span_ns > 2 * kMinute;
  const std::int64_t unit_ns = is_long ? kMinute : kSecond;
  const std::int64_t units = std::max<std::int64_t>((span_ns + unit_ns - 1) / unit_ns, 1);
  return std::to_string(units) + (is_long ? " minutes" : " s");
}

// Takes the oldest away until the rest has no more than so many bytes. Says which, if any.
std::string drop_oldest(std::vector<ChunkPtr>& chunks, std::uint64_t max_bytes) {
  std::uint64_t bytes = 0;
  auto first = chunks.end();
  while (first != chunks.begin() && bytes + (*std::prev(first))->bytes.size() <= max_bytes) {
    --first;
    bytes += (*first)->bytes.size();
  }
  if (first == chunks.begin()) {
    return "";
  }
  const std::int64_t end_ns =
      first == chunks.end() ? chunks.back()->last_boottime_ns : (*first)->first_boottime_ns;
  const std::int64_t span_ns = end_ns - chunks.front()->first_boottime_ns;
  chunks.erase(chunks.begin(), first);
  if (span_ns == 0) {  // of the ring nothing
    return "what was known before does not fit into recorder.max_disk";
  }
  const std::string span = span_text(span_ns);
  return "the oldest " + span + " do not fit into recorder.max_disk";
}

}  // namespace

IncidentWriter::IncidentWriter(IncidentOptions options, RawReader read_raw, EventHandler on_event)
    : state_(
          std::make_shared<State>(std::move(options), std::move(read_raw), std::move(on_event))) {}

IncidentWriter::~IncidentWriter() { stop(std::chrono::nanoseconds(0)); }

Result<std::string> IncidentWriter::begin(std::int64_t realtime_ns, std::string_view reason,
                                          std::vector<ChunkPtr> chunks, bool is_cheap) {
  auto incident = std::make_shared<Incident>();
  constexpr std::int64_t kMillisecond = 1'000'000;
  incident->name.realtime_ns = std::max<std::int64_t>(realtime_ns, 0) / kMillisecond * kMillisecond;
  incident->name.reason = marked_reason(reason, is_cheap);
  incident->is_cheap = is_cheap;
  if (const std::uint64_t max_bytes = state_->options.max_bytes; max_bytes > 0) {
    incident->note = drop_oldest(chunks, max_bytes / 2);
  }
  for (ChunkPtr& chunk : chunks) {
    incident->first_bytes += chunk->bytes.size();
    incident->queue.push_back({std::move(chunk), nullptr, false});
  }
  const std::lock_guard lock(state_->mutex);
  if (state_->incident || state_->is_stopping) {
    return tl::make_unexpected(Error{
        ErrorKind::kInvalid, 0,
        state_->is_stopping ? "stopped" : state_->stats.in_progress + ": still being written"});
  }
  if (state_->read_raw) {
    incident->wanted.push_back(std::make_shared<Copies>(Copies{"onset", ""}));
    incident->queue.push_back({nullptr, incident->wanted.back(), false});
  }
  if (const IncidentName& last = state_->last_name;
      last.realtime_ns == incident->name.realtime_ns && last.reason == incident->name.reason) {
    incident->name.number = last.number + 1;
  }
  if (!state_->has_thread) {
    try {
      std::thread([state = state_] { state->thread_main(); }).detach();
    } catch (const std::system_error& e) {
      ++state_->stats.failures[static_cast<std::size_t>(IncidentFailure::kIo)];
      return system_error(e.code().value(), "no thread to write an incident");
    }
    state_->has_thread = true;
  }
  state_->last_name = incident->name;
  state_->stats.in_progress = file_name(incident->name);
  state_->incident = std::move(incident);
  return state_->stats.in_progress;
}

void IncidentWriter::add(ChunkPtr chunk) {
  const std::lock_guard lock(state_->mutex);
  Incident* const incident = state_->incident.get();
  if (incident == nullptr || incident->is_closed || !chunk) {
    return;
  }
  incident->queued_bytes += chunk->bytes.size();
  if (incident->queued_bytes > kMaxQueuedBytes) {
    // Counted here: the thread may never come back to do it.
    incident->is_closed = incident->is_slow = true;
    incident->queue.clear();
    incident->wanted.clear();
    ++state_->stats.failures[static_cast<std::size_t>(IncidentFailure::kSlow)];
  } else {
    incident->queue.push_back({std::move(chunk), nullptr, true});
  }
  state_->wake.notify_all();
}

void IncidentWriter::peak() {
  const std::lock_guard lock(state_->mutex);
  Incident* const incident = state_->incident.get();
  if (incident == nullptr || incident->is_closed || !state_->read_raw ||
      incident->peaks == kMaxPeaks) {
    return;
  }
  ++incident->peaks;
  incident->wanted.push_back(std::make_shared<Copies>(Copies{"peak", ""}));
  incident->queue.push_back({nullptr, incident->wanted.back(), false});
  state_->wake.notify_all();
}

void IncidentWriter::finish() {
  const std::lock_guard lock(state_->mutex);
  if (state_->incident) {
    state_->incident->is_closed = true;
    state_->wake.notify_all();
  }
}

bool IncidentWriter::stop(std::chrono::nanoseconds grace) {
  std::unique_lock lock(state_->mutex);
  // More than an hour would be as good, and might be more than the clock has.
  const auto deadline = std::chrono::steady_clock::now() +
                        std::min<std::chrono::nanoseconds>(grace, std::chrono::hours(1));
  state_->is_stopping = true;
  state_->stop_deadline = deadline;
  state_->wake.notify_all();
  return state_->ended.wait_until(lock, deadline, [this] { return !state_->has_thread; });
}

IncidentFailure IncidentWriter::failure_of(int errno_value) {
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
      return IncidentFailure::kNoSpace;
    case EROFS:
      return IncidentFailure::kReadOnly;
    case ENOENT:
    case ENOTDIR:
      return IncidentFailure::kMissing;
    case EACCES:
    case EPERM:
    case ELOOP:
      return IncidentFailure::kDenied;
    default:
      return IncidentFailure::kIo;
  }
}

bool IncidentWriter::accepts() const {
  const std::lock_guard lock(state_->mutex);
  return state_->incident && !state_->incident->is_closed && !state_->is_stopping;
}

IncidentStats IncidentWriter::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stats;
}

}  // namespace tidegauge::recording
