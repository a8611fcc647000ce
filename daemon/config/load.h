// SPDX-License-Identifier: Apache-2.0
#pragma once

// From a command line to the configuration in force. SIGHUP makes the same call with the same
// command line: the file is read again, the flags stay.

#include <string>

#include "daemon/config/flags.h"

namespace tidegauge {

// Read when no --config.file is given, if it exists.
inline constexpr const char* kDefaultConfigFile = "/etc/tidegauge/tidegauge.yaml";

// Blocks on the file system: not for the tick thread.
ConfigResult<Config> load_config(const CommandLine& command_line, CollectorRegistry registry,
                                 const std::string& default_file = kDefaultConfigFile);

// No file, no flags.
Config default_config(CollectorRegistry registry);

}  // namespace tidegauge
