// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// MAX_ORDER is 11 (10 on some builds, 14 with 64 KiB pages); nothing comes near this.
inline constexpr std::size_t kMaxBuddyOrders = 32;

// One line of /proc/buddyinfo (mm/vmstat.c, frag_show_print): free blocks of 2^order pages.
struct BuddyZone {
  std::string_view node;  // both names point into the parsed text
  std::string_view zone;
  std::array<std::uint64_t, kMaxBuddyOrders> free_blocks{};
  std::size_t orders = 0;  // the same in every zone
};

Result<void> parse_buddyinfo(std::string_view text, std::vector<BuddyZone>& out);

extern const CollectorInfo kBuddyinfoCollector;

}  // namespace tidegauge
