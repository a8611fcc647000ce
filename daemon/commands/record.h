// SPDX-License-Identifier: Apache-2.0
#pragma once

// `tidegauge record`: has the running daemon write what it recorded to a file.

#include "daemon/config/flags.h"

namespace tidegauge {

// Prints the file's path. 1 when no daemon answers or it does not do it, 2 for a bad configuration.
int record(const CommandLine& command_line, CollectorRegistry registry);

}  // namespace tidegauge
