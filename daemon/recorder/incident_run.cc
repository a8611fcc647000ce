// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <system_error>
#include <utility>

#include "daemon/recorder/incident_state.h"
#include "daemon/recorder/partial_file.h"

namespace tidegauge::recording {

namespace {

using SteadyClock = std::chrono::steady_clock;
using Kind = IncidentEvent::Kind;

// Small enough for others' writes to get in between.
constexpr std::uint64_t kMinBlockBytes = 4096;
constexpr std::uint64_t kMaxBlockBytes = std::uint64_t{64} << 10U;
constexpr int kLevel = 3;                  // of zstd
constexpr std::size_t kEndBytes = 1024;    // more than a chunk of kind kEnd takes
constexpr std::size_t kRawSpare = 1 << 8;  // more than lengths and moment take

struct Failed {
  IncidentFailure reason = IncidentFailure::kIo;
  std::string text;
};
using Outcome = tl::expected<void, Failed>;

// Without the error's kind: the failure has a word of its own.
std::string text_of(const Error& error) {
  return error.where + ": " + std::generic_category().message(error.errno_value);
}

tl::unexpected<Failed> failed(const Error& error) {
  return tl::make_unexpected(Failed{IncidentWriter::failure_of(error.errno_value), text_of(error)});
}

std::int64_t now_realtime_ns() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string compress(RawFiles raw) {
  std::size_t plain_bytes = kRawSpare + raw.moment.size();
  const auto end = std::find_if(raw.files.begin(), raw.files.end(), [&](const auto& file) {
    plain_bytes += file.first.size() + std::min(file.second.size(), kMaxRawFileBytes) + kRawSpare;
    return plain_bytes > kMaxPlainBytes;
  });
  raw.files.erase(end, raw.files.end());
  ChunkCompressor compressor(kLevel);
  compressor.add(encode(raw));
  return compressor.finish({.kind = ChunkKind::kRawFiles,
                            .count = static_cast<std::uint32_t>(raw.files.size()),
                            .first_realtime_ns = raw.realtime_ns,
                            .last_realtime_ns = raw.realtime_ns});
}

}  // namespace

// One incident on the thread.
class IncidentWriter::Run {
 public:
  Run(State& state, Incident& incident) : state_(state), incident_(incident) {}
  void work();

 private:
  Outcome write();
  Outcome write_chunk(std::string_view bytes);
  Outcome write_bytes(std::string_view bytes);
  Outcome await_turn();
  tl::expected<std::optional<Job>, Failed> next_job();
  bool take_copies(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] Outcome check(const std::unique_lock<std::mutex>& lock) const;
  bool make_room(std::optional<std::uint64_t> own_bytes);
  void cut_short();
  void conclude(const Outcome& outcome);

  State& state_;
  Incident& incident_;
  std::optional<IncidentDirectory> directory_;
  std::optional<PartialFile> file_;
  SteadyClock::time_point next_turn_;
  std::int64_t last_realtime_ns_ = 0;
  std::uint64_t others_bytes_ = 0;  // in the directory
  std::uint64_t chunks_ = 0;        // wholly written
  bool has_retried_ = false;
  bool has_aged_ = false;  // old files went
  bool is_synced_ = true;
  bool is_cut_short_ = false;
};

void IncidentWriter::State::emit(Kind kind, std::string file, std::string text,
                                 IncidentFailure failure) const {
  if (on_event) {
    on_event({kind, std::move(file), std::move(text), failure});
  }
}

void IncidentWriter::State::thread_main() {
  ::pthread_setname_np(::pthread_self(), "incident");
  std::unique_lock lock(mutex);
  while (incident) {
    const std::shared_ptr<Incident> mine = incident;
    lock.unlock();
    try {
      Run(*this, *mine).work();
    } catch (const std::exception&) {  // no memory even to tell why, or whoever was told threw
    }
    lock.lock();
    if (incident == mine) {
      incident.reset();
      stats.in_progress.clear();
    }
  }
  has_thread = false;
  ended.notify_all();
}

void IncidentWriter::Run::work() {
  Outcome outcome;
  try {
    outcome = write();
  } catch (const std::exception& e) {
    outcome =
        tl::make_unexpected(Failed{IncidentFailure::kIo, std::string("exception: ") + e.what()});
  }
  conclude(outcome);
}

Outcome IncidentWriter::Run::write() {
  {
    // Before the disk is touched: it may take its time.
    std::unique_lock lock(state_.mutex);
    take_copies(lock);
  }
  auto directory = IncidentDirectory::open(state_.options.directory);
  if (!directory) {
    return failed(directory.error());
  }
  directory_.emplace(std::move(*directory));
  if (directory_->is_writable_by_others() && !std::exchange(state_.warned_of_mode, true)) {
    state_.emit(Kind::kWarning, "",
                directory_->path() + " is writable by its group or by everybody: they can take " +
                    "incident files away or put others in their place");
  }
  if (!make_room(incident_.first_bytes)) {
    return tl::make_unexpected(Failed{
        IncidentFailure::kNoSpace,
        "recorder.max_files or recorder.max_disk is reached, and none of the files there may "
        "go for one that was asked for over HTTP"});
  }
  auto file = PartialFile::create(*directory_, incident_.name);
  if (!file) {
    return failed(file.error());
  }
  file_.emplace(std::move(*file));
  {
    const std::lock_guard lock(state_.mutex);
    state_.last_name.number = file_->name().number;
    state_.stats.in_progress = file_name(file_->name());
  }
  state_.emit(Kind::kBegan, file_name(file_->name()), incident_.note);
  if (auto written = write_bytes(file_header()); !written) {
    return written;
  }
  for (;;) {
    auto job = next_job();
    if (!job) {
      return tl::make_unexpected(std::move(job.error()));
    }
    if (!*job) {
      break;
    }
    const Job& next = **job;
    last_realtime_ns_ =
        std::max(last_realtime_ns_, next.chunk ? next.chunk->info.last_realtime_ns : 0);
    if (auto written = write_chunk(next.chunk ? next.chunk->bytes : next.copies->bytes); !written) {
      return written;
    }
  }
  const std::string end = ChunkCompressor(kLevel).finish({.kind = ChunkKind::kEnd,
                                                          .first_realtime_ns = last_realtime_ns_,
                                                          .last_realtime_ns = last_realtime_ns_});
  if (auto written = write_bytes(end); !written) {
    return written;
  }
  if (auto published = file_->publish(); !published) {
    return failed(published.error());
  }
  if (auto synced = file_->sync_directory(); !synced) {
    state_.emit(Kind::kWarning, file_name(file_->name()),
                "complete, but may be lost if the host fails soon: " + text_of(synced.error()));
  }
  return {};
}

// What has to be written next; none at the end.
tl::expected<std::optional<IncidentWriter::Job>, Failed> IncidentWriter::Run::next_job() {
  std::unique_lock lock(state_.mutex);
  for (;;) {
    if (auto good = check(lock); !good) {
      return tl::make_unexpected(std::move(good.error()));
    }
    if (take_copies(lock)) {
      continue;
    }
    if (!incident_.queue.empty()) {
      Job job = std::move(incident_.queue.front());
      incident_.queue.pop_front();
      incident_.queued_bytes -= job.is_added ? job.chunk->bytes.size() : 0;
      return job;
    }
    if (incident_.is_closed || state_.is_stopping) {
      incident_.is_closed = true;
      return std::nullopt;
    }
    if (!std::exchange(is_synced_, true)) {
      // Nothing may come for a minute, and hosts in trouble are reset.
      lock.unlock();
      if (auto synced = file_->sync(); !synced) {
        return failed(synced.error());
      }
      lock.lock();
      continue;
    }
    state_.wake.wait(lock);
  }
}

Outcome IncidentWriter::Run::check(const std::unique_lock<std::mutex>& /*lock*/) const {
  if (incident_.is_slow) {
    return tl::make_unexpected(
        Failed{IncidentFailure::kSlow,
               "more than " + std::to_string(kMaxQueuedBytes >> 20U) + " MiB waited for the disk"});
  }
  if (state_.is_stopping && SteadyClock::now() >= state_.stop_deadline) {
    return tl::make_unexpected(
        Failed{IncidentFailure::kSlow, "the daemon ended before it was written"});
  }
  return {};
}

// Reads kernel files if they are asked for; the lock is released meanwhile. Whether there was anything to do.
bool IncidentWriter::Run::take_copies(std::unique_lock<std::mutex>& lock) {
  const auto wanted = std::exchange(incident_.wanted, {});
  if (wanted.empty()) {
    return false;
  }
  lock.unlock();
  for (const auto& copies : wanted) {
    try {
      copies->bytes = compress(state_.read_raw(copies->moment));
    } catch (const std::exception& e) {
      state_.emit(Kind::kWarning, file_name(incident_.name),
                  "no copies of kernel files (" + copies->moment + "): " + e.what());
    }
  }
  lock.lock();
  return true;
}

Outcome IncidentWriter::Run::write_chunk(std::string_view bytes) {
  const std::uint64_t max_bytes = state_.options.max_bytes;
  const std::uint64_t own_bytes = file_->bytes() + bytes.size() + kEndBytes;
  if (bytes.empty() || is_cut_short_) {
    return {};
  }
  if (max_bytes > 0 &&
      (own_bytes > max_bytes || (own_bytes + others_bytes_ > max_bytes && !make_room(own_bytes)))) {
    cut_short();
    return {};
  }
  auto written = write_bytes(bytes);
  chunks_ += written ? 1U : 0U;
  return written;
}

// One that goes on for ever: what is there is worth more than nothing.
void IncidentWriter::Run::cut_short() {
  is_cut_short_ = true;
  const std::lock_guard lock(state_.mutex);
  incident_.is_closed = true;
  incident_.queue.clear();
}

Outcome IncidentWriter::Run::write_bytes(std::string_view bytes) {
  const std::uint64_t rate = state_.options.bytes_per_second;
  const std::size_t block_bytes =
      rate == 0 ? kMaxBlockBytes : std::clamp(rate / 16, kMinBlockBytes, kMaxBlockBytes);
  while (!bytes.empty()) {
    if (auto good = await_turn(); !good) {
      return good;
    }
    std::string_view block = bytes.substr(0, block_bytes);
    const std::size_t size = block.size();
    bytes.remove_prefix(size);
    is_synced_ = false;
    auto written = file_->append(block);
    if (!written &&
        IncidentWriter::failure_of(written.error().errno_value) == IncidentFailure::kNoSpace &&
        !std::exchange(has_retried_, true)) {
      make_room(file_->bytes() + block.size());
      written = file_->append(block);
    }
    // From now on, not from the last turn: rests do not add up to a burst.
    if (rate > 0) {
      next_turn_ = SteadyClock::now() + std::chrono::nanoseconds(size * 1'000'000'000 / rate);
    }
    const std::lock_guard lock(state_.mutex);
    state_.stats.bytes_written += size - block.size();
    if (!written) {
      return failed(written.error());
    }
  }
  return {};
}

Outcome IncidentWriter::Run::await_turn() {
  std::unique_lock lock(state_.mutex);
  for (;;) {
    if (auto good = check(lock); !good) {
      return good;
    }
    if (take_copies(lock)) {
      continue;
    }
    if (state_.is_stopping || SteadyClock::now() >= next_turn_) {
      return {};
    }
    state_.wake.wait_until(lock, next_turn_);
  }
}

// So that a file of ours with so many bytes keeps the directory within its limits. False when others are in the
// way of a cheap one; what could not be removed is not.
bool IncidentWriter::Run::make_room(std::optional<std::uint64_t> own_bytes) {
  std::optional<IncidentDirectory::Own> own;
  if (own_bytes) {
    own = {file_ ? file_->current_name() : "", *own_bytes, incident_.is_cheap};
  }
  IncidentOptions options = state_.options;
  if (std::exchange(has_aged_, true)) {
    options.max_age_ns = 0;  // once per incident: what a wrong clock can do is bounded
  }
  const auto kept = directory_->remove_surplus(options, incident_.name.realtime_ns, own);
  if (!kept) {
    state_.emit(Kind::kWarning, "", text_of(kept.error()));
    return true;
  }
  for (const std::string& name : kept->removed) {
    state_.emit(Kind::kRemoved, name, "made room for newer ones");
  }
  for (const Error& error : kept->failed) {
    state_.emit(Kind::kWarning, "", text_of(error));
  }
  others_bytes_ = kept->bytes;
  const std::lock_guard lock(state_.mutex);
  state_.stats.directory_files = kept->files + (file_ ? 1 : 0);
  state_.stats.directory_bytes = kept->bytes + (file_ ? file_->bytes() : 0);
  return kept->fits || !incident_.is_cheap;
}

void IncidentWriter::Run::conclude(const Outcome& outcome) {
  const std::string name = file_name(file_ ? file_->name() : incident_.name);
  std::string text;
  if (outcome) {
    text = is_cut_short_ ? "cut short: it reached the limit of the directory" : "";
  } else {
    text = outcome.error().text;
    if (file_ && chunks_ > 0) {
      text += "; " + file_->current_name() + " has what was written";
    } else if (file_) {
      file_->discard();
      file_.reset();
    }
  }
  if (directory_) {
    make_room(file_ ? std::optional(file_->bytes()) : std::nullopt);
  }
  {
    const std::lock_guard lock(state_.mutex);
    IncidentStats& stats = state_.stats;
    if (outcome) {
      ++stats.files_written;
      stats.last_finished_realtime_ns = now_realtime_ns();
    } else if (!incident_.is_slow) {
      ++stats.failures[static_cast<std::size_t>(outcome.error().reason)];
    }
    stats.in_progress.clear();
    state_.incident.reset();  // the next one can begin
  }
  file_.reset();
  if (outcome) {
    state_.emit(Kind::kFinished, name, text);
  } else {
    state_.emit(Kind::kFailed, name, text, outcome.error().reason);
  }
}

}  // namespace tidegauge::recording
