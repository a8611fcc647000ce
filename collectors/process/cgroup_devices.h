// SPDX-License-Identifier: Apache-2.0
#pragma once

// Names of block devices by number, as other metrics call them.

#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/process/cgroup_stats.h"

namespace tidegauge {

// Not thread-safe; belongs to one collector.
class CgroupDeviceNames {
 public:
  explicit CgroupDeviceNames(KernelFiles files) : files_(std::move(files)) {}

  // Numbers are given to other devices with time: forgets what it knew.
  void begin() { known_.clear(); }

  // The basename of sysfs dev/block/M:m, else the name in diskstats, else "M:m". Different numbers have
  // different names. The view lives until the next call.
  std::string_view name(const CgroupDevice& device);

 private:
  struct Known {
    CgroupDevice device;
    std::string name;
  };
  [[nodiscard]] std::string find(const CgroupDevice& device, std::string_view number) const;

  KernelFiles files_;
  std::vector<Known> known_;
};

}  // namespace tidegauge
