// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// A line of /proc/cgroups (kernel/cgroup/cgroup-v1.c, proc_cgroupstats_show).
struct CgroupController {
  std::string_view name;  // into the text
  std::uint64_t cgroups = 0;
  std::uint64_t enabled = 0;  // 1 unless the kernel command line has cgroup_disable=NAME
};

// Replaces what `out` holds; its names live as long as `text`.
Result<void> parse_cgroups(std::string_view text, std::vector<CgroupController>& out);

extern const CollectorInfo kCgroupsCollector;

}  // namespace tidegauge
