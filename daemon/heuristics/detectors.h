// SPDX-License-Identifier: Apache-2.0
#pragma once

// One function per verdict: whether its condition holds at this tick, and if so everything there is to say. Pure.
// What a detector cannot know it says in Finding::unchecked. A finding that does not last long enough becomes no
// verdict (Conditions), so detectors look at short windows and keep nothing.

#include <span>

#include "daemon/heuristics/scene.h"
#include "daemon/heuristics/thresholds.h"
#include "daemon/heuristics/verdict.h"

namespace tidegauge::heuristics {

struct MemoryReading;  // watermarks, kswapd, fragmentation: reclaim_model.h

struct DetectorInput {
  const Scene& scene;
  const MemoryReading& memory;
  const Thresholds& limits;
};

using Detector = void (*)(const DetectorInput& input, Findings& out);

// memory_detectors.cc, reclaim_detectors.cc
void detect_page_cache_thrash(const DetectorInput& input, Findings& out);
void detect_memory_watermark_pressure(const DetectorInput& input, Findings& out);
void detect_direct_reclaim_stall(const DetectorInput& input, Findings& out);
void detect_memory_fragmentation(const DetectorInput& input, Findings& out);
void detect_swap_thrash(const DetectorInput& input, Findings& out);
void detect_memory_leak_suspected(const DetectorInput& input, Findings& out);
void detect_oom_risk(const DetectorInput& input, Findings& out);
void detect_oom_kill(const DetectorInput& input, Findings& out);
void detect_cgroup_memory_limit(const DetectorInput& input, Findings& out);
// disk_detectors.cc, file_detectors.cc
void detect_dirty_throttling(const DetectorInput& input, Findings& out);
void detect_disk_saturated(const DetectorInput& input, Findings& out);
void detect_disk_hung(const DetectorInput& input, Findings& out);
void detect_disk_burst(const DetectorInput& input, Findings& out);
void detect_sync_bound_process(const DetectorInput& input, Findings& out);
void detect_temp_file_churn(const DetectorInput& input, Findings& out);
void detect_writer_stalled_in_kernel(const DetectorInput& input, Findings& out);
// cpu_detectors.cc
void detect_cpu_single_saturated(const DetectorInput& input, Findings& out);
void detect_cpu_contention(const DetectorInput& input, Findings& out);
// Sees what the others found.
void detect_iowait_unexplained(const DetectorInput& input, Findings& out);

// In the order in which they run: those that look at the others' findings last.
std::span<const Detector> all_detectors();

}  // namespace tidegauge::heuristics
