// SPDX-License-Identifier: Apache-2.0
#pragma once

// Every collector of this build, one row each, in the order of exposition.

#include <span>
#include <string_view>

#include "collectors/core/collector.h"

namespace tidegauge {

std::span<const CollectorInfo* const> all_collectors();

// Null when there is no collector of that name.
const CollectorInfo* find_collector(std::string_view name);

}  // namespace tidegauge
