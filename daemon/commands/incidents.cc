// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/incidents.h"

#include <cerrno>
#include <string>
#include <system_error>

#include "daemon/commands/recording_command.h"
#include "daemon/config/load.h"
#include "daemon/replay/incident_list.h"

namespace tidegauge {

namespace {

int list_directory(const std::string& directory, const IncidentsOptions& options) {
  const auto incidents = replay::list_incidents(directory);
  if (!incidents) {
    const int error = incidents.error().errno_value;
    complain_of_recording(directory + ": " + std::generic_category().message(error) +
                          (error == ENOENT && options.directory.empty()
                               ? "; `tidegauge incidents DIR` lists another directory"
                               : ""));
    return 1;
  }
  StandardOutput output;
  if (options.json) {
    output.write(replay::incidents_json(*incidents));
  } else if (incidents->empty()) {
    complain_of_recording(directory + ": no recordings in it");
  } else {
    output.write(replay::incidents_text(*incidents, use_environments_charset()));
  }
  return output.finish();
}

}  // namespace

int list_recordings(const CommandLine& command_line, CollectorRegistry registry) {
  const IncidentsOptions& options = command_line.options.incidents;
  std::string directory = options.directory;
  if (directory.empty()) {
    const auto config = load_config(command_line, registry);
    if (!config) {
      complain_of_recording(config.error().message);
      return 2;
    }
    directory = config->recorder.directory;
  }
  return with_recording(directory, [&] { return list_directory(directory, options); });
}

}  // namespace tidegauge
