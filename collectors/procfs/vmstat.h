// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// One line of /proc/vmstat (mm/vmstat.c): numbers of pages, counts of events and thresholds under
// names that differ by kernel. Use exact names, never sums over a prefix.
struct VmstatField {
  std::string_view name;
  std::uint64_t bits = 0;  // of an int64 when `is_negative`
  bool is_negative = false;
};

Result<void> parse_vmstat(std::string_view text, std::vector<VmstatField>& out);

extern const CollectorInfo kVmstatCollector;

}  // namespace tidegauge
