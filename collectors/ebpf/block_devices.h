// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which block devices there are, by the kernel's numbers (major << 20 | minor).

#include <tsl/robin_map.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bpf/block_records.h"
#include "collectors/block/diskstats.h"
#include "collectors/core/kernel_files.h"

namespace tidegauge {

// Not thread-safe.
class BlockDevices {
 public:
  explicit BlockDevices(const KernelFiles& files);

  // Once per pass.
  Result<void> refresh(ReadBuffer& buffer);
  // Whether this number still has this name. Of hidden disks nothing tells.
  [[nodiscard]] bool is_present(std::uint32_t number, std::string_view name) const;
  // Reads, writes and discards that it has, by the kernel's count at the last refresh; none when the kernel does
  // not count for it (queue/iostats).
  [[nodiscard]] std::optional<std::uint64_t> in_progress(std::uint32_t number) const;
  // The disks that a file system on this device writes to: that of a partition, and those below dm and md,
  // which have the requests. Asked of sysfs once.
  const std::vector<std::uint32_t>& disks_below(std::uint32_t number);

 private:
  void find_below(std::uint32_t number, int depth, std::vector<std::uint32_t>& out);
  std::optional<std::uint32_t> read_number(const std::string& path);

  KernelFiles files_;
  KernelFile diskstats_;
  std::vector<DiskStats> parsed_;
  ReadBuffer small_;
  tsl::robin_map<std::uint32_t, std::string> names_;
  tsl::robin_map<std::uint32_t, std::vector<std::uint32_t>> below_;
};

// "254:0\n"
std::optional<std::uint32_t> parse_device_number(std::string_view text);

}  // namespace tidegauge
