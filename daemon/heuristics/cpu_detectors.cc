// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/detectors.h"

namespace tidegauge::heuristics {

void detect_cpu_single_saturated(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_cpu_contention(const DetectorInput& /*input*/, Findings& /*out*/) {}

}  // namespace tidegauge::heuristics
