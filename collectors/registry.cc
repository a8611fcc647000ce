// SPDX-License-Identifier: Apache-2.0
#include "collectors/registry.h"

#include "collectors/block/diskstats.h"
#include "collectors/ebpf/block.h"
#include "collectors/ebpf/ebpf.h"
#include "collectors/ebpf/files.h"
#include "collectors/ebpf/memory.h"
#include "collectors/process/cgroup.h"
#include "collectors/process/process.h"
#include "collectors/procfs/buddyinfo.h"
#include "collectors/procfs/cgroups.h"
#include "collectors/procfs/cpu.h"
#include "collectors/procfs/cpufreq.h"
#include "collectors/procfs/filefd.h"
#include "collectors/procfs/files.h"
#include "collectors/procfs/filesystem.h"
#include "collectors/procfs/interrupts.h"
#include "collectors/procfs/kernel_hung.h"
#include "collectors/procfs/ksmd.h"
#include "collectors/procfs/loadavg.h"
#include "collectors/procfs/meminfo.h"
#include "collectors/procfs/meminfo_numa.h"
#include "collectors/procfs/netdev.h"
#include "collectors/procfs/os.h"
#include "collectors/procfs/pressure.h"
#include "collectors/procfs/processes.h"
#include "collectors/procfs/schedstat.h"
#include "collectors/procfs/self.h"
#include "collectors/procfs/slabinfo.h"
#include "collectors/procfs/softirqs.h"
#include "collectors/procfs/stat.h"
#include "collectors/procfs/sysctl.h"
#include "collectors/procfs/textfile.h"
#include "collectors/procfs/time.h"
#include "collectors/procfs/uname.h"
#include "collectors/procfs/vmstat.h"
#include "collectors/procfs/zoneinfo.h"

namespace tidegauge {

namespace {

// One row each, in the order of exposition.
// clang-format off
constexpr const CollectorInfo* kCollectors[] = {
    &kCpuCollector,
    &kStatCollector,
    &kLoadAvgCollector,
    &kMeminfoCollector,
    &kVmstatCollector,
    &kZoneinfoCollector,
    &kBuddyinfoCollector,
    &kPressureCollector,
    &kDiskstatsCollector,
    &kNetdevCollector,
    &kFilesystemCollector,
    &kMeminfoNumaCollector,
    &kSlabinfoCollector,
    &kKsmdCollector,
    &kSoftirqsCollector,
    &kInterruptsCollector,
    &kSchedstatCollector,
    &kCpufreqCollector,
    &kProcessesCollector,
    &kProcessCollector,
    &kCgroupCollector,
    &kEbpfBlockCollector,
    &kEbpfCollector,
    &kEbpfFilesCollector,
    &kEbpfMemoryCollector,
    &kFilefdCollector,
    &kSysctlCollector,
    &kCgroupsCollector,
    &kUnameCollector,
    &kOsCollector,
    &kTimeCollector,
    &kKernelHungCollector,
    &kTextfileCollector,
    &kFilesCollector,
    &kSelfCollector,
};
// clang-format on

}  // namespace

std::span<const CollectorInfo* const> all_collectors() { return kCollectors; }

const CollectorInfo* find_collector(std::string_view name) {
  for (const CollectorInfo* info : kCollectors) {
    if (info->name == name) {
      return info;
    }
  }
  return nullptr;
}

}  // namespace tidegauge
