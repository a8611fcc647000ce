// SPDX-License-Identifier: Apache-2.0
#pragma once

// Flags that belong to one command and to no configuration file: what `top` and `process` show, what of a
// recording is wanted, what `import` makes.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/time_argument.h"
#include "daemon/config/value.h"

namespace tidegauge {

enum class TopSort : std::uint8_t { kIo, kRead, kWrite, kCpu, kMemory, kFaults, kDelay };

struct TopOptions {
  bool once = false;
  bool json = false;
  std::int64_t interval_ns = 1'000'000'000;
  std::int64_t count = 0;  // 0: until it is ended
  TopSort sort = TopSort::kIo;
  std::int64_t rows = 0;  // 0: as many as fit
  bool groups = false;
};

struct ReportOptions {
  std::uint32_t pid = 0;
  bool json = false;
  bool smaps = false;  // also where it is dear
  bool command_line = false;
};

enum class DumpFormat : std::uint8_t { kOpenMetrics, kJson, kCsv };

// Of `replay`, `dump` and `why`.
struct RecordingOptions {
  std::string file;
  std::optional<TimeArgument> from;
  std::optional<TimeArgument> to;
  // replay
  std::string serve_address;    // "": it is printed
  std::optional<double> speed;  // 1 when it is not told
  bool loop = false;
  // dump
  std::optional<DumpFormat> format;
  std::string family;  // "": all
  bool raw = false;
};

struct IncidentsOptions {
  std::string directory;  // "": the default one
  bool json = false;
};

// Of `why`; what of a recording is wanted stands in RecordingOptions.
struct WhyOptions {
  bool json = false;
  bool all = false;
};

// Of `import`.
struct ImportOptions {
  std::string directory;
  std::string out;
  bool force = false;
  std::int64_t utc_offset_ns = 0;
};

struct CommandOptions {
  TopOptions top;
  ReportOptions report;
  RecordingOptions recording;
  IncidentsOptions incidents;
  ImportOptions importing;
  WhyOptions why;
  bool ebpf_json = false;
};

struct CommandFlag {
  Setting setting;  // `section`: the commands that have it, separated by blanks
  void (*apply)(CommandOptions& options, const OptionValue& value);
};
std::span<const CommandFlag> command_flags();
bool belongs_to(const CommandFlag& flag, std::string_view command);

// As in --sort.
std::string_view to_string(TopSort sort);

// One flag into `options`; the error says what is accepted, or whose flag it is.
ConfigResult<void> apply_command_flag(const CommandFlag& flag, std::string_view command,
                                      std::string_view text, CommandOptions& options);

// Of `replay`, `dump` and `why`: the file is there, and flags fit together.
ConfigResult<void> check_recording_options(std::string_view command,
                                           const RecordingOptions& options);

// `tidegauge process PID`.
ConfigResult<std::uint32_t> parse_pid_argument(std::string_view text);

}  // namespace tidegauge
