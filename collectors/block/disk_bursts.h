// SPDX-License-Identifier: Apache-2.0
#pragma once

// The short windows of all disks, and the metrics made of them. Whoever sees requests adds windows: BPF programs, or
// the sampler of /proc/diskstats.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/block/disk_windows.h"
#include "collectors/core/metric_doc.h"
#include "collectors/core/section.h"
#include "collectors/core/table_builder.h"

namespace tidegauge {

// Not thread-safe.
class DiskBursts {
 public:
  static constexpr std::size_t kMaxDisks = 256;
  using NameOf = std::function<WindowUserName(WindowUser)>;

  DiskBursts();
  // By the kernel's number of the disk; begins anew when it is called another name. Null when there is no room.
  DiskWindows* find_or_add(std::uint32_t number, std::string_view name);
  void forget(std::uint32_t number) { disks_.erase(number); }
  // Sums stay, but what comes next follows on nothing: somebody else adds windows from now on.
  void begin_anew();
  // Windows of disks for which there was no room.
  void lose(std::uint64_t windows) { lost_ += windows; }

  // realtime_ns: of the zero of the clock that windows are numbered by.
  void fill(std::int64_t realtime_ns, const NameOf& name_of, Section& out);

  static std::vector<MetricDoc> documentation();

 private:
  struct Disk {
    std::string name;
    DiskWindows windows;
  };
  void fill_disk(Disk& disk, std::int64_t realtime_ns, const NameOf& name_of);

  std::map<std::uint32_t, Disk> disks_;
  std::uint64_t lost_ = 0;
  RowTable windows_;
  RowTable users_;
};

}  // namespace tidegauge
