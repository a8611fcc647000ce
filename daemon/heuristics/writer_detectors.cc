// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/detectors.h"

namespace tidegauge::heuristics {

void detect_dirty_throttling(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_writer_stalled_in_kernel(const DetectorInput& /*input*/, Findings& /*out*/) {}

}  // namespace tidegauge::heuristics
