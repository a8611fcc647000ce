// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "collectors/core/collector.h"

namespace tidegauge {

// Size, time and content hash of named files, so that a fleet can be asked which hosts have another
// /etc/resolv.conf than the rest. Never follows a path out of the rootfs, never shows content.
extern const CollectorInfo kFilesCollector;

}  // namespace tidegauge
