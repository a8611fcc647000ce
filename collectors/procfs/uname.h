// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "collectors/core/collector.h"

namespace tidegauge {

// uname(2) of the daemon's own UTS namespace; reads no file.
extern const CollectorInfo kUnameCollector;

}  // namespace tidegauge
