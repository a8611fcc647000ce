// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "collectors/core/collector.h"

namespace tidegauge {

extern const CollectorInfo kEbpfFilesCollector;

}  // namespace tidegauge
