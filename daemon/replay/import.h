// SPDX-License-Identifier: Apache-2.0
#pragma once

// A recording made of old captures: the collectors read what was captured at each moment as if it were now.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/config/command_flags.h"
#include "daemon/config/config.h"
#include "daemon/replay/capture.h"

namespace tidegauge {

struct ImportReport {
  std::uint64_t moments = 0;
  std::int64_t first_realtime_ns = 0;
  std::int64_t last_realtime_ns = 0;
  bool is_clean = true;  // nothing was captured that could not be used
  // At how many moments each collector had something to say, in registry order; those that never had are left out.
  std::vector<std::pair<std::string_view, std::uint64_t>> sections;
};

// Runs the collectors that read nothing but captured files, with the options of `config`. `is_interrupted` ends it at
// the next moment. On an error there is no file.
ConfigResult<ImportReport> import_capture(const ImportOptions& options, Config config,
                                          const ImportTell& tell,
                                          const std::function<bool()>& is_interrupted = {});

}  // namespace tidegauge
