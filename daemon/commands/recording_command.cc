// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/recording_command.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

namespace tidegauge {

void complain_of_recording(const std::string& message) {
  constexpr std::size_t kColumns = 8192;  // two long paths
  const std::string text = printable(message, kColumns, use_environments_charset());
  std::fprintf(stderr, "tidegauge: %s\n", text.c_str());
}

std::optional<replay::RecordingWalk> open_recording(const RecordingOptions& options) {
  auto walk = replay::RecordingWalk::open(options.file, {options.from, options.to},
                                          [file = options.file](const recording::Damage& damage) {
                                            complain_of_recording(file + ": at byte " +
                                                                  std::to_string(damage.offset) +
                                                                  ": " + damage.what);
                                          });
  if (!walk) {
    const Error& error = walk.error();
    complain_of_recording(error.errno_value == 0
                              ? error.where
                              : error.where + ": " +
                                    std::generic_category().message(error.errno_value));
    return std::nullopt;
  }
  return std::move(*walk);
}

int with_recording(const std::string& file, const std::function<int()>& command) {
  std::string why;
  try {
    return command();
  } catch (const std::bad_alloc&) {
    why = "not enough memory";
  } catch (const std::exception& error) {
    why = error.what();
  }
  complain_of_recording(file + ": " + why);
  return 1;
}

StandardOutput::StandardOutput()
    : is_terminal_(::isatty(STDOUT_FILENO) == 1), charset_(use_environments_charset()) {
  ::signal(SIGPIPE, SIG_IGN);
}

bool StandardOutput::write(std::string_view text) {
  std::string shown;
  if (is_terminal_) {
    shown = printable_lines(text, charset_);
    text = shown;
  }
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
  complain_of_recording("cannot write: " + std::generic_category().message(error_));
  return 1;
}

int end_of_walk(const RecordingOptions& options, const replay::RecordingWalk& walk,
                std::uint64_t found, StandardOutput& output) {
  const int written = output.finish();
  const recording::RecordingSummary& summary = walk.summary();
  if (found == 0 && summary.snapshots != 0 && (options.from || options.to)) {
    complain_of_recording(options.file + ": nothing in it between " +
                          (options.from ? replay::time_text(walk.from_ns()) : "its beginning") +
                          " and " + (options.to ? replay::time_text(walk.to_ns()) : "its end") +
                          "; it reaches from " + replay::time_text(summary.first_realtime_ns) +
                          " to " + replay::time_text(summary.last_realtime_ns));
  }
  return std::max(written, walk.damages() == 0 ? 0 : 1);
}

}  // namespace tidegauge
