// SPDX-License-Identifier: Apache-2.0
#pragma once

// A configuration file's text into the builder's file layer. Strict: an unknown key, a value of the
// wrong type or out of range ends it. The error is one line:
//
//   tidegauge.yaml:12:5: web.max_requests: expected an integer from 0 to 100000, got "many"

#include <string_view>

#include "daemon/config/builder.h"

namespace tidegauge {

// `file` is the name in messages. An empty text sets nothing.
ConfigResult<void> apply_yaml(std::string_view text, std::string_view file,
                              CollectorRegistry registry, ConfigBuilder& builder);

}  // namespace tidegauge
