// SPDX-License-Identifier: Apache-2.0
#pragma once

// /proc/cpuinfo, which every architecture writes in its own words (arch/*/kernel/: show_cpuinfo).

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/core/filter.h"
#include "collectors/procfs/refresh_timer.h"

namespace tidegauge {

// One logical CPU. Views into the text that was parsed; empty where the architecture has no such
// line.
struct CpuInfo {
  std::uint32_t cpu = 0;
  std::string_view package;
  std::string_view core;
  std::string_view vendor;
  std::string_view family;
  std::string_view model;
  std::string_view model_name;
  std::string_view microcode;
  std::string_view stepping;
  std::string_view cache_size;
  std::optional<double> frequency_mhz;
  std::string_view flags;  // blank-separated
  std::string_view bugs;
};

// Replaces `cpus`. Understands x86, arm, arm64, powerpc, riscv, s390, mips and loongarch.
Result<void> parse_cpuinfo(std::string_view text, std::vector<CpuInfo>& cpus);

// The info families of the collector cpu. The file names online CPUs only, and little of it ever
// changes, so it is read again only now and then: on x86 before 5.18 reading it interrupts every
// CPU and can sleep 10 ms (arch_freq_prepare_all).
class CpuInfoTables {
 public:
  // Flags and bugs are shown where a filter is given.
  CpuInfoTables(const KernelFiles& files, std::optional<NameFilter> flags,
                std::optional<NameFilter> bugs);

  // Appends the same number of tables each time.
  Result<void> collect(CollectContext& context, bool cpus_changed, Section& out);

  static void describe(std::vector<MetricDoc>& docs);

 private:
  Result<void> refresh(ReadBuffer& buffer);

  KernelFile file_;
  std::optional<NameFilter> flags_filter_;
  std::optional<NameFilter> bugs_filter_;
  RefreshTimer timer_{60 * kNsPerSecond};
  std::vector<CpuInfo> cpus_;
  ValueTable info_;
  ValueTable flags_;
  ValueTable bugs_;
  std::vector<Table> tables_;  // as of the last refresh
};

// node_exporter shows the clock rates of this file when both cpu.info and cpufreq are on. Here the
// family belongs to cpufreq; cpu holds one of these while its option is on.
struct CpuInfoWanted {
  explicit CpuInfoWanted(const std::string& /*path*/) {}
};
std::shared_ptr<CpuInfoWanted> want_cpu_info(const KernelFiles& files);
bool is_cpu_info_wanted(const KernelFiles& files);

}  // namespace tidegauge
