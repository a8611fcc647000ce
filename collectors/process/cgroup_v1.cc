// SPDX-License-Identifier: Apache-2.0

// Files of v1 controllers (Documentation/admin-guide/cgroup-v1).

#include <array>

#include "collectors/core/text.h"
#include "collectors/process/cgroup_files_parse.h"

namespace tidegauge {

namespace {

using S = CgroupStats;

constexpr std::uint64_t kNsPerTick = 10'000'000;  // USER_HZ is 100

// PAGE_COUNTER_MAX pages are the largest multiple of the page size below 2^63; before 3.19 the limit
// was 2^63 - 1. Nobody has a machine that comes near.
constexpr std::uint64_t kUnlimitedBytes = (std::uint64_t{1} << 63) - (1U << 20);

template <auto Member>
Result<void> parse_value(std::string_view text, CgroupSample& out) {
  const auto value = parse_cgroup_value("cgroup", text);
  if (!value) {
    return tl::make_unexpected(value.error());
  }
  out.stats.*Member = *value;
  return {};
}

// 9223372036854771712
template <auto Member>
Result<void> parse_limit(std::string_view text, CgroupSample& out) {
  const auto value = parse_cgroup_value("limit_in_bytes", text);
  if (!value) {
    return tl::make_unexpected(value.error());
  }
  if (*value && **value < kUnlimitedBytes) {
    out.stats.*Member = *value;
  }
  return {};
}

// cache 778240
// total_cache 1026777088        with descendants
// total_rss 682627072           anonymous, whatever its name says
// total_swap 0                  with swap accounting
// Refaults are left out: 5.9 and its successors print bytes here, later kernels pages.
Result<void> parse_memory_stat(std::string_view text, CgroupSample& out) {
  constexpr std::array kKeys{
      CgroupKey{"total_cache", &S::file_bytes},  CgroupKey{"total_rss", &S::anon_bytes},
      CgroupKey{"total_shmem", &S::shmem_bytes}, CgroupKey{"total_mapped_file", &S::mapped_bytes},
      CgroupKey{"total_dirty", &S::dirty_bytes}, CgroupKey{"total_writeback", &S::writeback_bytes},
      CgroupKey{"total_swap", &S::swap_bytes},   CgroupKey{"total_pgmajfault", &S::major_faults},
  };
  return parse_cgroup_keys("memory.stat", text, kKeys, out.stats);
}

// oom_kill_disable 0
// under_oom 0
// oom_kill 0          since 4.13
Result<void> parse_oom_control(std::string_view text, CgroupSample& out) {
  std::uint64_t ignored = 0;
  bool known = false;
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    const std::string_view name = next_field(line);
    const auto value = next_unsigned(line);
    if (!value || !next_field(line).empty()) {
      return malformed("memory.oom_control", lines.number(), "a name and a number");
    }
    known = known || name == "under_oom";
    (name == "oom_kill" ? out.stats.oom_kills.emplace() : ignored) = *value;
  }
  if (!known) {
    return malformed("memory.oom_control", 0, "under_oom");
  }
  return {};
}

// nr_periods 0
// nr_throttled 0
// throttled_time 0    nanoseconds
Result<void> parse_cpu_stat(std::string_view text, CgroupSample& out) {
  constexpr std::array kKeys{
      CgroupKey{"nr_periods", &S::periods},
      CgroupKey{"nr_throttled", &S::throttled_periods},
      CgroupKey{"throttled_time", &S::throttled_ns},
  };
  return parse_cgroup_keys("cpu.stat", text, kKeys, out.stats);
}

// Microseconds; -1 without a quota. Becomes CPUs when the period has been read.
Result<void> parse_quota(std::string_view text, CgroupSample& out) {
  const auto quota_us = parse_signed(trim(text));
  if (!quota_us || *quota_us < -1) {
    return malformed("cpu.cfs_quota_us", 1, "microseconds or -1");
  }
  if (*quota_us >= 0) {
    out.v1_quota_us = static_cast<std::uint64_t>(*quota_us);
  }
  return {};
}

Result<void> parse_period(std::string_view text, CgroupSample& out) {
  const auto period_us = parse_unsigned(trim(text));
  if (!period_us || *period_us == 0) {
    return malformed("cpu.cfs_period_us", 1, "microseconds");
  }
  if (out.v1_quota_us) {
    out.stats.quota_cpus = static_cast<double>(*out.v1_quota_us) / static_cast<double>(*period_us);
  }
  return {};
}

// user 91749
// system 13217
Result<void> parse_cpuacct_stat(std::string_view text, CgroupSample& out) {
  constexpr std::array kKeys{
      CgroupKey{"user", &S::user_ns, kNsPerTick},
      CgroupKey{"system", &S::system_ns, kNsPerTick},
  };
  return parse_cgroup_keys("cpuacct.stat", text, kKeys, out.stats);
}

using IoMember = std::optional<std::uint64_t> CgroupIo::*;

// 8:0 Read 4096
// 8:0 Write 0
// 8:0 Sync 4096
// 8:0 Async 0
// 8:0 Discard 0       since 4.18
// 8:0 Total 4096
// Total 4096
template <auto Read, auto Write, auto Discard>
Result<void> parse_blkio(std::string_view text, CgroupSample& out) {
  constexpr std::string_view kWanted = "major:minor, an operation and a number";
  bool total = false;
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    const std::string_view first = next_field(line);
    total = first == "Total";
    const auto device = parse_cgroup_device(first);
    const std::string_view operation = total ? first : next_field(line);
    const auto value = next_unsigned(line);
    if ((!device && !total) || !value || !next_field(line).empty()) {
      return malformed("blkio", lines.number(), kWanted);
    }
    const IoMember member = operation == "Read"      ? Read
                            : operation == "Write"   ? Write
                            : operation == "Discard" ? Discard
                                                     : nullptr;
    if (total || member == nullptr) {
      continue;
    }
    if (CgroupIo* const io = find_cgroup_device(out, *device)) {
      io->*member = *value;
    } else if (operation == "Read") {
      ++out.devices_left_out;
    }
  }
  if (!total) {
    return malformed("blkio", 0, "a total at the end");
  }
  return {};
}

constexpr CgroupParser kParseBytes =
    parse_blkio<&CgroupIo::read_bytes, &CgroupIo::written_bytes, &CgroupIo::discarded_bytes>;

// The devices beyond the bound were counted with their bytes.
Result<void> parse_operations(std::string_view text, CgroupSample& out) {
  const std::uint64_t counted = out.devices_left_out;
  auto done = parse_blkio<&CgroupIo::reads, &CgroupIo::writes, &CgroupIo::discards>(text, out);
  out.devices_left_out = counted;
  return done;
}

}  // namespace

std::span<const CgroupFile> cgroup_v1_files() {
  static constexpr std::array kFiles{
      CgroupFile{"memory.usage_in_bytes", kCgroupMemory, parse_value<&S::memory_bytes>},
      CgroupFile{"memory.stat", kCgroupMemory, parse_memory_stat},
      CgroupFile{"memory.limit_in_bytes", kCgroupMemory, parse_limit<&S::memory_limit_bytes>},
      CgroupFile{"memory.memsw.limit_in_bytes", kCgroupMemory,
                 parse_limit<&S::memory_and_swap_limit_bytes>},
      CgroupFile{"memory.kmem.usage_in_bytes", kCgroupMemory, parse_value<&S::kernel_bytes>},
      CgroupFile{"memory.kmem.tcp.usage_in_bytes", kCgroupMemory, parse_value<&S::sock_bytes>},
      CgroupFile{"memory.failcnt", kCgroupMemory, parse_value<&S::max_events>},
      CgroupFile{"memory.oom_control", kCgroupMemory, parse_oom_control},
      CgroupFile{"cpu.stat", kCgroupCpu, parse_cpu_stat},
      CgroupFile{"cpu.cfs_quota_us", kCgroupCpu, parse_quota},
      CgroupFile{"cpu.cfs_period_us", kCgroupCpu, parse_period},
      CgroupFile{"cpuacct.usage", kCgroupCpuAcct, parse_value<&S::usage_ns>},
      CgroupFile{"cpuacct.stat", kCgroupCpuAcct, parse_cpuacct_stat},
      CgroupFile{"blkio.throttle.io_service_bytes_recursive", kCgroupBlkio, kParseBytes,
                 "blkio.throttle.io_service_bytes"},
      CgroupFile{"blkio.throttle.io_serviced_recursive", kCgroupBlkio, parse_operations,
                 "blkio.throttle.io_serviced"},
      CgroupFile{"pids.current", kCgroupPids, parse_value<&S::pids>},
      CgroupFile{"pids.max", kCgroupPids, parse_value<&S::pids_limit>},
  };
  return kFiles;
}

}  // namespace tidegauge
