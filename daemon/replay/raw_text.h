// SPDX-License-Identifier: Apache-2.0
#pragma once

// Copies of kernel files in a recording, as text.

#include <string>

#include "daemon/recorder/raw_files.h"

namespace tidegauge::replay {

// `==> /proc/meminfo (onset, 2026-11-26T01:32:32.123Z) <==`, the text as it is, an empty line; file after file. What
// stands in the headings is printable.
std::string raw_text(const recording::RawFiles& files);

}  // namespace tidegauge::replay
