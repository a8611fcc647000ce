// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/memory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collectors/core/text.h"
#include "collectors/ebpf/map_reader.h"
#include "collectors/ebpf/memory_programs.h"
#include "collectors/ebpf/memory_tables.h"
#include "collectors/ebpf/memory_totals.h"
#include "collectors/ebpf/owner_groups.h"
#include "collectors/process/cgroup.h"
#include "collectors/process/cgroup_devices.h"
#include "collectors/procfs/cpu_list.h"

namespace tidegauge {

namespace {

constexpr std::int64_t kFirstRetryNs = 60'000'000'000;
constexpr std::int64_t kLastRetryNs = 60 * kFirstRetryNs;

struct MemorySettings {
  MemoryFeatures features;
  std::size_t max_groups = 0;
};

class EbpfMemoryCollector final : public Collector {
 public:
  EbpfMemoryCollector(const KernelFiles& files, const MemorySettings& settings)
      : files_(files),
        settings_(settings),
        nodes_file_(files.sys("devices/system/node/has_memory")),
        groups_(files, settings.max_groups,
                [this](std::uint32_t group) { totals_.forget_group(group); }),
        devices_(files),
        tables_(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    if (!load(context.boottime_ns)) {
      return {};
    }
    groups_.begin_pass(context, programs_->runtime().owners_fd());
    if (auto folded = fold(context.boottime_ns); !folded) {
      return folded;
    }
    victims_.update(programs_->victims(), context.boottime_ns, context.realtime_ns);
    fill(context, out);
    return {};
  }

 private:
  struct Count {
    __u64 value;
  };

  // What is not to be had now may be later: a capability, a mount. Until it is tried again, which takes the
  // verifier a second, the programs that failed are kept: collector `ebpf` shows their reasons.
  bool load(std::int64_t now_ns) {
    if (is_loaded_ || now_ns < next_try_ns_) {
      return is_loaded_;
    }
    next_try_ns_ = now_ns + retry_ns_;
    retry_ns_ = std::min(2 * retry_ns_, kLastRetryNs);
    auto runtime = shared_ebpf_runtime(files_);
    if (!runtime) {
      return false;
    }
    programs_.reset();  // not two of a name at once
    programs_ = std::make_unique<MemoryPrograms>(std::move(*runtime), settings_.features);
    is_loaded_ = programs_->load().has_value();
    return is_loaded_;
  }

  Result<void> fold(std::int64_t now_ns) {
    auto stalls =
        stalls_.fold(programs_->stalls(), now_ns,
                     [&](const tg_stall_key& key, const tg_stall& added, const tg_stall&) {
                       totals_.add_stall(groups_.group_of(key.owner), key.kind, added);
                     });
    if (!stalls) {
      return stalls;
    }
    auto wakeups = wakeups_.fold(programs_->wakeups(), now_ns,
                                 [&](const tg_wakeup_key& key, const Count& added, const Count&) {
                                   totals_.add_wakeups(groups_.group_of(key.owner), key.node,
                                                       key.order, added.value);
                                 });
    if (!wakeups) {
      return wakeups;
    }
    auto victims = oom_.fold(programs_->victims_by_owner(), now_ns,
                             [&](const std::uint32_t& owner, const Count& added, const Count&) {
                               totals_.add_victims(groups_.group_of(owner), added.value);
                             });
    return victims ? fold_page_cache(now_ns) : victims;
  }

  Result<void> fold_page_cache(std::int64_t now_ns) {
    if (!settings_.features.page_cache && !settings_.features.page_cache_reads) {
      return {};
    }
    auto caches = page_caches_.fold(
        programs_->page_caches(), now_ns,
        [&](const std::uint32_t& owner, const tg_page_cache& added, const tg_page_cache&) {
          totals_.add_page_cache(groups_.group_of(owner), added);
        });
    if (!caches || !settings_.features.page_cache) {
      return caches;
    }
    return faults_.fold(programs_->faults(), now_ns,
                        [&](const tg_fault_key& key, const tg_fault& added, const tg_fault&) {
                          totals_.add_faults(groups_.group_of(key.owner), key.device, added);
                        });
  }

  // Nodes that have memory have a kswapd. Without CONFIG_NUMA there is one and no such file.
  std::vector<KswapdRow> kswapd_rows(CollectContext& context) {
    std::vector<std::uint32_t> nodes;
    const auto text = nodes_file_.read(*context.buffer, kMaxSmallFileBytes);
    if (!text || !parse_cpu_list(nodes_file_.path(), trim(*text), nodes)) {
      nodes.assign(1, 0);
    }
    std::vector<KswapdRow> rows;
    for (const std::uint32_t node : nodes) {
      if (node < TG_NODES) {
        const tg_kswapd kswapd = programs_->kswapd(node);
        rows.push_back({.node = node,
                        .awake_ns = clocks_[node].awake_ns(kswapd, context.boottime_ns),
                        .runs = kswapd.runs});
      }
    }
    return rows;
  }

  void fill(CollectContext& context, Section& out) {
    const ProgramSet& programs = programs_->programs();
    const auto name = [this](std::uint32_t group) { return groups_.name(group); };
    if (programs.active(memory_feature::kReclaim)) {
      tables_.add_reclaim(totals_, name, out);
    }
    if (programs.active(memory_feature::kCompaction)) {
      tables_.add_compaction(totals_, name, out);
    }
    if (programs.active(memory_feature::kKswapd)) {
      tables_.add_kswapd(kswapd_rows(context), totals_, name, out);
    }
    if (programs.active(memory_feature::kDirtyThrottle)) {
      tables_.add_dirty_throttle(totals_, name, out);
    }
    if (programs.active(memory_feature::kOom)) {
      tables_.add_oom(
          totals_, victims_, name, [this](std::uint32_t owner) { return groups_.group_of(owner); },
          [this](std::string_view path) { return cgroup_label(files_.privacy(), path); }, out);
    }
    fill_page_cache(programs, name, out);
    tables_.add_losses(
        programs_->losses(), [&](std::string_view feature) { return programs.active(feature); },
        out);
  }

  void fill_page_cache(const ProgramSet& programs, const MemoryTables::GroupName& name,
                       Section& out) {
    const PageCacheParts parts{.inserts = programs.active(memory_feature::kPageCache),
                               .faults = programs.active(memory_feature::kMajorFaults),
                               .reads = programs.active(memory_feature::kPageCacheReads)};
    if (parts.inserts || parts.reads) {
      tables_.add_page_cache(totals_, parts, name, out);
    }
    if (!parts.faults) {
      return;
    }
    devices_.begin();
    // include/linux/kdev_t.h, MKDEV().
    const auto device = [this](std::uint32_t number) {
      return devices_.name({.major = number >> 20U, .minor = number & 0xFFFFFU});
    };
    tables_.add_faults(totals_, programs.tier(memory_feature::kMajorFaults) < Tier::kTracepoint,
                       name, device, out);
  }

  KernelFiles files_;
  MemorySettings settings_;
  KernelFile nodes_file_;
  std::unique_ptr<MemoryPrograms> programs_;
  bool is_loaded_ = false;
  std::int64_t next_try_ns_ = 0;
  std::int64_t retry_ns_ = kFirstRetryNs;
  OwnerGroups groups_;
  MapFolder<tg_stall_key, tg_stall> stalls_{TG_STALL_ENTRIES, false};
  MapFolder<tg_wakeup_key, Count> wakeups_{TG_WAKEUP_ENTRIES, false};
  MapFolder<std::uint32_t, Count> oom_{TG_OOM_ENTRIES, false};
  MapFolder<std::uint32_t, tg_page_cache> page_caches_{TG_PAGE_CACHE_ENTRIES, false};
  MapFolder<tg_fault_key, tg_fault> faults_{TG_FAULT_ENTRIES, false};
  MemoryTotals totals_;
  std::array<KswapdClock, TG_NODES> clocks_;
  OomVictims victims_;
  CgroupDeviceNames devices_;
  MemoryTables tables_;
};

constexpr OptionSpec kOptions[] = {
    {.key = "page_cache",
     .flag = "page-cache",
     .type = OptionType::kBool,
     .default_text = "true",
     .help =
         "Whether to count who fills and empties the page cache, and major faults: about 0.1 us "
         "when a folio (a page, or many) comes and when it goes."},
    {.key = "page_cache_reads",
     .flag = "page-cache-reads",
     .type = OptionType::kBool,
     .default_text = "false",
     .help = "Whether to count what reads ask the page cache for: about 0.06 us for each read()."},
    {.key = "max_groups",
     .flag = "max-groups",
     .type = OptionType::kInteger,
     .default_text = "64",
     .help = "Groups of processes with series of their own; the others are \"other\".",
     .min = 4,
     .max = 2000},
};

Result<std::unique_ptr<Collector>> make_memory(const KernelFiles& files, const Options& options) {
  const MemorySettings settings{
      .features = {.page_cache = options.boolean("page_cache"),
                   .page_cache_reads = options.boolean("page_cache_reads")},
      .max_groups = static_cast<std::size_t>(options.integer("max_groups"))};
  MemoryPrograms::open_kprobes(files, settings.features);
  return std::make_unique<EbpfMemoryCollector>(files, settings);
}

}  // namespace

const CollectorInfo kEbpfMemoryCollector{
    .name = "ebpf_memory",
    .help =
        "Who waits for memory, who woke kswapd, who is throttled for writing, whom the kernel "
        "killed, who fills the page cache, by BPF.",
    .interval_ms = 1'000,
    .lane = Lane::kWorker,
    .refresh = false,
    .stretch = true,
    .options = kOptions,
    .make = make_memory,
    .metrics = MemoryTables::docs,
};

}  // namespace tidegauge
