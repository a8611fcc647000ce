// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Who waits for memory and for how long, what kswapd does and who woke it, whom the kernel killed; and, in
// memory_cache.bpf.h, who fills the page cache. All from raw tracepoints, but for what trampolines alone see.
//
// Where a tracepoint's arguments differ between kernels there is a program for each form, and user space
// chooses by BTF. Most take none: that they were called in this thread is what counts. (7.2 has turned
// around those of mm_vmscan_direct_reclaim_begin.)

// clang-format off: the helpers' headers use the types and do not include them.
#include "kernel_types.bpf.h"
#include "memory_records.h"
#include "memory_types.bpf.h"
#include "registers.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "histogram.bpf.h"
#include "owner.bpf.h"
// clang-format on

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// Of this machine; set by user space.
const volatile __u64 tick_ns = 4000000;
const volatile __u32 page_shift = 12;

struct tg_memory_losses losses = {};
struct tg_kswapd kswapds[TG_NODES] = {};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_STALL_ENTRIES);
  __type(key, struct tg_stall_key);
  __type(value, struct tg_stall);
} stalls SEC(".maps");

// Least recently used leave first: ends that were missed cannot fill it.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, __u64); /* thread and kind */
  __type(value, __u64);
} begun SEC(".maps");

static __always_inline __u32 current_tid(void) { return (__u32)bpf_get_current_pid_tgid(); }

static __always_inline void stall_begins(__u32 kind) {
  const __u64 key = (__u64)kind << 32 | current_tid();
  const __u64 now_ns = bpf_ktime_get_ns();
  bpf_map_update_elem(&begun, &key, &now_ns, BPF_ANY);
}

static __always_inline void add_stall(__u32 kind, __u64 ns, __u64 pages) {
  const struct tg_stall_key key = {.owner = current_owner(), .kind = kind};
  struct tg_stall* stall = bpf_map_lookup_elem(&stalls, &key);
  if (!stall) {
    const struct tg_stall none = {};
    bpf_map_update_elem(&stalls, &key, &none, BPF_NOEXIST);
    stall = bpf_map_lookup_elem(&stalls, &key);
    if (!stall) {
      __sync_fetch_and_add(&losses.stalls, 1);
      return;
    }
  }
  __sync_fetch_and_add(&stall->slots[time_slot(ns)], 1);
  __sync_fetch_and_add(&stall->ns, ns);
  if (pages) {
    __sync_fetch_and_add(&stall->pages, pages);
  }
}

static __always_inline void stall_ends(__u32 kind, __u64 pages) {
  const __u64 key = (__u64)kind << 32 | current_tid();
  const __u64* since_ns = bpf_map_lookup_elem(&begun, &key);
  if (!since_ns) {
    __sync_fetch_and_add(&losses.stalls, 1);
    return;
  }
  const __u64 ns = bpf_ktime_get_ns() - *since_ns;
  bpf_map_delete_elem(&begun, &key);
  add_stall(kind, ns, pages);
}

SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int direct_reclaim_begins(void* ctx) {
  stall_begins(TG_STALL_DIRECT);
  return 0;
}

SEC("raw_tp/mm_vmscan_direct_reclaim_end")
int BPF_PROG(direct_reclaim_ends, unsigned long reclaimed) {
  stall_ends(TG_STALL_DIRECT, reclaimed);
  return 0;
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int memcg_reclaim_begins(void* ctx) {
  stall_begins(TG_STALL_MEMCG);
  return 0;
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(memcg_reclaim_ends, unsigned long reclaimed) {
  stall_ends(TG_STALL_MEMCG, reclaimed);
  return 0;
}

SEC("raw_tp/mm_vmscan_node_reclaim_begin")
int node_reclaim_begins(void* ctx) {
  stall_begins(TG_STALL_NODE);
  return 0;
}

SEC("raw_tp/mm_vmscan_node_reclaim_end")
int BPF_PROG(node_reclaim_ends, unsigned long reclaimed) {
  stall_ends(TG_STALL_NODE, reclaimed);
  return 0;
}

// kcompactdN compacts in nobody's way.
static __always_inline int is_kcompactd(void) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  if (!(BPF_CORE_READ(task, flags) & PF_KTHREAD)) {
    return 0;
  }
  __u64 comm[2];
  bpf_get_current_comm(comm, sizeof(comm));
  const char wanted[8] = {'k', 'c', 'o', 'm', 'p', 'a', 'c', 't'};
  return comm[0] == *(const __u64*)wanted;
}

// One zone after another: a stalled allocation may have several.
SEC("raw_tp/mm_compaction_begin")
int compaction_begins(void* ctx) {
  if (!is_kcompactd()) {
    stall_begins(TG_STALL_COMPACTION);
  }
  return 0;
}

SEC("raw_tp/mm_compaction_end")
int compaction_ends(void* ctx) {
  if (!is_kcompactd()) {
    stall_ends(TG_STALL_COMPACTION, 0);
  }
  return 0;
}

// Since 6.0 (fe6c9c6e3e3e "mm: Add balance_dirty_pages_ratelimited_flags() function") a write that must not
// wait is told to come again instead (BDP_ASYNC), after the same trace. That is every buffered write that
// io_uring itself tries first; what it then hands to a worker waits. Not seen: one that the kernel begins at
// the end of another system call, because of a poll or of a request that it was linked to.
static __always_inline int must_not_wait(void) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  const unsigned int flags = BPF_CORE_READ(task, flags);
  if (flags & PF_IO_WORKER) {
    __u64 comm[2];
    bpf_get_current_comm(comm, sizeof(comm));
    const char submits[8] = {'i', 'o', 'u', '-', 's', 'q', 'p', '-'};
    return comm[0] == *(const __u64*)submits;
  }
  // Kernels without this helper, 5.15's, always wait.
  if (flags & PF_KTHREAD || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
    return 0;
  }
  struct pt_regs* registers = (struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf());
#if defined(__TARGET_ARCH_x86)
  const __u64 call = BPF_CORE_READ(registers, orig_ax);
  const __u64 sixth = BPF_CORE_READ(registers, r9);
#elif defined(__TARGET_ARCH_arm64)
  const __u64 call = BPF_CORE_READ(registers, syscallno);
  __u64 sixth = 0;
  bpf_core_read(&sixth, sizeof(sixth), &registers->regs[5]);
#else
  const __u64 call = 0;
  const __u64 sixth = 0;
#endif
  return call == CALL_IO_URING_ENTER || (call == CALL_PWRITEV2 && sixth & RWF_NOWAIT);
}

// mm/page-writeback.c traces what it decided just before it sleeps, in jiffies; not above 0 when it lets the
// task go. (include/trace/events/writeback.h prints milliseconds.)
static __always_inline void pause_of(long pause_jiffies) {
  if (pause_jiffies > 0 && !must_not_wait()) {
    add_stall(TG_STALL_DIRTY, (__u64)pause_jiffies * tick_ns, 0);
  }
}

// Until 6.17.
SEC("raw_tp/balance_dirty_pages")
int dirty_pause_of_12(__u64* ctx) {
  pause_of((long)ctx[10]);
  return 0;
}

SEC("raw_tp/balance_dirty_pages")
int dirty_pause_of_8(__u64* ctx) {
  pause_of((long)ctx[6]);
  return 0;
}

// kswapd: one thread per node, so its numbers have one writer. It is traced before each balance_pgdat(), and
// when it goes to sleep for good, not when it naps for a tenth of a second to see whether it is needed again.

static __always_inline struct tg_kswapd* kswapd_of(int node) {
  __u32 index = node;
  if (index >= TG_NODES) {
    return 0;
  }
  asm volatile(
      ""
      : "+r"(index));  // the verifier sees no bound in the comparison that clang makes of it
  return &kswapds[index & (TG_NODES - 1)];
}

SEC("raw_tp/mm_vmscan_kswapd_wake")
int BPF_PROG(kswapd_wakes, int node) {
  struct tg_kswapd* kswapd = kswapd_of(node);
  if (kswapd) {
    kswapd->runs++;
    if (!kswapd->since_ns) {
      kswapd->since_ns = bpf_ktime_get_boot_ns();
    }
  }
  return 0;
}

SEC("raw_tp/mm_vmscan_kswapd_sleep")
int BPF_PROG(kswapd_sleeps, int node) {
  struct tg_kswapd* kswapd = kswapd_of(node);
  if (kswapd && kswapd->since_ns) {
    const __u64 ns = bpf_ktime_get_boot_ns() - kswapd->since_ns;
    // Who reads between the two misses this time for a moment; the other way round it would count twice.
    kswapd->since_ns = 0;
    asm volatile("" ::: "memory");
    kswapd->awake_ns += ns;
  }
  return 0;
}

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_WAKEUP_ENTRIES);
  __type(key, struct tg_wakeup_key);
  __type(value, __u64);
} wakeups SEC(".maps");

// In the context of whose allocation it is, only when kswapd waits to be woken.
SEC("raw_tp/mm_vmscan_wakeup_kswapd")
int BPF_PROG(kswapd_is_woken, int node, int zone, int order) {
  const struct tg_wakeup_key key = {.owner = current_owner(), .node = node, .order = order};
  __u64* count = bpf_map_lookup_elem(&wakeups, &key);
  if (!count) {
    const __u64 none = 0;
    bpf_map_update_elem(&wakeups, &key, &none, BPF_NOEXIST);
    count = bpf_map_lookup_elem(&wakeups, &key);
    if (!count) {
      __sync_fetch_and_add(&losses.wakeups, 1);
      return 0;
    }
  }
  __sync_fetch_and_add(count, 1);
  return 0;
}

#include "memory_cache.bpf.h"
#include "memory_oom.bpf.h"
