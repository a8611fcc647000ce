// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/config/flags.h"

namespace tidegauge {

// Lists the recordings of a directory, by default the one of the configuration. The exit code: 1 when it cannot be
// read.
int list_recordings(const CommandLine& command_line, CollectorRegistry registry);

}  // namespace tidegauge
