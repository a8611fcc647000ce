// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/memory_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <ctime>
#include <type_traits>
#include <utility>

#include "collectors/ebpf/map_reader.h"
#include "memory.skel.h"

namespace tidegauge {

namespace {

using memory_feature::kCompaction;
using memory_feature::kDirtyThrottle;
using memory_feature::kKswapd;
using memory_feature::kMajorFaults;
using memory_feature::kOom;
using memory_feature::kPageCache;
using memory_feature::kPageCacheReads;
using memory_feature::kReclaim;

constexpr ProgramSpec traced(std::string_view name, std::string_view feature,
                             std::string_view tracepoint, bool optional = false) {
  return {.name = name,
          .feature = feature,
          .tier = Tier::kTracepoint,
          .tracepoint = tracepoint,
          .optional = optional};
}

// One of several forms of a tracepoint, told by the type of an argument.
constexpr ProgramSpec form(std::string_view name, std::string_view feature,
                           std::string_view tracepoint, unsigned arguments, unsigned typed,
                           std::string_view type) {
  return {.name = name,
          .feature = feature,
          .tier = Tier::kTracepoint,
          .tracepoint = tracepoint,
          .arguments = arguments,
          .typed_argument = typed,
          .argument_type = type,
          .alternative = tracepoint};
}

constexpr ProgramSpec hooked(std::string_view name, std::string_view feature,
                             std::string_view function, std::string_view alternative = {}) {
  return {.name = name,
          .feature = feature,
          .tier = Tier::kTrampoline,
          .function = function,
          .alternative = alternative};
}

// `last_resort`: what so often runs that tracepoints are the better choice, where there are some.
constexpr ProgramSpec probed(std::string_view name, std::string_view feature,
                             std::string_view function, bool at_return,
                             std::string_view alternative = {}, bool last_resort = false) {
  return {.name = name,
          .feature = feature,
          .tier = Tier::kKprobe,
          .function = function,
          .alternative = alternative,
          .at_return = at_return,
          .last_resort = last_resort};
}

constexpr ProgramSpec kSpecs[] = {
    traced("direct_reclaim_begins", kReclaim, "mm_vmscan_direct_reclaim_begin"),
    traced("direct_reclaim_ends", kReclaim, "mm_vmscan_direct_reclaim_end"),
    traced("memcg_reclaim_begins", kReclaim, "mm_vmscan_memcg_reclaim_begin", true),
    traced("memcg_reclaim_ends", kReclaim, "mm_vmscan_memcg_reclaim_end", true),
    traced("node_reclaim_begins", kReclaim, "mm_vmscan_node_reclaim_begin", true),
    traced("node_reclaim_ends", kReclaim, "mm_vmscan_node_reclaim_end", true),
    traced("compaction_begins", kCompaction, "mm_compaction_begin"),
    traced("compaction_ends", kCompaction, "mm_compaction_end"),
    traced("kswapd_wakes", kKswapd, "mm_vmscan_kswapd_wake"),
    traced("kswapd_sleeps", kKswapd, "mm_vmscan_kswapd_sleep"),
    traced("kswapd_is_woken", kKswapd, "mm_vmscan_wakeup_kswapd"),
    form("dirty_pause_of_12", kDirtyThrottle, "balance_dirty_pages", 12, 10, "long int"),
    form("dirty_pause_of_8", kDirtyThrottle, "balance_dirty_pages", 8, 6, "long int"),
    traced("kernel_kills", kOom, "signal_generate"),
    traced("victim_is_marked", kOom, "mark_victim"),
    form("folio_is_added", kPageCache, "mm_filemap_add_to_page_cache", 1, 0, "struct folio *"),
    form("page_is_added", kPageCache, "mm_filemap_add_to_page_cache", 1, 0, "struct page *"),
    form("folio_is_removed", kPageCache, "mm_filemap_delete_from_page_cache", 1, 0,
         "struct folio *"),
    form("page_is_removed", kPageCache, "mm_filemap_delete_from_page_cache", 1, 0, "struct page *"),
    hooked("fault_enters", kMajorFaults, "filemap_fault"),
    hooked("fault_leaves", kMajorFaults, "filemap_fault"),
    probed("probed_fault_enters", kMajorFaults, "filemap_fault", false),
    probed("probed_fault_leaves", kMajorFaults, "filemap_fault", true),
    traced("fault_is_traced", kMajorFaults, "mm_filemap_fault"),
    hooked("file_is_read", kPageCacheReads, "filemap_read", "read"),
    hooked("file_is_read_5_10", kPageCacheReads, "generic_file_buffered_read", "read"),
    traced("pages_are_got", kPageCacheReads, "mm_filemap_get_pages"),
    probed("probed_read_enters", kPageCacheReads, "filemap_read", false, "read enters", true),
    probed("probed_read_leaves", kPageCacheReads, "filemap_read", true, "read leaves", true),
    probed("probed_read_enters_5_10", kPageCacheReads, "generic_file_buffered_read", false,
           "read enters", true),
    probed("probed_read_leaves_5_10", kPageCacheReads, "generic_file_buffered_read", true,
           "read leaves", true),
};

using Variables = std::remove_pointer_t<decltype(memory_bpf::bss)>;

const Variables& in(const void* variables) { return *static_cast<const Variables*>(variables); }

std::vector<ProgramSpec> specs_for(const MemoryFeatures& wanted) {
  std::vector<ProgramSpec> out;
  for (const ProgramSpec& spec : kSpecs) {
    const bool is_cache = spec.feature == kPageCache || spec.feature == kMajorFaults;
    if ((wanted.page_cache || !is_cache) &&
        (wanted.page_cache_reads || spec.feature != kPageCacheReads)) {
      out.push_back(spec);
    }
  }
  return out;
}

}  // namespace

// include/linux/jiffies.h, TICK_NSEC: what a coarse clock's resolution is. (CONFIG_HZ is in no BTF.)
std::uint64_t kernel_tick_ns() {
  timespec resolution{};
  if (::clock_getres(CLOCK_MONOTONIC_COARSE, &resolution) != 0 || resolution.tv_sec != 0) {
    return 0;
  }
  return static_cast<std::uint64_t>(resolution.tv_nsec);
}

void MemoryPrograms::open_kprobes(const KernelFiles& files, const MemoryFeatures& wanted) {
  tidegauge::open_kprobes(files, "memory", specs_for(wanted));
}

MemoryPrograms::MemoryPrograms(std::shared_ptr<EbpfRuntime> runtime, const MemoryFeatures& wanted)
    : runtime_(std::move(runtime)),
      wanted_(wanted),
      specs_(specs_for(wanted)),
      programs_("memory", specs_, [this] { return open(); }) {}

MemoryPrograms::~MemoryPrograms() {
  if (variables_ != nullptr) {
    ::munmap(const_cast<void*>(variables_), sizeof(Variables));
  }
}

// A skeleton's `bss` is what the variables were before bpf_object__load(): only bpf_object__load_skeleton(),
// which loads all or nothing, puts the map in its place.
Result<void> MemoryPrograms::load() {
  if (auto loaded = programs_.load(runtime_->kernel(), runtime_->limits()); !loaded) {
    return loaded;
  }
  void* mapped = ::mmap(nullptr, sizeof(Variables), PROT_READ, MAP_SHARED,
                        ::bpf_map__fd(skeleton_->maps.bss), 0);
  if (mapped == MAP_FAILED) {
    return system_error(errno, "variables of BPF programs");
  }
  variables_ = mapped;
  return {};
}

void MemoryPrograms::Destroy::operator()(memory_bpf* skeleton) const {
  ::memory_bpf__destroy(skeleton);
}

bpf_object* MemoryPrograms::open() {
  skeleton_.reset(::memory_bpf__open_opts(runtime_->open_options()));
  if (skeleton_ == nullptr) {
    return nullptr;
  }
  for (bpf_map* map : {skeleton_->maps.faults, skeleton_->maps.file_faults}) {
    ::bpf_map__set_autocreate(map, wanted_.page_cache);
  }
  ::bpf_map__set_autocreate(skeleton_->maps.reads, wanted_.page_cache_reads);
  for (bpf_map* map : {skeleton_->maps.begun, skeleton_->maps.file_faults, skeleton_->maps.reads}) {
    // Each CPU takes 128 places of an LRU map for itself (kernel/bpf/bpf_lru_list.c, LOCAL_FREE_TARGET,
    // until it was made to fit small maps); where these are most of them, entries in use are evicted.
    const std::uint32_t least = 256 * static_cast<std::uint32_t>(possible_cpus());
    ::bpf_map__set_max_entries(map, std::max(::bpf_map__max_entries(map), least));
  }
  // The set loads those it chooses, of those it was given.
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton_->obj) {
    ::bpf_program__set_autoload(program, false);
  }
  skeleton_->rodata->namespace_inode = runtime_->namespace_inode();
  skeleton_->rodata->tick_ns = kernel_tick_ns();
  skeleton_->rodata->page_shift = static_cast<std::uint32_t>(
      std::countr_zero(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))));
  if (const int failed = runtime_->share_maps(skeleton_->obj); failed != 0) {
    errno = -failed;
    return nullptr;
  }
  return skeleton_->obj;
}

int MemoryPrograms::stalls() const { return ::bpf_map__fd(skeleton_->maps.stalls); }
int MemoryPrograms::wakeups() const { return ::bpf_map__fd(skeleton_->maps.wakeups); }
int MemoryPrograms::page_caches() const { return ::bpf_map__fd(skeleton_->maps.page_caches); }
int MemoryPrograms::faults() const { return ::bpf_map__fd(skeleton_->maps.faults); }
int MemoryPrograms::victims_by_owner() const {
  return ::bpf_map__fd(skeleton_->maps.victims_by_owner);
}

// In the opposite order of kswapd_sleeps: what falls between the two is missed once, never counted twice.
tg_kswapd MemoryPrograms::kswapd(std::uint32_t node) const {
  const tg_kswapd& of_node = in(variables_).kswapds[node];
  tg_kswapd out{};
  out.awake_ns = __atomic_load_n(&of_node.awake_ns, __ATOMIC_ACQUIRE);
  out.since_ns = __atomic_load_n(&of_node.since_ns, __ATOMIC_ACQUIRE);
  out.runs = __atomic_load_n(&of_node.runs, __ATOMIC_RELAXED);
  return out;
}

std::vector<tg_oom_victim> MemoryPrograms::victims() const {
  std::vector<tg_oom_victim> out;
  for (const tg_oom_victim& victim : in(variables_).victims) {
    const std::uint64_t number = __atomic_load_n(&victim.number, __ATOMIC_ACQUIRE);
    if (number == 0) {
      continue;
    }
    out.push_back(victim);
    // Overwritten meanwhile: the next pass has it.
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&victim.number, __ATOMIC_RELAXED) != number) {
      out.pop_back();
    }
  }
  return out;
}

tg_memory_losses MemoryPrograms::losses() const {
  const tg_memory_losses& losses = in(variables_).losses;
  const auto read = [](const __u64& field) { return __atomic_load_n(&field, __ATOMIC_RELAXED); };
  return {.stalls = read(losses.stalls),
          .wakeups = read(losses.wakeups),
          .page_cache = read(losses.page_cache),
          .faults = read(losses.faults),
          .victims = read(losses.victims)};
}

}  // namespace tidegauge
