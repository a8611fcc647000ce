// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "collectors/core/filter.h"

namespace tidegauge {

// A filter whose exclude expression has a default. As in node_exporter, an include expression alone
// switches that default off; only an exclude expression of the user's own clashes with it.
inline Result<NameFilter> filter_with_default(std::string_view include, std::string_view exclude,
                                              std::string_view default_exclude,
                                              std::string_view stem) {
  const bool untouched = !include.empty() && exclude == default_exclude;
  return NameFilter::make(include, untouched ? std::string_view{} : exclude, stem);
}

}  // namespace tidegauge
