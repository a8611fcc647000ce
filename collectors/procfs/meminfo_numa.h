// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/procfs/meminfo.h"

namespace tidegauge {

// /sys/devices/system/node/nodeN/meminfo (drivers/base/node.c, node_read_meminfo).
Result<void> parse_node_meminfo(std::string_view text, std::vector<MeminfoField>& out);

// One line of /sys/devices/system/node/nodeN/numastat (drivers/base/node.c, node_read_numastat).
struct NumastatField {
  std::string_view name;
  std::uint64_t allocations = 0;  // since boot; pages
};

Result<void> parse_node_numastat(std::string_view text, std::vector<NumastatField>& out);

extern const CollectorInfo kMeminfoNumaCollector;

}  // namespace tidegauge
