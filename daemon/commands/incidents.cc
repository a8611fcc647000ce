// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/incidents.h"

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "daemon/commands/recording_command.h"
#include "daemon/replay/incident_list.h"

namespace tidegauge {

int list_recordings(const CommandLine& command_line) {
  const IncidentsOptions& options = command_line.options.incidents;
  const std::string directory =
      options.directory.empty() ? std::string(replay::kIncidentsDirectory) : options.directory;
  const auto incidents = replay::list_incidents(directory);
  if (!incidents) {
    const int error = incidents.error().errno_value;
    std::fprintf(stderr, "tidegauge: %s: %s%s\n", directory.c_str(),
                 std::generic_category().message(error).c_str(),
                 error == ENOENT && options.directory.empty()
                     ? "; `tidegauge incidents DIR` lists another directory"
                     : "");
    return 1;
  }
  StandardOutput output;
  if (options.json) {
    output.write(replay::incidents_json(*incidents));
  } else if (incidents->empty()) {
    std::fprintf(stderr, "tidegauge: %s: no recordings in it\n", directory.c_str());
  } else {
    output.write(replay::incidents_text(*incidents, use_environments_charset()));
  }
  return output.finish();
}

}  // namespace tidegauge
