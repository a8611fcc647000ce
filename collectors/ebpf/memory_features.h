// SPDX-License-Identifier: Apache-2.0
#pragma once

// What of bpf/memory.bpf.c is loaded, shed and told apart: names of a ProgramSet's features.

#include <string_view>

namespace tidegauge::memory_feature {

inline constexpr std::string_view kReclaim = "reclaim";
inline constexpr std::string_view kCompaction = "compaction";
inline constexpr std::string_view kKswapd = "kswapd";
inline constexpr std::string_view kDirtyThrottle = "dirty_throttle";
inline constexpr std::string_view kOom = "oom";
inline constexpr std::string_view kPageCache = "page_cache";
inline constexpr std::string_view kPageCacheReads = "page_cache_reads";
inline constexpr std::string_view kMajorFaults = "major_faults";

}  // namespace tidegauge::memory_feature
