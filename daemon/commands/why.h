// SPDX-License-Identifier: Apache-2.0
#pragma once

// `tidegauge why`: why the host is slow, as the daemon that runs on it says; or why it was, from a recording.

#include "daemon/config/flags.h"

namespace tidegauge {

// 0: nothing is wrong; 1: something is, of severity warning at least; 2: nobody can say.
int why(const CommandLine& command_line, CollectorRegistry registry);

}  // namespace tidegauge
