// SPDX-License-Identifier: Apache-2.0
#pragma once

// Verdicts as JSON: what /api/v1/verdicts answers and what `tidegauge why` is made of. docs/verdicts.md describes it.
// ASCII, every text of valid characters and limited, and the whole document too.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "daemon/heuristics/assess.h"
#include "daemon/heuristics/verdict.h"

namespace tidegauge::heuristics {

// Well below what clients of the daemon take.
inline constexpr std::size_t kMaxReportBytes = std::size_t{700} << 10U;

// One verdict with everything there is to say about it.
nlohmann::ordered_json verdict_json(const Verdict& verdict);

// Verdicts in this order; those that would make it too long come without their lists ("is_short"), and from some
// number on not at all. `bytes` is what may be used, and becomes less.
nlohmann::ordered_json verdicts_json(const std::vector<const Verdict*>& verdicts,
                                     std::size_t& bytes);

// Everything but the verdicts: host, kernel, time, severity, headroom, what could not be checked.
nlohmann::ordered_json report_frame(const Report& report);

nlohmann::ordered_json report_json(const Report& report);

// As text: ASCII, a newline at the end.
std::string json_text(const nlohmann::ordered_json& json);

}  // namespace tidegauge::heuristics
