// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/detectors.h"

namespace tidegauge::heuristics {

namespace {

constexpr Detector kDetectors[] = {
    detect_page_cache_thrash,
    detect_memory_watermark_pressure,
    detect_direct_reclaim_stall,
    detect_memory_fragmentation,
    detect_swap_thrash,
    detect_memory_leak_suspected,
    detect_oom_risk,
    detect_oom_kill,
    detect_cgroup_memory_limit,
    detect_dirty_throttling,
    detect_disk_saturated,
    detect_disk_hung,
    detect_disk_burst,
    detect_sync_bound_process,
    detect_temp_file_churn,
    detect_writer_stalled_in_kernel,
    detect_cpu_single_saturated,
    detect_cpu_contention,
    detect_iowait_unexplained,
};

}  // namespace

std::span<const Detector> all_detectors() { return kDetectors; }

}  // namespace tidegauge::heuristics
