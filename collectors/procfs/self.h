// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "collectors/core/collector.h"

namespace tidegauge {

// The daemon's own process_* metrics, as Prometheus client libraries name them. Reads the real
// /proc/self whatever root is injected: it is about this process.
extern const CollectorInfo kSelfCollector;

}  // namespace tidegauge
