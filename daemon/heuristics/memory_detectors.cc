// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/detectors.h"

namespace tidegauge::heuristics {

void detect_memory_leak_suspected(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_oom_risk(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_oom_kill(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_cgroup_memory_limit(const DetectorInput& /*input*/, Findings& /*out*/) {}

}  // namespace tidegauge::heuristics
