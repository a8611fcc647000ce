// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/detectors.h"

namespace tidegauge::heuristics {

void detect_page_cache_thrash(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_memory_watermark_pressure(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_direct_reclaim_stall(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_memory_fragmentation(const DetectorInput& /*input*/, Findings& /*out*/) {}

void detect_swap_thrash(const DetectorInput& /*input*/, Findings& /*out*/) {}

}  // namespace tidegauge::heuristics
