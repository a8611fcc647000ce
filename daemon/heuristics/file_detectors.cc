// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/detectors.h"

namespace tidegauge::heuristics {

void detect_sync_bound_process(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_temp_file_churn(const DetectorInput& /*input*/, Findings& /*out*/) {}

}  // namespace tidegauge::heuristics
