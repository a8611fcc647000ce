// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/memory_tables.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>

#include "collectors/ebpf/memory_features.h"
#include "collectors/procfs/cpu_list.h"

namespace tidegauge {

namespace {

constexpr std::string_view kStallKinds[] = {"direct", "memcg", "node", "compaction", "dirty"};

constexpr std::string_view kReclaimFamily = "tidegauge_reclaim_stall_seconds";
constexpr std::string_view kReclaimHelp =
    "Time threads of the group spent reclaiming memory for themselves instead of going on. kind "
    "direct: an allocation found memory below the min watermark; memcg: their cgroup is at its "
    "limit, or memory.reclaim was written to; node: vm.zone_reclaim_mode. A stall counts when it "
    "ends.";
constexpr std::string_view kReclaimedHelp = "Memory that was reclaimed in these stalls.";
constexpr std::string_view kCompactionFamily = "tidegauge_compaction_stall_seconds";
constexpr std::string_view kCompactionHelp =
    "Time threads of the group spent compacting memory to get a large contiguous piece of it; each "
    "zone that one tries counts. kcompactd, which does so for others, is left out.";
constexpr std::string_view kWakeupsFamily = "tidegauge_kswapd_wakeups_total";
constexpr std::string_view kWakeupsHelp =
    "Times an allocation of the group woke the node's kswapd because memory was below the low "
    "watermark; order: it wanted 2^order contiguous pages. One in an interrupt counts for whom it "
    "interrupted.";
constexpr std::string_view kVictimsFamily = "tidegauge_oom_victims_total";
constexpr std::string_view kVictimsHelp =
    "Processes of the group that the kernel killed for want of memory, its own or its cgroup's.";
constexpr std::string_view kLastVictimsFamily = "tidegauge_oom_victim_timestamp_seconds";
constexpr std::string_view kLastVictimsHelp =
    "When the kernel killed the process for want of memory; the last 8, since the daemon's start. "
    "cgroup: of the memory controller, its lowest 6 levels.";
constexpr std::string_view kLossesFamily = "tidegauge_ebpf_memory_losses_total";
constexpr std::string_view kLossesHelp =
    "Events that are not counted because a BPF map was full or their beginning was not seen.";

ColumnInfo column(std::string_view family, std::string_view help, Scale scale = kUnit,
                  std::string_view label = {}, std::string_view value = {}) {
  ColumnInfo info;
  info.family = family;
  info.help = help;
  info.kind = MetricKind::kCounter;
  info.scale = scale;
  if (!label.empty()) {
    info.labels.push_back({std::string(label), std::string(value)});
  }
  return info;
}

// Numbers are of pages; a page's size fits by far.
Scale page_scale(std::uint64_t page_bytes) { return {static_cast<std::uint32_t>(page_bytes), 1}; }

std::vector<ColumnInfo> reclaim_columns(Scale page) {
  auto out = time_histogram_columns(kReclaimFamily, kReclaimHelp, BucketStep::kCoarse);
  out.push_back(column("tidegauge_reclaim_stall_reclaimed_bytes_total", kReclaimedHelp, page));
  return out;
}

std::vector<ColumnInfo> kswapd_columns() {
  return {
      column("tidegauge_kswapd_awake_seconds_total",
             "Time the node's kswapd was awake, up to now; with the naps of a tenth of a second in "
             "which it waits whether it is needed again.",
             kNanoseconds),
      column("tidegauge_kswapd_runs_total", "Times the node's kswapd began to reclaim."),
  };
}

std::vector<ColumnInfo> dirty_columns() {
  return {
      column("tidegauge_dirty_throttle_seconds_total",
             "Time the kernel made threads of the group pause for writing to files faster than the "
             "disk takes it (balance_dirty_pages); as it was set, counted when the pause begins. "
             "Of io_uring's writes those that its workers make: where it tries them itself it does "
             "not pause.",
             kNanoseconds),
      column("tidegauge_dirty_throttle_pauses_total", "Those pauses."),
  };
}

std::vector<ColumnInfo> page_cache_columns(Scale page) {
  const auto inserted = [&](std::string_view cause) {
    return column("tidegauge_page_cache_inserted_bytes_total",
                  "Page cache filled by the group. cause read: by reads that missed, with what was "
                  "read ahead for them; fault: the same by page faults, which without "
                  "trampolines or Linux 6.12 is in read; write: by writes to what was not cached; "
                  "metadata: of file systems. Without tmpfs.",
                  page, "cause", cause);
  };
  const auto removed = [&](std::string_view cause) {
    return column("tidegauge_page_cache_removed_bytes_total",
                  "Page cache given up by the group's doing. cause reclaim: to have memory, by "
                  "kswapd most of all; drop: files were deleted, truncated or dropped from the "
                  "cache. Without tmpfs.",
                  page, "cause", cause);
  };
  return {inserted("read"),
          inserted("fault"),
          inserted("write"),
          inserted("metadata"),
          removed("reclaim"),
          removed("drop"),
          column("tidegauge_page_cache_lookup_bytes_total",
                 "Whole pages that read() asked the page cache for; what was inserted with cause "
                 "read are the misses among them. Needs trampolines or Linux 6.12.",
                 page)};
}

std::vector<ColumnInfo> fault_columns() {
  return {
      column("tidegauge_major_faults_total",
             "Page faults that waited for a page of a file; device: of its file system. Needs "
             "trampolines "
             "or Linux 6.12. Without trampolines, only those that began to read it."),
      column("tidegauge_major_fault_seconds_total",
             "Time until the first attempt of these faults was over. Needs trampolines.",
             kNanoseconds),
  };
}

}  // namespace

MemoryTables::MemoryTables(std::uint64_t page_bytes)
    : reclaim_({"group", "kind"}, reclaim_columns(page_scale(page_bytes))),
      compaction_({"group"},
                  time_histogram_columns(kCompactionFamily, kCompactionHelp, BucketStep::kCoarse)),
      kswapd_({"node"}, kswapd_columns()),
      wakeups_(std::string(kWakeupsFamily), std::string(kWakeupsHelp), MetricKind::kCounter,
               {"node", "order", "group"}),
      dirty_({"group"}, dirty_columns()),
      victims_(std::string(kVictimsFamily), std::string(kVictimsHelp), MetricKind::kCounter,
               {"group"}),
      last_victims_(std::string(kLastVictimsFamily), std::string(kLastVictimsHelp),
                    MetricKind::kGauge, {"pid", "comm", "group", "cgroup", "number"}, kNanoseconds),
      page_cache_({"group"}, page_cache_columns(page_scale(page_bytes))),
      faults_({"group", "device"}, fault_columns()),
      losses_(std::string(kLossesFamily), std::string(kLossesHelp), MetricKind::kCounter, {"of"}) {}

void MemoryTables::add_reclaim(const MemoryTotals& totals, const GroupName& name, Section& out) {
  reclaim_.begin();
  for (const auto& [key, total] : totals.stalls()) {
    if (key.part == TG_STALL_DIRECT || key.part == TG_STALL_MEMCG || key.part == TG_STALL_NODE) {
      reclaim_.row({name(key.group), kStallKinds[key.part]});
      const std::size_t next = set_time_histogram(reclaim_, 0, total.times, BucketStep::kCoarse);
      reclaim_.set(next, total.pages);
    }
  }
  out.tables.push_back(reclaim_.take());
}

void MemoryTables::add_compaction(const MemoryTotals& totals, const GroupName& name, Section& out) {
  compaction_.begin();
  for (const auto& [key, total] : totals.stalls()) {
    if (key.part == TG_STALL_COMPACTION) {
      compaction_.row({name(key.group)});
      set_time_histogram(compaction_, 0, total.times, BucketStep::kCoarse);
    }
  }
  out.tables.push_back(compaction_.take());
}

void MemoryTables::add_kswapd(const std::vector<KswapdRow>& rows, const MemoryTotals& totals,
                              const GroupName& name, Section& out) {
  kswapd_.begin();
  for (const KswapdRow& row : rows) {
    kswapd_.row({NumberText(row.node).view()});
    kswapd_.set(0, row.awake_ns);
    kswapd_.set(1, row.runs);
  }
  out.tables.push_back(kswapd_.take());
  wakeups_.begin();
  for (const auto& [place, count] : totals.wakeups()) {
    wakeups_.add({NumberText(place.node).view(), NumberText(place.order).view(), name(place.group)},
                 count);
  }
  out.tables.push_back(wakeups_.take());
}

void MemoryTables::add_dirty_throttle(const MemoryTotals& totals, const GroupName& name,
                                      Section& out) {
  dirty_.begin();
  for (const auto& [key, total] : totals.stalls()) {
    if (key.part == TG_STALL_DIRTY) {
      dirty_.row({name(key.group)});
      dirty_.set(0, total.times.sum_ns);
      dirty_.set(1, total.times.count());
    }
  }
  out.tables.push_back(dirty_.take());
}

void MemoryTables::add_oom(const MemoryTotals& totals, const OomVictims& victims,
                           const GroupName& name,
                           const std::function<std::uint32_t(std::uint32_t owner)>& group_of,
                           const CgroupLabel& cgroup, Section& out) {
  victims_.begin();
  for (const auto& [group, count] : totals.victims()) {
    victims_.add({name(group)}, count);
  }
  out.tables.push_back(victims_.take());
  last_victims_.begin();
  for (const OomVictims::Victim& victim : victims.last()) {
    const tg_oom_victim& record = victim.record;
    const std::string_view comm(record.comm, ::strnlen(record.comm, sizeof(record.comm)));
    last_victims_.add({NumberText(record.tgid).view(), comm, name(group_of(record.owner)),
                       cgroup(victim_cgroup(record)), NumberText(record.number).view()},
                      static_cast<std::uint64_t>(victim.realtime_ns));
  }
  out.tables.push_back(last_victims_.take());
}

void MemoryTables::add_page_cache(const MemoryTotals& totals, const PageCacheParts& parts,
                                  const GroupName& name, Section& out) {
  page_cache_.begin();
  for (const auto& [group, total] : totals.page_caches()) {
    page_cache_.row({name(group)});
    if (parts.inserts) {
      page_cache_.set(0, total.read_in_pages);
      if (parts.faults) {
        page_cache_.set(1, total.faulted_in_pages);
      }
      std::size_t at = 2;
      for (const std::uint64_t pages : {total.written_in_pages, total.metadata_in_pages,
                                        total.reclaimed_pages, total.dropped_pages}) {
        page_cache_.set(at++, pages);
      }
    }
    if (parts.reads) {
      page_cache_.set(6, total.looked_up_pages);
    }
  }
  out.tables.push_back(page_cache_.take());
}

void MemoryTables::add_faults(const MemoryTotals& totals, bool timed, const GroupName& name,
                              const DeviceName& device, Section& out) {
  faults_.begin();
  for (const auto& [key, total] : totals.faults()) {
    const std::string of(device(key.part));
    faults_.row({name(key.group), of});
    faults_.set(0, total.faults);
    if (timed) {
      faults_.set(1, total.ns);
    }
  }
  out.tables.push_back(faults_.take());
}

void MemoryTables::add_losses(const tg_memory_losses& losses,
                              const std::function<bool(std::string_view feature)>& active,
                              Section& out) {
  namespace of = memory_feature;
  const auto any = [&](std::initializer_list<std::string_view> features) {
    return std::any_of(features.begin(), features.end(), active);
  };
  losses_.begin();
  if (any({of::kReclaim, of::kCompaction, of::kDirtyThrottle})) {
    losses_.add({"stalls"}, losses.stalls);
  }
  if (any({of::kKswapd})) {
    losses_.add({"wakeups"}, losses.wakeups);
  }
  if (any({of::kPageCache, of::kPageCacheReads})) {
    losses_.add({"page_cache"}, losses.page_cache);
  }
  if (any({of::kMajorFaults})) {
    losses_.add({"faults"}, losses.faults);
  }
  if (any({of::kOom})) {
    losses_.add({"victims"}, losses.victims);
  }
  out.tables.push_back(losses_.take());
}

std::vector<MetricDoc> MemoryTables::docs() {
  std::vector<MetricDoc> out;
  const auto value = [&](std::string_view family, MetricKind kind, std::vector<std::string> labels,
                         std::string_view help) {
    out.push_back({std::string(family), kind, std::move(labels), std::string(help)});
  };
  const auto columns = [&](const std::vector<ColumnInfo>& infos,
                           const std::vector<std::string>& labels) {
    for (const ColumnInfo& info : infos) {
      if (out.empty() || out.back().name != info.family) {
        std::vector<std::string> all = labels;
        if (info.kind == MetricKind::kCounter && !info.labels.empty()) {
          all.push_back(info.labels.front().name);
        }
        value(info.family, info.kind, std::move(all), info.help);
      }
    }
  };
  columns(reclaim_columns(kUnit), {"group", "kind"});
  columns(time_histogram_columns(kCompactionFamily, kCompactionHelp, BucketStep::kCoarse),
          {"group"});
  columns(kswapd_columns(), {"node"});
  value(kWakeupsFamily, MetricKind::kCounter, {"node", "order", "group"}, kWakeupsHelp);
  columns(dirty_columns(), {"group"});
  value(kVictimsFamily, MetricKind::kCounter, {"group"}, kVictimsHelp);
  value(kLastVictimsFamily, MetricKind::kGauge, {"pid", "comm", "group", "cgroup", "number"},
        kLastVictimsHelp);
  columns(page_cache_columns(kUnit), {"group"});
  columns(fault_columns(), {"group", "device"});
  value(kLossesFamily, MetricKind::kCounter, {"of"}, kLossesHelp);
  return out;
}

}  // namespace tidegauge
