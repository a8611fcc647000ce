// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/config/flags.h"

namespace tidegauge {

// `tidegauge import DIRECTORY --out=FILE`. The exit code: 1 when something was captured that cannot be used, 2 when
// there is no recording.
int import_captures(const CommandLine& command_line, CollectorRegistry registry);

}  // namespace tidegauge
