// SPDX-License-Identifier: Apache-2.0
#pragma once

// `tidegauge top`: who does it, live on a terminal, as successive tables, or as JSON.
//
//   top_collect.h    passes, by the collectors' pieces
//   top_rates.h      two passes to rows
//   top_table.h      rows to lines, and to JSON
//   terminal.h       the live screen
//   terminal_text.h  untrusted names for a terminal

#include "daemon/config/flags.h"

namespace tidegauge {

// Returns the process's exit code.
int top(const CommandLine& command_line, CollectorRegistry registry);

}  // namespace tidegauge
