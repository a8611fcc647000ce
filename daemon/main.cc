// SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <span>

#include "collectors/registry.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/dump.h"
#include "daemon/commands/ebpf_report.h"
#include "daemon/commands/import_command.h"
#include "daemon/commands/incidents.h"
#include "daemon/commands/process_report.h"
#include "daemon/commands/record.h"
#include "daemon/commands/replay.h"
#include "daemon/commands/top.h"
#include "daemon/commands/why.h"
#include "daemon/config/flags.h"
#include "daemon/config/generate.h"
#include "daemon/exporter/own_metrics.h"
#include "daemon/service/service.h"

namespace tidegauge {
namespace {

int print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 ? 0 : 1;
}

std::string version_text() {
  const BuildInfo& build = build_info();
  return "tidegauge, version " + build.version + " (branch: " + build.branch +
         ", revision: " + build.revision + ")\n";
}

int run(std::span<const char* const> arguments) {
  const CollectorRegistry registry = all_collectors();
  const auto command_line = parse_command_line(arguments, registry);
  if (!command_line) {
    std::fprintf(stderr, "tidegauge: %s\n", command_line.error().message.c_str());
    return 2;
  }
  switch (command_line->command) {
    case Command::kServe:
      return serve(*command_line, registry);
    case Command::kCheckConfig:
      return check_config(*command_line, registry);
    case Command::kCollect:
      return collect(*command_line, registry);
    case Command::kTop:
      return top(*command_line, registry);
    case Command::kProcess:
      return process_report(*command_line, registry);
    case Command::kEbpf:
      return ebpf_report(*command_line, registry);
    case Command::kReplay:
      return replay_recording(*command_line, registry);
    case Command::kDump:
      return dump_recording(*command_line, registry);
    case Command::kIncidents:
      return list_recordings(*command_line, registry);
    case Command::kRecord:
      return record(*command_line, registry);
    case Command::kWhy:
      return why(*command_line, registry);
    case Command::kImport:
      return import_captures(*command_line, registry);
    case Command::kMetrics:
      return print(metrics_reference(registry));
    case Command::kConfigReference:
      return print(reference_yaml(registry));
    case Command::kHelp:
      return print(help_text(registry));
    case Command::kVersion:
      return print(version_text());
  }
  return 2;
}

}  // namespace
}  // namespace tidegauge

int main(int argc, char** argv) {
  const std::span<const char* const> all(argv, static_cast<std::size_t>(argc));
  return tidegauge::run(all.subspan(argc > 0 ? 1 : 0));
}
