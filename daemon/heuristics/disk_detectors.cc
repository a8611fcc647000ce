// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/detectors.h"

namespace tidegauge::heuristics {

void detect_disk_hung(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_disk_burst(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_iowait_unexplained(const DetectorInput& /*input*/, Findings& /*out*/) {}

}  // namespace tidegauge::heuristics
