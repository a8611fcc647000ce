// SPDX-License-Identifier: Apache-2.0
#pragma once

// What bpf/memory.bpf.c has counted, summed up by group. Pure: no maps, no clock. Only grows until its group
// ends, and is bounded by the number of groups.

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "bpf/memory_records.h"
#include "collectors/ebpf/time_histogram.h"

namespace tidegauge {

struct StallTotal {
  TimeHistogram times;
  std::uint64_t pages = 0;
};

// Of one group.
struct PageCacheTotal {
  std::uint64_t read_in_pages = 0;
  std::uint64_t faulted_in_pages = 0;
  std::uint64_t written_in_pages = 0;
  std::uint64_t metadata_in_pages = 0;
  std::uint64_t reclaimed_pages = 0;
  std::uint64_t dropped_pages = 0;
  std::uint64_t looked_up_pages = 0;
};

struct FaultTotal {
  std::uint64_t faults = 0;
  std::uint64_t ns = 0;
};

struct WakeupPlace {
  std::uint32_t node;
  std::uint32_t order;
  std::uint32_t group;
  friend bool operator<(const WakeupPlace& a, const WakeupPlace& b) {
    return std::tie(a.node, a.order, a.group) < std::tie(b.node, b.order, b.group);
  }
};

struct GroupAndPart {
  std::uint32_t group;
  std::uint32_t part;  // kind of stall, number of a device
  friend bool operator<(const GroupAndPart& a, const GroupAndPart& b) {
    return std::tie(a.group, a.part) < std::tie(b.group, b.part);
  }
};

class MemoryTotals {
 public:
  // Combinations beyond these count for group 0, "other", of the same node and order or device.
  static constexpr std::size_t kMaxWakeupPlaces = 512;
  static constexpr std::size_t kMaxFaultPlaces = 512;
  // kswapd cannot be woken for more (MAX_PAGE_ORDER), whatever a program reads.
  static constexpr std::uint32_t kMaxOrder = 32;

  // `added`: what came since the last call.
  void add_stall(std::uint32_t group, std::uint32_t kind, const tg_stall& added);
  void add_wakeups(std::uint32_t group, std::uint32_t node, std::uint32_t order,
                   std::uint64_t added);
  void add_page_cache(std::uint32_t group, const tg_page_cache& added);
  void add_faults(std::uint32_t group, std::uint32_t device, const tg_fault& added);
  void add_victims(std::uint32_t group, std::uint64_t added) { victims_[group] += added; }

  // A group whose number may stand for another from now on.
  void forget_group(std::uint32_t group);

  [[nodiscard]] const std::map<GroupAndPart, StallTotal>& stalls() const { return stalls_; }
  [[nodiscard]] const std::map<WakeupPlace, std::uint64_t>& wakeups() const { return wakeups_; }
  [[nodiscard]] const std::map<std::uint32_t, PageCacheTotal>& page_caches() const {
    return page_caches_;
  }
  [[nodiscard]] const std::map<GroupAndPart, FaultTotal>& faults() const { return faults_; }
  [[nodiscard]] const std::map<std::uint32_t, std::uint64_t>& victims() const { return victims_; }

 private:
  std::map<GroupAndPart, StallTotal> stalls_;
  std::map<WakeupPlace, std::uint64_t> wakeups_;
  std::map<std::uint32_t, PageCacheTotal> page_caches_;
  std::map<GroupAndPart, FaultTotal> faults_;
  std::map<std::uint32_t, std::uint64_t> victims_;
};

// How long a node's kswapd has been awake in all, up to now if it is.
class KswapdClock {
 public:
  // What is read while the kernel writes may be short of a moment: never goes back.
  std::uint64_t awake_ns(const tg_kswapd& kswapd, std::int64_t now_boottime_ns);

 private:
  std::uint64_t shown_ns_ = 0;
};

// "/system.slice/app.service"; "/..." in front where the record holds only the lower levels. "" when there
// is none.
std::string victim_cgroup(const tg_oom_victim& victim);

// The last victims, the latest last, with the time of day when each was seen first: it does not move when
// the clock is corrected later.
class OomVictims {
 public:
  struct Victim {
    tg_oom_victim record;
    std::int64_t realtime_ns;
  };

  void update(std::vector<tg_oom_victim> records, std::int64_t boottime_ns,
              std::int64_t realtime_ns);
  [[nodiscard]] const std::vector<Victim>& last() const { return last_; }

 private:
  std::vector<Victim> last_;
};

}  // namespace tidegauge
