// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/config/flags.h"

namespace tidegauge {

// What is in a recording, for other programs. The exit code: 1 when a part of it was damaged, 2 when it is none.
int dump_recording(const CommandLine& command_line, CollectorRegistry registry);

}  // namespace tidegauge
