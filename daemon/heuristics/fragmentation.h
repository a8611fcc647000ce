// SPDX-License-Identifier: Apache-2.0
#pragma once

// Whether a large allocation would fail for want of memory or for want of pieces that lie together: the two
// indices of mm/vmstat.c (fragmentation_index, unusable_free_index), which the kernel itself shows only in debugfs.
// Both are made of the number of free blocks per order, as in /proc/buddyinfo; blocks of all kinds (unmovable,
// CMA, reserved for atomic allocations) count alike there, so a suitable one may not be for everybody.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collectors/core/section.h"
#include "daemon/heuristics/reclaim_cells.h"

namespace tidegauge::heuristics {

struct OrderFragmentation {
  // Thousandths, as the kernel rounds. -1000: a free block is large enough, an allocation of the order would not
  // fail. Else from 0, there is too little memory, to 1000, there is enough and it lies in pieces. 0 too when
  // nothing is free. (Between -1000 and 0 when hardly anything is.)
  int fragmentation_index = 0;
  // Thousandths of the free memory that lie in blocks too small for the order. 1000 when nothing is free.
  int unusable_free_index = 0;
};

// `free_blocks[i]`: free blocks of 2^i pages. One result per order; none when a number is beyond belief.
bool measure_fragmentation(std::span<const std::uint64_t> free_blocks,
                           std::vector<OrderFragmentation>& out);

struct ZoneFragmentation {
  std::string node;
  std::string zone;
  std::vector<OrderFragmentation> orders;    // by order; empty when unknown
  std::optional<std::size_t> largest_order;  // with a free block; absent when nothing is free
};

// Reads the buddyinfo collector's Section. Keeps where things stand; not thread-safe.
class FragmentationReader {
 public:
  void read(const Section& section, std::vector<ZoneFragmentation>& zones);

 private:
  void resolve(const Section& section, std::vector<ZoneFragmentation>& zones);

  SectionShapes shapes_;
  std::size_t table_ = 0;
  std::vector<std::size_t> rows_;
  std::vector<std::size_t> columns_;  // by order
  std::vector<std::uint64_t> blocks_;
};

}  // namespace tidegauge::heuristics
