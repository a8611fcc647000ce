// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// A line of /proc/diskstats (block/genhd.c diskstats_show, Documentation/admin-guide/iostats.rst).
// 14 fields up to 4.17, 18 with discards since 4.18 (bdca3c87fb7a), 20 with flushes since 5.5
// (b6866318657717). Sectors are 512 bytes whatever the device says. The kernel prints the
// milliseconds as unsigned int even on 64-bit machines, so they wrap at 2^32: see DiskTimes.
struct DiskStats {
  std::string_view name;  // in the parsed text
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint64_t reads_completed = 0;
  std::uint64_t reads_merged = 0;
  std::uint64_t read_sectors = 0;
  std::uint64_t read_time_ms = 0;
  std::uint64_t writes_completed = 0;
  std::uint64_t writes_merged = 0;
  std::uint64_t written_sectors = 0;
  std::uint64_t write_time_ms = 0;
  std::uint64_t in_progress = 0;
  std::uint64_t io_time_ms = 0;
  std::uint64_t weighted_io_time_ms = 0;
  std::optional<std::uint64_t> discards_completed;
  std::optional<std::uint64_t> discards_merged;
  std::optional<std::uint64_t> discarded_sectors;
  std::optional<std::uint64_t> discard_time_ms;
  std::optional<std::uint64_t> flushes_completed;
  std::optional<std::uint64_t> flush_time_ms;
};

// Fills `out`, whose names point into `text`. No line at all is no error here.
Result<void> parse_diskstats(std::string_view text, std::vector<DiskStats>& out);

extern const CollectorInfo kDiskstatsCollector;

}  // namespace tidegauge
