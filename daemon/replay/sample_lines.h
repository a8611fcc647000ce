// SPDX-License-Identifier: Apache-2.0
#pragma once

// Text of our own exporter as families and samples. Dumps are made of it so that nothing in them can differ from
// what /metrics said: what collides is left out already, and values are the very characters.

#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "collectors/core/result.h"

namespace tidegauge::replay {

// Views into the text.
struct FamilyLines {
  std::string_view name;
  std::string_view help;  // escaped
  std::string_view type;
};

// on_family(FamilyLines) says whether its samples are wanted; on_sample(series, value) gets those, with the series
// as `name{a="b"}`.
template <class OnFamily, class OnSample>
void read_samples(std::string_view text, OnFamily&& on_family, OnSample&& on_sample) {
  constexpr std::string_view kHelp = "# HELP ";  // and as long: # TYPE
  FamilyLines family;
  bool wanted = false;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.starts_with('#')) {
      const std::size_t blank = wanted ? line.rfind(' ') : std::string_view::npos;
      if (blank != std::string_view::npos) {
        on_sample(line.substr(0, blank), line.substr(blank + 1));
      }
      continue;
    }
    const bool is_help = line.starts_with(kHelp);
    line.remove_prefix(std::min(line.size(), kHelp.size()));
    const std::size_t blank = std::min(line.find(' '), line.size());
    family.name = line.substr(0, blank);
    line.remove_prefix(std::min(blank + 1, line.size()));
    (is_help ? family.help : family.type) = line;
    if (!is_help) {
      wanted = on_family(std::as_const(family));
    }
  }
}

// `{a="b"}` in front of its braces and without them.
struct SeriesParts {
  std::string_view name;
  std::string_view labels;
};
SeriesParts series_parts(std::string_view series);

// --family: which families are wanted, by their whole name. Not thread-safe.
class FamilyMatcher {
 public:
  // "": all of them. The error says where the expression is wrong.
  static Result<FamilyMatcher> make(const std::string& expression);
  bool matches(std::string_view family);

 private:
  std::unique_ptr<const re2::RE2> expression_;  // null: all
  std::unordered_map<std::string, bool> known_;
};

}  // namespace tidegauge::replay
