// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tidegauge {

// The candidate that was probably meant, or "": the same but for case and separators, a few typing
// errors away, or the same last part after a dot (`procfs` for `path.procfs`).
std::string suggest(std::string_view word, std::span<const std::string> candidates);

// `; did you mean "x"?`, or "" when nothing is near. `prefix` goes before the suggestion.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates,
                         std::string_view prefix = "");

}  // namespace tidegauge
