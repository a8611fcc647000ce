// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/replay.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <string>

#include "daemon/commands/recording_command.h"
#include "daemon/exporter/http_server.h"
#include "daemon/replay/pace.h"
#include "daemon/replay/recorded_text.h"
#include "daemon/replay/replay_heuristics.h"
#include "daemon/replay/replay_source.h"

namespace tidegauge {

namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

int print_recording(replay::RecordingWalk& walk, const RecordingOptions& options,
                    CollectorRegistry registry) {
  StandardOutput output;
  replay::RecordedExposition exposition(registry);
  replay::ReplayHeuristics heuristics;
  heuristics.warm_up(options.file, walk);
  while (const SnapshotPtr recorded = walk.next()) {
    const SnapshotPtr snapshot = heuristics.apply(recorded, walk.checkpoint(), walk.history());
    const bool wanted = output.write("# tick " + replay::time_text(snapshot->realtime_ns) +
                                     " sequence " + std::to_string(snapshot->sequence) + "\n") &&
                        output.write(*exposition.body(snapshot, walk.node_families()));
    if (!wanted) {
      break;
    }
  }
  return end_of_walk(options, walk, walk.snapshots(), output);
}

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

sigset_t end_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  return set;
}

// False when a signal came first.
bool wait_until(std::int64_t due_ns) {
  const sigset_t signals = end_signals();
  for (;;) {
    const std::int64_t left_ns = std::max<std::int64_t>(due_ns - now_ns(), 0);
    const timespec wait{.tv_sec = left_ns / kSecondNs, .tv_nsec = left_ns % kSecondNs};
    if (::sigtimedwait(&signals, nullptr, &wait) > 0) {
      return false;
    }
    if (errno == EAGAIN && now_ns() >= due_ns) {
      return true;
    }
  }
}

// A recording as one turn after another.
class Turns {
 public:
  Turns(replay::RecordingWalk& walk, const RecordingOptions& options)
      : walk_(walk), options_(options), pace_(options.speed.value_or(1)) {
    heuristics_.warm_up(options.file, walk);
  }

  // The next one, of the next round where there is one; null Snapshot at the end.
  replay::ReplaySource::Turn next() {
    SnapshotPtr snapshot = walk_.next();
    if (!snapshot && options_.loop) {
      walk_.rewind();
      pace_.begin_again();
      heuristics_.rewind();
      heuristics_.warm_up(options_.file, walk_);
      snapshot = walk_.next();
    }
    if (!snapshot) {
      return {};
    }
    snapshot = heuristics_.apply(snapshot, walk_.checkpoint(), walk_.history());
    return {std::move(snapshot), walk_.node_families(), heuristics_.report()};
  }
  std::int64_t due_ns(const Snapshot& snapshot, std::int64_t now_ns) {
    return pace_.next(snapshot, now_ns);
  }
  [[nodiscard]] std::int64_t end_ns() const { return pace_.end_ns(); }

 private:
  replay::RecordingWalk& walk_;
  const RecordingOptions& options_;
  replay::Pace pace_;
  replay::ReplayHeuristics heuristics_;
};

int serve_recording(replay::RecordingWalk& walk, const RecordingOptions& options,
                    CollectorRegistry registry) {
  const sigset_t signals = end_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before there are threads
  ::signal(SIGPIPE, SIG_IGN);
  Turns turns(walk, options);
  replay::ReplaySource::Turn turn = turns.next();
  if (!turn.snapshot) {
    complain_of_recording(options.file + ": no Snapshot in it can be served");
    return 1;
  }
  replay::ReplaySource source;
  replay::ReplayHandler handler(source, registry);
  HttpServerOptions http;
  http.listen_addresses = {options.serve_address};
  http.log_error = [](std::string_view message) { complain_of_recording(std::string(message)); };
  auto server = HttpServer::start(std::move(http), handler);
  if (!server) {
    complain_of_recording(server.error().message);
    return 1;
  }
  for (const std::string& address : (*server)->addresses()) {
    complain_of_recording("serving " + options.file + " at " + address);
  }
  while (turn.snapshot && wait_until(turns.due_ns(*turn.snapshot, now_ns()))) {
    source.publish(std::move(turn));
    (*server)->resume_pending();
    turn = turns.next();
    if (!turn.snapshot) {
      if (!wait_until(turns.end_ns())) {
        break;
      }
      source.end();
      complain_of_recording(options.file + ": its end is reached, /metrics has no series any more");
      int number = 0;
      while (::sigwait(&signals, &number) != 0) {
      }
    }
  }
  (*server)->stop();
  return walk.damages() == 0 ? 0 : 1;
}

int replay_file(const RecordingOptions& options, CollectorRegistry registry) {
  auto walk = open_recording(options);
  if (!walk) {
    return 2;
  }
  return options.serve_address.empty() ? print_recording(*walk, options, registry)
                                       : serve_recording(*walk, options, registry);
}

}  // namespace

int replay_recording(const CommandLine& command_line, CollectorRegistry registry) {
  const RecordingOptions& options = command_line.options.recording;
  return with_recording(options.file, [&] { return replay_file(options, registry); });
}

}  // namespace tidegauge
