// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "collectors/core/collector.h"

namespace tidegauge {

// The wall clock, the daemon's time zone and the kernel's clock sources
// (/sys/devices/system/clocksource, kernel/time/clocksource.c).
extern const CollectorInfo kTimeCollector;

}  // namespace tidegauge
