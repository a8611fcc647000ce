// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/disk_sampling.h"

#include <algorithm>
#include <utility>

namespace tidegauge {

namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr unsigned kMinorBits = 20;  // MINORBITS in include/linux/kdev_t.h

std::uint64_t requests_of(const DiskStats& stats) {
  return stats.reads_completed + stats.writes_completed + stats.discards_completed.value_or(0) +
         stats.flushes_completed.value_or(0);
}

}  // namespace

Result<void> DiskSampling::take(std::string_view diskstats, std::uint64_t now_ns) {
  if (auto parsed = parse_diskstats(diskstats, parsed_); !parsed) {
    return parsed;
  }
  ++pass_;
  for (const DiskStats& stats : parsed_) {
    const std::uint32_t number = stats.major << kMinorBits | stats.minor;
    Disk& disk = disks_[number];
    if (disk.name != stats.name) {
      bursts_->forget(number);
      disk = Disk{};
      disk.name = stats.name;
      disk.is_disk = is_disk_(stats.name);
    }
    disk.seen = pass_;
    if (disk.is_disk) {
      look(disk, number, stats, now_ns);
    }
  }
  std::erase_if(disks_, [this](const auto& entry) {
    if (entry.second.seen == pass_) {
      return false;
    }
    bursts_->forget(entry.first);
    return true;
  });
  return {};
}

void DiskSampling::look(Disk& disk, std::uint32_t number, const DiskStats& stats,
                        std::uint64_t now_ns) {
  const std::uint64_t before_ns = std::exchange(disk.looked_ns, now_ns);
  const std::uint64_t requests_before = std::exchange(disk.requests, requests_of(stats));
  const std::uint64_t ms_before = std::exchange(disk.io_time_ms, stats.io_time_ms);
  if (before_ns == 0 || now_ns <= before_ns) {
    return;
  }
  const std::uint64_t span_ns = now_ns - before_ns;
  // Sums over CPUs may step back a little, and the milliseconds wrap at 2^32.
  const std::uint64_t requests =
      disk.requests >= requests_before ? disk.requests - requests_before : 0;
  const auto grown_ms = static_cast<std::int32_t>(static_cast<std::uint32_t>(disk.io_time_ms) -
                                                  static_cast<std::uint32_t>(ms_before));
  const std::uint64_t busy_ns = std::min(
      grown_ms > 0 ? static_cast<std::uint64_t>(grown_ms) * kNsPerMs : std::uint64_t{0}, span_ns);
  const bool works = requests != 0 || busy_ns != 0;
  busy_ns_ = works ? now_ns : busy_ns_;
  disk.has_worked = disk.has_worked || works;
  if (!disk.has_worked) {
    return;
  }
  DiskWindows* windows = bursts_->find_or_add(number, disk.name);
  const std::uint64_t present = now_ns / DiskWindow::kNs;
  if (windows == nullptr) {
    bursts_->lose(present - before_ns / DiskWindow::kNs);
    return;
  }
  if (!windows->started()) {  // from the first whole one
    disk.window = {};
    disk.window.number = before_ns / DiskWindow::kNs + 1;
    windows->start(disk.window.number);
  }
  if (works && span_ns > kLongestNs && busy_ns < span_ns / 64 * 63) {
    windows->lose_until(present + 1);
    disk.window = {};
    disk.window.number = present + 1;
    return;
  }
  spread(disk, *windows, {.begin_ns = before_ns, .end_ns = now_ns}, busy_ns, requests);
}

// Evenly over the time since the last look: it is about as long as a window. What lies before the first window that
// is known is dropped.
void DiskSampling::spread(Disk& disk, DiskWindows& windows, const Span& span, std::uint64_t busy_ns,
                          std::uint64_t requests) {
  const double length_ns = static_cast<double>(span.end_ns - span.begin_ns);
  std::uint64_t at_ns = span.begin_ns;
  std::uint64_t busy_given = 0;
  std::uint64_t requests_given = 0;
  while (at_ns < span.end_ns) {
    const std::uint64_t number = at_ns / DiskWindow::kNs;
    const std::uint64_t end_ns = (number + 1) * DiskWindow::kNs;
    at_ns = std::min(end_ns, span.end_ns);
    const double share = static_cast<double>(at_ns - span.begin_ns) / length_ns;
    const auto busy_until = static_cast<std::uint64_t>(static_cast<double>(busy_ns) * share);
    const auto requests_until = static_cast<std::uint64_t>(static_cast<double>(requests) * share);
    if (number >= disk.window.number) {
      disk.window.busy_ns += busy_until - busy_given;
      disk.window.requests += requests_until - requests_given;
    }
    busy_given = busy_until;
    requests_given = requests_until;
    if (at_ns == end_ns && number >= disk.window.number) {
      windows.add(disk.window);
      disk.window = {};
      disk.window.number = number + 1;
    }
  }
}

}  // namespace tidegauge
