// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/config/flags.h"

namespace tidegauge {

// A recording as the /metrics of its time: printed, Snapshot after Snapshot, or served. The exit code: 1 when a part
// of it was damaged, 2 when it is none.
int replay_recording(const CommandLine& command_line, CollectorRegistry registry);

}  // namespace tidegauge
