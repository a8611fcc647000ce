// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the collector cpu shows of /sys/devices/system/cpu: CPUs online, isolated, throttled.

#include <cstdint>
#include <string>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/procfs/refresh_timer.h"

namespace tidegauge {

// Read every few seconds and whenever the CPUs of /proc/stat change, which is how a hotplug shows;
// a file per CPU would cost more than all of /proc/stat on each tick. Not thread-safe.
class CpuSysfs {
 public:
  explicit CpuSysfs(const KernelFiles& files);

  // Appends the same number of tables each time. A machine without the directory has no rows.
  Result<void> collect(CollectContext& context, bool cpus_changed, Section& out);

  static void describe(std::vector<MetricDoc>& docs);

 private:
  // A file and the labels of its value.
  struct Source {
    std::string path;
    std::string package;
    std::string core;  // or the CPU's number
  };

  Result<void> plan();
  Result<void> plan_throttles(const std::vector<std::string>& cpus);
  Result<void> refresh(ReadBuffer& buffer);
  Result<void> read_online(ReadBuffer& buffer);
  Result<void> read_isolated(ReadBuffer& buffer);
  Result<void> read_throttles(ReadBuffer& buffer);

  std::string directory_;
  RefreshTimer plan_timer_{60 * kNsPerSecond};
  RefreshTimer timer_{5 * kNsPerSecond};
  std::vector<Source> online_sources_;
  std::vector<Source> core_sources_;
  std::vector<Source> package_sources_;
  std::vector<std::uint32_t> isolated_cpus_;
  ValueTable online_;
  ValueTable isolated_;
  ValueTable core_throttles_;
  ValueTable package_throttles_;
  std::vector<Table> tables_;  // as of the last refresh
};

}  // namespace tidegauge
