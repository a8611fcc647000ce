// SPDX-License-Identifier: Apache-2.0
#pragma once

// The section heuristics: a key for each threshold, made of the thresholds' own table.

#include <string>
#include <vector>

#include "daemon/config/settings.h"

namespace tidegauge {

std::vector<Setting> heuristics_settings();

}  // namespace tidegauge
