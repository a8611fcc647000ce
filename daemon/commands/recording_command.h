// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the commands about recordings have in common: how a file is opened, complained about, and written out.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/commands/terminal_text.h"
#include "daemon/config/command_flags.h"
#include "daemon/replay/recording_walk.h"

namespace tidegauge {

// One line on standard error, printable whatever is in it.
void complain_of_recording(const std::string& message);

// Opens the file that the options name; none, after one line about why, where that is impossible. Damage is told on
// standard error as it is met.
std::optional<replay::RecordingWalk> open_recording(const RecordingOptions& options);

// What `command` returns; where an exception ends it (most likely there is no memory for what the file wants), 1 after
// one line about that.
int with_recording(const std::string& file, const std::function<int()>& command);

// Standard output; a terminal gets what is printable only. Who reads it may leave at any time, which is no failure.
class StandardOutput {
 public:
  StandardOutput();
  // Whole lines. False: nobody wants more.
  bool write(std::string_view text);
  // 0, or 1 after one line about why not all could be written.
  int finish();

 private:
  bool is_terminal_;
  Charset charset_;
  int error_ = 0;
};

// The exit code of a command that has gone through `walk`, with one line where it found nothing though there is
// something. `found`: what there was within --from and --to.
int end_of_walk(const RecordingOptions& options, const replay::RecordingWalk& walk,
                std::uint64_t found, StandardOutput& output);

}  // namespace tidegauge
