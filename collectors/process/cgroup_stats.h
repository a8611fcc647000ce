// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the files of one cgroup say, v1 and v2 alike: cumulative, descendants included unless said
// otherwise. Absent is what the kernel, the controller or a limit lacks. Units are in the names; CPU
// times are nanoseconds because v2 counts microseconds and v1 nanoseconds and ticks.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "collectors/core/column.h"

namespace tidegauge {

struct CgroupStats {
  using Number = std::optional<std::uint64_t>;

  Number memory_bytes;
  Number anon_bytes;
  Number file_bytes;  // page cache, shmem included
  Number shmem_bytes;
  Number mapped_bytes;
  Number kernel_bytes;
  Number slab_reclaimable_bytes;
  Number slab_unreclaimable_bytes;
  Number sock_bytes;
  Number dirty_bytes;
  Number writeback_bytes;
  Number swap_bytes;
  Number memory_limit_bytes;  // of this cgroup; an ancestor's may be lower
  Number memory_high_bytes;
  Number swap_limit_bytes;             // v2
  Number memory_and_swap_limit_bytes;  // v1
  Number low_events;
  Number high_events;
  Number max_events;  // v1: memory.failcnt, own
  Number oom_events;
  Number oom_kills;
  Number major_faults;
  Number anon_refaults;  // pages; v2 only, because some kernels count bytes on v1
  Number file_refaults;
  Number scanned_pages;
  Number stolen_pages;

  Number usage_ns;
  Number user_ns;
  Number system_ns;
  Number periods;  // this and the next two: own
  Number throttled_periods;
  Number throttled_ns;
  std::optional<double> quota_cpus;

  Number cpu_waiting_us;
  Number io_waiting_us;
  Number memory_waiting_us;
  Number cpu_stalled_us;
  Number io_stalled_us;
  Number memory_stalled_us;

  Number pids;
  Number pids_limit;
};

struct CgroupDevice {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  friend bool operator==(const CgroupDevice&, const CgroupDevice&) = default;
};

struct CgroupIo {
  using Number = std::optional<std::uint64_t>;

  CgroupDevice device;
  Number read_bytes;
  Number written_bytes;
  Number discarded_bytes;
  Number reads;
  Number writes;
  Number discards;
};

// A software RAID of hundreds of disks must not make a thousand series of every cgroup.
inline constexpr std::size_t kMaxCgroupDevices = 64;

struct CgroupSample {
  CgroupStats stats;
  std::vector<CgroupIo> io;
  std::uint64_t devices_left_out = 0;        // beyond kMaxCgroupDevices
  std::optional<std::uint64_t> v1_quota_us;  // until the file with its period is read

  void clear() {  // keeps the memory
    stats = {};
    io.clear();
    devices_left_out = 0;
    v1_quota_us.reset();
  }
};

extern const std::span<const Column<CgroupStats>> kCgroupStatsColumns;
extern const std::span<const Column<CgroupIo>> kCgroupIoColumns;

}  // namespace tidegauge
