// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "collectors/core/collector.h"

namespace tidegauge {

// Requests of block devices by BPF: their time in the queue and on the device, and whose they are.
extern const CollectorInfo kEbpfBlockCollector;

}  // namespace tidegauge
