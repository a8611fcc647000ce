// SPDX-License-Identifier: Apache-2.0
#pragma once

// Times as texts, the same wherever and in whatever time zone they are made.

#include <cstdint>
#include <string>

namespace tidegauge {

// 2026-11-26T01:32:32.123Z, cut to milliseconds: RFC 3339.
std::string utc_text(std::int64_t realtime_ns);

}  // namespace tidegauge
