// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/recording_command.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>

namespace tidegauge {

namespace {

void complain(const std::string& message) {
  std::fprintf(stderr, "tidegauge: %s\n", message.c_str());
}

}  // namespace

std::optional<replay::RecordingWalk> open_recording(const RecordingOptions& options) {
  auto walk = replay::RecordingWalk::open(
      options.file, {options.from, options.to},
      [file = options.file](const recording::Damage& damage) {
        complain(file + ": at byte " + std::to_string(damage.offset) + ": " + damage.what);
      });
  if (!walk) {
    const Error& error = walk.error();
    complain(error.errno_value == 0
                 ? error.where
                 : error.where + ": " + std::generic_category().message(error.errno_value));
    return std::nullopt;
  }
  return std::move(*walk);
}

StandardOutput::StandardOutput() { ::signal(SIGPIPE, SIG_IGN); }

bool StandardOutput::write(std::string_view text) {
  if (error_ == 0 && std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    error_ = errno;
  }
  return error_ == 0;
}

int StandardOutput::finish() {
  if (error_ == 0 && std::fflush(stdout) != 0) {
    error_ = errno;
  }
  if (error_ == 0 || error_ == EPIPE) {
    return 0;
  }
  complain("cannot write: " + std::generic_category().message(error_));
  return 1;
}

int end_of_walk(const RecordingOptions& options, const replay::RecordingWalk& walk,
                std::uint64_t found, StandardOutput& output) {
  const int written = output.finish();
  const recording::RecordingSummary& summary = walk.summary();
  if (found == 0 && summary.snapshots != 0 && (options.from || options.to)) {
    complain(options.file + ": nothing in it between " +
             (options.from ? replay::time_text(walk.from_ns()) : "its beginning") + " and " +
             (options.to ? replay::time_text(walk.to_ns()) : "its end") + "; it reaches from " +
             replay::time_text(summary.first_realtime_ns) + " to " +
             replay::time_text(summary.last_realtime_ns));
  }
  return std::max(written, walk.damages() == 0 ? 0 : 1);
}

}  // namespace tidegauge
