// SPDX-License-Identifier: Apache-2.0
#pragma once

// The commands that end by themselves. Each returns the process's exit code.

#include <string>

#include "daemon/config/flags.h"

namespace tidegauge {

// Reads the file as `serve` would. 0 and "FILE: OK", or 2 and one line.
int check_config(const CommandLine& command_line, CollectorRegistry registry);

// One run of the enabled (or named) collectors as text on standard output. 1 when a named one fails.
int collect(const CommandLine& command_line, CollectorRegistry registry);

// docs/metrics.md: every metric this build can emit.
std::string metrics_reference(CollectorRegistry registry);

}  // namespace tidegauge
