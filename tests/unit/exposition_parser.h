// SPDX-License-Identifier: Apache-2.0
#pragma once

// A strict reader of the text format, for tests: it refuses what Prometheus would refuse.

#include <map>
#include <string>
#include <string_view>

namespace tidegauge::testing {

struct ParsedFamily {
  std::string type;
  std::string help;
  std::map<std::string, double> series;  // canonical label text to value
};

struct ParsedExposition {
  std::string error;  // empty when all of it was fine
  std::map<std::string, ParsedFamily> families;
};

ParsedExposition parse_exposition(std::string_view text);

}  // namespace tidegauge::testing
