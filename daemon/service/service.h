// SPDX-License-Identifier: Apache-2.0
#pragma once

// `tidegauge serve`: the daemon from start to end. The calling thread takes the signals, supervises
// the scheduler and feeds systemd's watchdog; it must be the process's first thread.

#include "daemon/config/flags.h"
#include "daemon/config/load.h"

namespace tidegauge {

// Returns the exit code: 0 after SIGTERM or SIGINT, 1 when it could not start, 2 for a bad
// configuration. Does not return while a collector is stuck: it ends the process instead.
int serve(const CommandLine& command_line, CollectorRegistry registry);

}  // namespace tidegauge
