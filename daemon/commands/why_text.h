// SPDX-License-Identifier: Apache-2.0
#pragma once

// What `tidegauge why` prints, made of the JSON document that daemon/heuristics/verdict_json.h describes. Whatever
// stands in the document, nothing but printable characters leaves here, in lines of 80 columns at most.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "daemon/commands/terminal_text.h"

namespace tidegauge {

// Whether it has the parts without which it says nothing.
bool is_why_report(const nlohmann::ordered_json& report);

// A report of a daemon, or what was found in a recording (it has "found"). `all`: everything about each verdict, else
// about the most important one alone.
std::string why_text(const nlohmann::ordered_json& report, bool all, Charset charset);

// 0: nothing is wrong; 1: something is, of severity warning at least.
int why_exit_code(const nlohmann::ordered_json& report);

// "7.2 s", "45 s", "3 min 20 s", "5 h 12 min", "3 days 4 h".
std::string span_text(double seconds);

}  // namespace tidegauge
