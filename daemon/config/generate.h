// SPDX-License-Identifier: Apache-2.0
#pragma once

// Documentation made of the tables that the parsers use, so it cannot be wrong.

#include <string>

#include "daemon/config/config.h"

namespace tidegauge {

// config/tidegauge.yaml: every key, its default, its meaning. Read as a configuration it sets exactly
// the defaults. A test compares the file in the tree; `tidegauge config-reference` prints it anew.
std::string reference_yaml(CollectorRegistry registry);

// What `tidegauge help` and --help print.
std::string help_text(CollectorRegistry registry);

}  // namespace tidegauge
