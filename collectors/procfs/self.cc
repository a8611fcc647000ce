// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/self.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "collectors/core/text.h"
#include "collectors/procfs/pid_stat.h"

namespace tidegauge {

namespace {

constexpr std::uint64_t kTicksPerSecond = 100;  // USER_HZ

struct Self {
  std::uint64_t cpu_ticks = 0;
  std::uint64_t open_fds = 0;
  std::uint64_t max_fds = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t max_virtual_bytes = 0;  // all ones when there is no limit
  std::uint64_t resident_bytes = 0;
  std::uint64_t start_ticks = 0;  // since 1970
};

constexpr Column<Self> kColumns[] = {
    {"process_cpu_seconds_total", "CPU time this daemon used, in user and kernel mode.",
     MetricKind::kCounter, kTicks, &Self::cpu_ticks},
    {"process_open_fds", "File descriptors this daemon has open.", MetricKind::kGauge, kUnit,
     &Self::open_fds},
    {"process_max_fds", "File descriptors this daemon may open.", MetricKind::kGauge, kUnit,
     &Self::max_fds},
    {"process_virtual_memory_bytes", "Address space of this daemon.", MetricKind::kGauge, kUnit,
     &Self::virtual_bytes},
    {"process_virtual_memory_max_bytes", "Address space this daemon may have.", MetricKind::kGauge,
     kUnit, &Self::max_virtual_bytes},
    {"process_resident_memory_bytes", "Memory of this daemon that is in RAM.", MetricKind::kGauge,
     kUnit, &Self::resident_bytes},
    {"process_start_time_seconds", "When this daemon started, since 1970.", MetricKind::kGauge,
     kTicks, &Self::start_ticks},
};

// Linux 6.2 tells the number as the directory's size (f1f1f2569901); before, they must be counted.
Result<std::uint64_t> count_descriptors() {
  static constexpr const char* kPath = "/proc/self/fd";
  struct stat info {};
  if (::stat(kPath, &info) != 0) {
    return system_error(errno, kPath);
  }
  if (info.st_size > 0) {
    return static_cast<std::uint64_t>(info.st_size);
  }
  const auto names = list_directory(kPath);
  if (!names) {
    return tl::make_unexpected(names.error());
  }
  return names->size() - 1;  // without the one that lists
}

Result<std::uint64_t> soft_limit(decltype(RLIMIT_NOFILE) resource) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) {
    return system_error(errno, "getrlimit");
  }
  return limit.rlim_cur;
}

// The kernel's start of time, from the btime line of /proc/stat.
Result<std::uint64_t> read_boot_time_seconds(ReadBuffer& buffer) {
  const auto text = read_file("/proc/stat", buffer);
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  LineReader lines(*text);
  for (std::string_view line; lines.next(line);) {
    if (next_field(line) == "btime") {
      if (const auto seconds = next_unsigned(line)) {
        return *seconds;
      }
    }
  }
  return malformed("/proc/stat", lines.number(), "btime");
}

class SelfCollector final : public Collector {
 public:
  Result<void> collect(CollectContext& context, Section& out) override {
    // Once: /proc/stat is dear on large machines, and a clock that is set later must not move our
    // start.
    if (!boot_time_seconds_) {
      const auto seconds = read_boot_time_seconds(*context.buffer);
      if (!seconds) {
        return tl::make_unexpected(seconds.error());
      }
      boot_time_seconds_ = *seconds;
    }
    const auto self = read(*context.buffer);
    if (!self) {
      return tl::make_unexpected(self.error());
    }
    table_.begin();
    table_.add({}, *self);
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  Result<Self> read(ReadBuffer& buffer) {
    const auto text = stat_.read(buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    const auto stat = parse_pid_stat(*text);
    if (!stat) {
      return tl::make_unexpected(stat.error());
    }
    const auto open_fds = count_descriptors();
    if (!open_fds) {
      return tl::make_unexpected(open_fds.error());
    }
    const auto max_fds = soft_limit(RLIMIT_NOFILE);
    if (!max_fds) {
      return tl::make_unexpected(max_fds.error());
    }
    const auto max_virtual = soft_limit(RLIMIT_AS);
    if (!max_virtual) {
      return tl::make_unexpected(max_virtual.error());
    }
    Self self;
    self.cpu_ticks = stat->user_ticks + stat->system_ticks;
    self.open_fds = *open_fds;
    self.max_fds = *max_fds;
    self.virtual_bytes = stat->virtual_bytes;
    self.max_virtual_bytes = *max_virtual;
    self.resident_bytes = stat->resident_pages * static_cast<std::uint64_t>(page_bytes_);
    self.start_ticks = *boot_time_seconds_ * kTicksPerSecond + stat->start_ticks;
    return self;
  }

  KernelFile stat_{"/proc/self/stat"};
  std::optional<std::uint64_t> boot_time_seconds_;
  long page_bytes_ = ::sysconf(_SC_PAGESIZE);
  StructTable<Self> table_{kColumns};
};

}  // namespace

const CollectorInfo kSelfCollector{
    .name = "self",
    .help = "This daemon's own CPU, memory and descriptors (/proc/self).",
    .interval_ms = 15'000,
    .make = [](const KernelFiles&, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<SelfCollector>();
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<Self>(docs, kColumns, {});
          return docs;
        },
};

}  // namespace tidegauge
