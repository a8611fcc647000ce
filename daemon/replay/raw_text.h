// SPDX-License-Identifier: Apache-2.0
#pragma once

// Copies of kernel files in a recording, as text.

#include <string>

#include "daemon/recorder/raw_files.h"

namespace tidegauge::replay {

// `==> /proc/meminfo (onset, 2026-11-26T01:32:32.123Z) <==`, the text, an empty line; file after file. For a terminal
// control characters but newline and tab, and what is no UTF-8, are replaced; in headings always.
std::string raw_text(const recording::RawFiles& files, bool for_terminal);

}  // namespace tidegauge::replay
