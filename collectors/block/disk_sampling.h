// SPDX-License-Identifier: Apache-2.0
#pragma once

// Windows of disks from /proc/diskstats, for where no BPF program counts them. Pure: no clock; text is given.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/block/disk_bursts.h"
#include "collectors/block/diskstats.h"
#include "collectors/core/result.h"

namespace tidegauge {

// Not thread-safe.
class DiskSampling {
 public:
  // Of what happened between two looks further apart than this nobody knows when it did; unless it was nothing, or
  // took all the time.
  static constexpr std::uint64_t kLongestNs = 4 * DiskWindow::kNs;

  // is_disk(name): not a partition, nor what passes on to disks. Asked once.
  DiskSampling(DiskBursts& bursts, std::function<bool(std::string_view)> is_disk)
      : bursts_(&bursts), is_disk_(std::move(is_disk)) {}

  // now_ns: when the file was read, of a clock that does not go back.
  Result<void> take(std::string_view diskstats, std::uint64_t now_ns);
  // When a disk was last seen at work; 0: never.
  [[nodiscard]] std::uint64_t busy_ns() const { return busy_ns_; }

 private:
  struct Disk {
    std::string name;
    bool is_disk = false;
    std::uint64_t seen = 0;      // pass
    std::uint64_t requests = 0;  // that ended
    std::uint64_t io_time_ms = 0;
    std::uint64_t looked_ns = 0;
    bool has_worked = false;
    DiskWindow window;  // not yet ended
  };
  void look(Disk& disk, std::uint32_t number, const DiskStats& stats, std::uint64_t now_ns);
  struct Span {
    std::uint64_t begin_ns;
    std::uint64_t end_ns;
  };
  static void spread(Disk& disk, DiskWindows& windows, const Span& span, std::uint64_t busy_ns,
                     std::uint64_t requests);

  DiskBursts* bursts_;
  std::function<bool(std::string_view)> is_disk_;
  std::map<std::uint32_t, Disk> disks_;
  std::vector<DiskStats> parsed_;
  std::uint64_t pass_ = 0;
  std::uint64_t busy_ns_ = 0;
};

}  // namespace tidegauge
