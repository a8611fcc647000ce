// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/memory_totals.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "collectors/process/process_groups.h"

namespace tidegauge {

namespace {

// A place of its own while there is room.
template <class Map, class Key>
auto& place_in(Map& map, Key key, std::size_t max_places) {
  if (map.size() >= max_places && map.find(key) == map.end()) {
    key.group = ProcessGroups::kOther;
  }
  return map[key];
}

// The kernel's names are NUL-terminated, but records are only bytes.
std::string_view bounded(const char* text, std::size_t size) {
  return {text, ::strnlen(text, size)};
}

}  // namespace

void MemoryTotals::add_stall(std::uint32_t group, std::uint32_t kind, const tg_stall& added) {
  if (kind < TG_STALL_KINDS) {
    StallTotal& total = stalls_[{group, kind}];
    total.times.add(added.slots, added.ns);
    total.pages += added.pages;
  }
}

void MemoryTotals::add_wakeups(std::uint32_t group, std::uint32_t node, std::uint32_t order,
                               std::uint64_t added) {
  if (order < kMaxOrder) {
    place_in(wakeups_, WakeupPlace{node, order, group}, kMaxWakeupPlaces) += added;
  }
}

void MemoryTotals::add_page_cache(std::uint32_t group, const tg_page_cache& added) {
  PageCacheTotal& total = page_caches_[group];
  total.read_in_pages += added.read_in;
  total.faulted_in_pages += added.faulted_in;
  total.written_in_pages += added.written_in;
  total.metadata_in_pages += added.metadata_in;
  total.reclaimed_pages += added.reclaimed;
  total.dropped_pages += added.dropped;
  total.looked_up_pages += added.looked_up;
}

void MemoryTotals::add_faults(std::uint32_t group, std::uint32_t device, const tg_fault& added) {
  FaultTotal& total = place_in(faults_, GroupAndPart{group, device}, kMaxFaultPlaces);
  total.faults += added.faults;
  total.ns += added.ns;
}

void MemoryTotals::forget_group(std::uint32_t group) {
  const auto is_of_group = [group](const auto& entry) { return entry.first.group == group; };
  std::erase_if(stalls_, is_of_group);
  std::erase_if(wakeups_, is_of_group);
  std::erase_if(faults_, is_of_group);
  page_caches_.erase(group);
  victims_.erase(group);
}

std::uint64_t KswapdClock::awake_ns(const tg_kswapd& kswapd, std::int64_t now_boottime_ns) {
  const auto now_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(0, now_boottime_ns));
  std::uint64_t awake_ns = kswapd.awake_ns;
  // It may have woken since `now` was read.
  if (kswapd.since_ns != 0 && kswapd.since_ns < now_ns) {
    awake_ns += now_ns - kswapd.since_ns;
  }
  shown_ns_ = std::max(shown_ns_, awake_ns);
  return shown_ns_;
}

// The root's own name is "" or, on some kernels, "/".
std::string victim_cgroup(const tg_oom_victim& victim) {
  std::string path;
  for (const auto& name : victim.cgroup) {
    const std::string_view level = bounded(name, sizeof(name));
    if (level.empty() || level == "/") {
      return path.empty() ? std::string("/") : path;
    }
    path.insert(0, level);
    path.insert(0, 1, '/');
  }
  return "/..." + path;
}

void OomVictims::update(std::vector<tg_oom_victim> records, std::int64_t boottime_ns,
                        std::int64_t realtime_ns) {
  std::sort(records.begin(), records.end(),
            [](const tg_oom_victim& a, const tg_oom_victim& b) { return a.number < b.number; });
  std::vector<Victim> now;
  for (const tg_oom_victim& record : records) {
    const auto known = std::find_if(last_.begin(), last_.end(), [&](const Victim& victim) {
      return victim.record.number == record.number;
    });
    const std::int64_t at_ns = realtime_ns - boottime_ns + static_cast<std::int64_t>(record.at_ns);
    now.push_back({record, known != last_.end() ? known->realtime_ns : at_ns});
  }
  last_ = std::move(now);
}

}  // namespace tidegauge
