// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "collectors/core/collector.h"

namespace tidegauge {

// The system-wide lines of /proc/stat.
extern const CollectorInfo kStatCollector;

}  // namespace tidegauge
