// SPDX-License-Identifier: Apache-2.0

// Files of the unified hierarchy (Documentation/admin-guide/cgroup-v2.rst). Those of a controller that
// is not enabled for a cgroup are not there, and the root has few of them.

#include <array>

#include "collectors/core/text.h"
#include "collectors/process/cgroup_files_parse.h"
#include "collectors/procfs/pressure.h"

namespace tidegauge {

namespace {

using S = CgroupStats;

constexpr std::uint64_t kNsPerUs = 1000;

template <auto Member>
Result<void> parse_value(std::string_view text, CgroupSample& out) {
  const auto value = parse_cgroup_value("cgroup", text);
  if (!value) {
    return tl::make_unexpected(value.error());
  }
  out.stats.*Member = *value;
  return {};
}

// anon 10485760
// file 4194304
// kernel 262144                 since 5.18
// workingset_refault_anon 12    since 5.9, before that one workingset_refault
// pgscan 4096                   of all reclaim; pgscan_kswapd and kin are parts of it
Result<void> parse_memory_stat(std::string_view text, CgroupSample& out) {
  constexpr std::array kKeys{
      CgroupKey{"anon", &S::anon_bytes},
      CgroupKey{"file", &S::file_bytes},
      CgroupKey{"kernel", &S::kernel_bytes},
      CgroupKey{"sock", &S::sock_bytes},
      CgroupKey{"shmem", &S::shmem_bytes},
      CgroupKey{"file_mapped", &S::mapped_bytes},
      CgroupKey{"file_dirty", &S::dirty_bytes},
      CgroupKey{"file_writeback", &S::writeback_bytes},
      CgroupKey{"slab_reclaimable", &S::slab_reclaimable_bytes},
      CgroupKey{"slab_unreclaimable", &S::slab_unreclaimable_bytes},
      // Only the page cache was watched in its day.
      CgroupKey{"workingset_refault", &S::file_refaults},
      CgroupKey{"workingset_refault_anon", &S::anon_refaults},
      CgroupKey{"workingset_refault_file", &S::file_refaults},
      CgroupKey{"pgscan", &S::scanned_pages},
      CgroupKey{"pgsteal", &S::stolen_pages},
      CgroupKey{"pgmajfault", &S::major_faults},
  };
  return parse_cgroup_keys("memory.stat", text, kKeys, out.stats);
}

// low 0
// high 12
// max 3
// oom 1
// oom_kill 1
Result<void> parse_memory_events(std::string_view text, CgroupSample& out) {
  constexpr std::array kKeys{
      CgroupKey{"low", &S::low_events},     CgroupKey{"high", &S::high_events},
      CgroupKey{"max", &S::max_events},     CgroupKey{"oom", &S::oom_events},
      CgroupKey{"oom_kill", &S::oom_kills},
  };
  return parse_cgroup_keys("memory.events", text, kKeys, out.stats);
}

// usage_usec 1047000
// user_usec 915000
// system_usec 132000
// nr_periods 10          this and what follows: with the controller, not in the root
// nr_throttled 2
// throttled_usec 5000
Result<void> parse_cpu_stat(std::string_view text, CgroupSample& out) {
  constexpr std::array kKeys{
      CgroupKey{"usage_usec", &S::usage_ns, kNsPerUs},
      CgroupKey{"user_usec", &S::user_ns, kNsPerUs},
      CgroupKey{"system_usec", &S::system_ns, kNsPerUs},
      CgroupKey{"nr_periods", &S::periods},
      CgroupKey{"nr_throttled", &S::throttled_periods},
      CgroupKey{"throttled_usec", &S::throttled_ns, kNsPerUs},
  };
  return parse_cgroup_keys("cpu.stat", text, kKeys, out.stats);
}

// 150000 100000
// max 100000
Result<void> parse_cpu_max(std::string_view text, CgroupSample& out) {
  std::string_view rest = text.substr(0, text.find('\n'));
  const std::string_view quota_field = next_field(rest);
  const auto quota = parse_unsigned(quota_field);
  const auto period = next_unsigned(rest);
  if ((!quota && quota_field != "max") || !period || *period == 0 || !next_field(rest).empty()) {
    return malformed("cpu.max", 1, "quota or max, and a period");
  }
  if (quota) {
    out.stats.quota_cpus = static_cast<double>(*quota) / static_cast<double>(*period);
  }
  return {};
}

struct IoKey {
  std::string_view key;
  std::optional<std::uint64_t> CgroupIo::*member;
};

constexpr std::array<IoKey, 6> kIoKeys{{
    {"rbytes", &CgroupIo::read_bytes},
    {"wbytes", &CgroupIo::written_bytes},
    {"rios", &CgroupIo::reads},
    {"wios", &CgroupIo::writes},
    {"dbytes", &CgroupIo::discarded_bytes},
    {"dios", &CgroupIo::discards},
}};

// "rbytes=90112"; keys of I/O cost models are passed over.
bool parse_io_field(std::string_view field, CgroupIo& io) {
  const auto equals = field.find('=');
  if (equals == std::string_view::npos) {
    return false;
  }
  for (const IoKey& known : kIoKeys) {
    if (field.substr(0, equals) == known.key) {
      const auto value = parse_unsigned(field.substr(equals + 1));
      io.*known.member = value;
      return value.has_value();
    }
  }
  return true;
}

// 8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0
// 8:0 253:0 rbytes=90112 wbytes=0 rios=11 wios=0 dbytes=0 dios=0
// Kernels before 6.1 print a device without numbers and then no newline, as 8:0 here.
Result<void> parse_io_stat(std::string_view text, CgroupSample& out) {
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    std::optional<CgroupDevice> device;
    CgroupIo* io = nullptr;
    CgroupIo beyond;
    for (std::string_view field = next_field(line); !field.empty(); field = next_field(line)) {
      if (const auto next = parse_cgroup_device(field)) {
        device = next;
        io = nullptr;
        continue;
      }
      if (device && io == nullptr) {
        io = find_cgroup_device(out, *device);
        out.devices_left_out += io == nullptr ? 1 : 0;
        io = io == nullptr ? &beyond : io;
      }
      if (io == nullptr || !parse_io_field(field, *io)) {
        return malformed("io.stat", lines.number(), "major:minor and key=number");
      }
    }
    if (!device) {
      return malformed("io.stat", lines.number(), "major:minor and key=number");
    }
  }
  return {};
}

template <auto Waiting, auto Stalled>
Result<void> parse_resource_pressure(std::string_view text, CgroupSample& out) {
  const auto totals = parse_pressure("pressure", text);
  if (!totals) {
    return tl::make_unexpected(totals.error());
  }
  out.stats.*Waiting = totals->some_total_us;
  out.stats.*Stalled = totals->full_total_us;
  return {};
}

}  // namespace

std::span<const CgroupFile> cgroup_v2_files() {
  static constexpr std::array kFiles{
      CgroupFile{"memory.current", kCgroupUnified, parse_value<&S::memory_bytes>, nullptr,
                 kCgroupMemory},
      CgroupFile{"memory.stat", kCgroupUnified, parse_memory_stat, nullptr, kCgroupMemory},
      CgroupFile{"memory.swap.current", kCgroupUnified, parse_value<&S::swap_bytes>, nullptr,
                 kCgroupMemory},
      CgroupFile{"memory.max", kCgroupUnified, parse_value<&S::memory_limit_bytes>, nullptr,
                 kCgroupMemory},
      CgroupFile{"memory.high", kCgroupUnified, parse_value<&S::memory_high_bytes>, nullptr,
                 kCgroupMemory},
      CgroupFile{"memory.swap.max", kCgroupUnified, parse_value<&S::swap_limit_bytes>, nullptr,
                 kCgroupMemory},
      CgroupFile{"memory.events", kCgroupUnified, parse_memory_events, nullptr, kCgroupMemory},
      CgroupFile{"cpu.stat", kCgroupUnified, parse_cpu_stat},
      CgroupFile{"cpu.max", kCgroupUnified, parse_cpu_max, nullptr, kCgroupCpu},
      CgroupFile{"io.stat", kCgroupUnified, parse_io_stat, nullptr, kCgroupBlkio},
      CgroupFile{"cpu.pressure", kCgroupUnified,
                 parse_resource_pressure<&S::cpu_waiting_us, &S::cpu_stalled_us>},
      CgroupFile{"io.pressure", kCgroupUnified,
                 parse_resource_pressure<&S::io_waiting_us, &S::io_stalled_us>},
      CgroupFile{"memory.pressure", kCgroupUnified,
                 parse_resource_pressure<&S::memory_waiting_us, &S::memory_stalled_us>},
      CgroupFile{"pids.current", kCgroupUnified, parse_value<&S::pids>, nullptr, kCgroupPids},
      CgroupFile{"pids.max", kCgroupUnified, parse_value<&S::pids_limit>, nullptr, kCgroupPids},
  };
  return kFiles;
}

}  // namespace tidegauge
