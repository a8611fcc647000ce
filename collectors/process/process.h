// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "collectors/core/collector.h"

namespace tidegauge {

// Who does it: groups of processes, the busiest processes, tasks that are stuck.
extern const CollectorInfo kProcessCollector;

}  // namespace tidegauge
