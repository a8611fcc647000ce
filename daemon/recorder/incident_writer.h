// SPDX-License-Identifier: Apache-2.0
#pragma once

// Writes incidents: chunks from the ring, copies of kernel files, and what follows until the incident is over, to
// one file each. The disk may be slow, full or dead - often that is the incident - so callers only ever put things
// into a queue; a detached thread that lives as long as an incident does the rest.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/result.h"
#include "daemon/recorder/incident_directory.h"
#include "daemon/recorder/raw_files.h"
#include "daemon/recorder/ring.h"

namespace tidegauge::recording {

// Why an incident has no complete file.
enum class IncidentFailure : std::uint8_t {
  kNoSpace,   // ENOSPC, EDQUOT
  kReadOnly,  // EROFS
  kMissing,   // no such directory, and none above it to make it in
  kDenied,    // file modes, or a link that is not followed
  kIo,        // anything else
  kSlow,      // too much waited to be written, or the daemon ended first
};
// By IncidentFailure: the values of a label.
inline constexpr std::array<std::string_view, 6> kIncidentFailureNames{
    "no_space", "read_only", "missing", "denied", "io", "slow"};

struct IncidentStats {
  std::uint64_t files_written = 0;  // complete ones, since the start
  std::uint64_t bytes_written = 0;  // of failed ones too
  std::array<std::uint64_t, kIncidentFailureNames.size()> failures{};
  std::string in_progress;  // the file's name, empty when there is none
  // When the directory was last looked at; torn files included.
  std::uint64_t directory_files = 0;
  std::uint64_t directory_bytes = 0;
  std::int64_t last_finished_realtime_ns = 0;  // 0: none yet
};

struct IncidentEvent {
  enum class Kind : std::uint8_t {
    kBegan,  // the file is there; `text` tells what it lacks of what was recorded before, if anything
    kFinished,  // it is complete and has its name
    kFailed,    // `text` says why and what is left of it
    kRemoved,   // a file made room
    kWarning,
  };
  Kind kind = Kind::kWarning;
  std::string file;                                // its name in the directory, if it is about one
  std::string text;                                // for humans
  IncidentFailure failure = IncidentFailure::kIo;  // of kFailed
};

// begin(), add(), peak(), finish() and stop(): one thread at a time; but for stop() none of them waits.
class IncidentWriter {
 public:
  // Reads kernel files at a `moment` ("onset", "peak"). May take long; while it does, nothing is written. Files
  // that do not fit into a chunk are left out, the last ones.
  using RawReader = std::function<RawFiles(std::string_view moment)>;
  using EventHandler = std::function<void(const IncidentEvent&)>;

  // Both functions may be null. They are called on the writer's thread, which a dead disk can keep alive until
  // the process ends: they must own what they use.
  IncidentWriter(IncidentOptions options, RawReader read_raw, EventHandler on_event);
  // As stop() without grace.
  ~IncidentWriter();
  IncidentWriter(const IncidentWriter&) = delete;
  IncidentWriter& operator=(const IncidentWriter&) = delete;

  // Begins a file with these chunks and copies of kernel files. Returns its name; where the directory has that
  // already the file gets the next number, as its events say. Refused while there is another (kInvalid) and when
  // there is no thread to be had (kIo). `realtime_ns`: now, CLOCK_REALTIME.
  //
  // Of `chunks` (oldest first) the oldest are left out that would take more than half of `max_bytes`: what comes
  // must fit, too.
  //
  // `is_cheap`: anybody may ask for it (over HTTP). Its reason gets the mark "http-". Other files do not make room
  // for it: without room it fails (kFailed with kNoSpace, told by the event), or ends early. See count_surplus().
  Result<std::string> begin(std::int64_t realtime_ns, std::string_view reason,
                            std::vector<ChunkPtr> chunks, bool is_cheap = false);
  // The next three do nothing when no incident is in progress, or it has failed.
  //
  // More than kMaxQueuedBytes of added chunks waiting is a failure (kSlow).
  void add(ChunkPtr chunk);
  // Asks for another copy of kernel files, kMaxPeaks times at most. It is read at once, and written in its turn.
  void peak();
  void finish();
  // Finishes what there is without regard to the rate; nothing can begin any more. What is not written in time is
  // left torn. Waits at most this long; returns whether the thread ended.
  bool stop(std::chrono::nanoseconds grace);
  // Any thread: an incident is in progress and takes chunks. Not so one that was finished, was cut short at a limit
  // or has failed, though it may be in the stats for as long as the disk keeps its thread.
  [[nodiscard]] bool accepts() const;
  // Any thread.
  [[nodiscard]] IncidentStats stats() const;

  static IncidentFailure failure_of(int errno_value);

  static constexpr std::size_t kMaxQueuedBytes = std::size_t{32} << 20U;
  static constexpr unsigned kMaxPeaks = 3;

 private:
  struct Copies;
  struct Job;
  struct Incident;
  struct State;
  class Run;

  std::shared_ptr<State> state_;
};

}  // namespace tidegauge::recording
