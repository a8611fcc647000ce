// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// One line of /proc/slabinfo, version 2.1 (mm/slab_common.c, cache_show). The file's mode is 0400.
struct Slab {
  std::string_view name;  // into the parsed text; two caches may bear the same
  std::uint64_t active_objects = 0;
  std::uint64_t objects = 0;
  std::uint64_t object_size_bytes = 0;
  std::uint64_t objects_per_slab = 0;
  std::uint64_t pages_per_slab = 0;
};

Result<void> parse_slabinfo(std::string_view text, std::vector<Slab>& out);

extern const CollectorInfo kSlabinfoCollector;

}  // namespace tidegauge
