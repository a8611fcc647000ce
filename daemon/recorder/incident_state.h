// SPDX-License-Identifier: Apache-2.0
#pragma once

// The IncidentWriter's inside: what its threads share. Only for incident_writer.cc (the public functions, on the
// owner's thread) and incident_run.cc (an incident from its first byte to its last, on the writer's).

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "daemon/recorder/incident_writer.h"

namespace tidegauge::recording {

// Kernel files asked for; read out of turn, since what they show passes.
struct IncidentWriter::Copies {
  std::string moment;
  std::string bytes;  // as a chunk; the thread's own
};

struct IncidentWriter::Job {
  ChunkPtr chunk;  // or
  std::shared_ptr<Copies> copies;
  bool is_added = false;  // counts as queued
};

// Guarded by the State's mutex once begun, but for what is constant then.
struct IncidentWriter::Incident {
  IncidentName name;            // constant
  bool is_cheap = false;        // constant
  std::size_t first_bytes = 0;  // constant; of the chunks that it began with
  std::string note;             // constant; what there is to say when it begins
  std::deque<Job> queue;
  std::size_t queued_bytes = 0;  // of those that came since and wait
  std::vector<std::shared_ptr<Copies>> wanted;
  unsigned peaks = 0;
  bool is_closed = false;  // nothing more comes
  bool is_slow = false;    // has failed, and been counted
};

// Guarded by `mutex` unless said otherwise. The thread is detached and co-owns it: one that is stuck in the kernel
// must not be waited for.
struct IncidentWriter::State {
  State(IncidentOptions opts, RawReader reader, EventHandler handler)
      : options(std::move(opts)), read_raw(std::move(reader)), on_event(std::move(handler)) {}

  const IncidentOptions options;
  const RawReader read_raw;
  const EventHandler on_event;

  mutable std::mutex mutex;
  std::condition_variable wake;   // the thread: work, time, stop
  std::condition_variable ended;  // stop(): the thread ended
  std::shared_ptr<Incident> incident;
  IncidentName last_name;
  bool has_thread = false;
  bool is_stopping = false;
  std::chrono::steady_clock::time_point stop_deadline;
  bool warned_of_mode = false;  // the thread's own
  IncidentStats stats;

  void thread_main();
  void emit(IncidentEvent::Kind kind, std::string file, std::string text,
            IncidentFailure failure = IncidentFailure::kIo) const;
};

}  // namespace tidegauge::recording
