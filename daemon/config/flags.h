// SPDX-License-Identifier: Apache-2.0
#pragma once

// The command line: a command, its arguments, and flags over the configuration file, spelled as
// node_exporter's. Given twice, the last one wins, except lists: they collect.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/builder.h"
#include "daemon/config/command_flags.h"

namespace tidegauge {

enum class Command : std::uint8_t {
  kServe,        // the default
  kCheckConfig,  // FILE
  kCollect,      // [NAME...]
  kTop,
  kProcess,  // PID
  kEbpf,
  kReplay,     // FILE
  kDump,       // FILE
  kIncidents,  // [DIR]
  kRecord,
  kWhy,
  kImport,  // DIRECTORY
  kMetrics,
  kConfigReference,  // hidden: prints config/tidegauge.yaml
  kHelp,             // also -h, --help
  kVersion,          // --version
};

struct FlagValue {
  std::string name;                // without dashes and no-: "collector.loadavg"
  std::vector<std::string> texts;  // as given; of a switch, "true" or "false"
};

struct CommandLine {
  Command command = Command::kServe;
  std::vector<std::string> names;  // of `collect`: collectors of the registry
  // nullopt: the default file if there is one. "" (--config.file=): none at all.
  std::optional<std::string> config_file;
  std::vector<FlagValue> flags;       // all valid
  CommandOptions options;             // of single commands
  std::vector<std::string> warnings;  // one line each, for the log
};

// `arguments` without the program's name. The error is for exit code 2.
ConfigResult<CommandLine> parse_command_line(std::span<const char* const> arguments,
                                             CollectorRegistry registry);

// The flags into the builder's upper layer.
ConfigResult<void> apply_flags(const CommandLine& command_line, CollectorRegistry registry,
                               ConfigBuilder& builder);

// One flag of the table that parse_command_line() accepts.
struct FlagTarget {
  std::string name;
  Target target;
};
std::vector<FlagTarget> flag_targets(CollectorRegistry registry);

}  // namespace tidegauge
