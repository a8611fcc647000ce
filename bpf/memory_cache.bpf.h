/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Part of memory.bpf.c: what goes in and out of the page cache, and for whom. tmpfs keeps its pages out of
 * sight: only their end is traced, and left out here. */
#ifndef TIDEGAUGE_BPF_MEMORY_CACHE_H
#define TIDEGAUGE_BPF_MEMORY_CACHE_H

/* include/linux/mm_types.h, the same since 4.20 */
#define VM_FAULT_MAJOR 0x4
#define VM_FAULT_RETRY 0x400
#define S_IFMT 0170000 /* include/uapi/linux/stat.h */
#define S_IFBLK 0060000
#define RWSEM_OWNER_FLAGS 7 /* kernel/locking/rwsem.c */
#define RWSEM_READER_OWNED 1

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_PAGE_CACHE_ENTRIES);
  __type(key, __u32);
  __type(value, struct tg_page_cache);
} page_caches SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_FAULT_ENTRIES);
  __type(key, struct tg_fault_key);
  __type(value, struct tg_fault);
} faults SEC(".maps");

/* A thread's fault on a file, while it lasts: until its count of faults has gone up. */
struct file_fault {
  __u64 since_ns;
  __u64 faults_before;
  __u32 device;
  __u32 counted;
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 2048);
  __type(key, __u32);
  __type(value, struct file_fault);
} file_faults SEC(".maps");

static __always_inline struct tg_page_cache* page_cache_of(__u32 owner) {
  struct tg_page_cache* cache = bpf_map_lookup_elem(&page_caches, &owner);
  if (!cache) {
    const struct tg_page_cache none = {};
    bpf_map_update_elem(&page_caches, &owner, &none, BPF_NOEXIST);
    cache = bpf_map_lookup_elem(&page_caches, &owner);
    if (!cache) {
      __sync_fetch_and_add(&losses.page_cache, 1);
    }
  }
  return cache;
}

static __always_inline __u64 faults_of(struct task_struct* task) {
  return BPF_CORE_READ(task, min_flt) + BPF_CORE_READ(task, maj_flt);
}

static __always_inline void add_fault(__u32 device, __u64 ns) {
  const struct tg_fault_key key = {.owner = current_owner(), .device = device};
  struct tg_fault* fault = bpf_map_lookup_elem(&faults, &key);
  if (!fault) {
    const struct tg_fault none = {};
    bpf_map_update_elem(&faults, &key, &none, BPF_NOEXIST);
    fault = bpf_map_lookup_elem(&faults, &key);
    if (!fault) {
      __sync_fetch_and_add(&losses.faults, 1);
      return;
    }
  }
  __sync_fetch_and_add(&fault->faults, 1);
  if (ns) {
    __sync_fetch_and_add(&fault->ns, ns);
  }
}

static __always_inline void fault_begins(struct address_space___memory* mapping, __u64 now_ns) {
  const __u32 tid = current_tid();
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  struct file_fault fault = {.since_ns = now_ns,
                             .faults_before = faults_of(task),
                             .device = BPF_CORE_READ(mapping, host, i_sb, s_dev)};
  bpf_map_update_elem(&file_faults, &tid, &fault, BPF_ANY);
}

/* filemap_fault() comes here when the pages around are not all there; most faults of files never do. */

SEC("fentry/filemap_fault")
int BPF_PROG(fault_enters, struct vm_fault___memory* fault) {
  fault_begins(BPF_CORE_READ(fault, vma, vm_file, f_mapping), bpf_ktime_get_ns());
  return 0;
}

/* Where it had to wait it may have let go of the memory map (VM_FAULT_RETRY): nothing of `fault` is to be
 * touched. It then comes again and finds the page, but is a major fault all the same. */
static __always_inline void fault_ends(unsigned int result) {
  const __u32 tid = current_tid();
  const struct file_fault* begun_fault = bpf_map_lookup_elem(&file_faults, &tid);
  if (begun_fault) {
    if (result & (VM_FAULT_MAJOR | VM_FAULT_RETRY)) {
      add_fault(begun_fault->device, bpf_ktime_get_ns() - begun_fault->since_ns);
    }
    bpf_map_delete_elem(&file_faults, &tid);
  }
}

SEC("fexit/filemap_fault")
int BPF_PROG(fault_leaves, struct vm_fault___memory* fault, unsigned int result) {
  fault_ends(result);
  return 0;
}

/* A kretprobe has room for so many functions under way; one beyond has no end, and is lost when its thread's next
 * begins. */
SEC("kprobe/filemap_fault")
int probed_fault_enters(struct pt_regs* ctx) {
  const __u32 tid = current_tid();
  if (bpf_map_lookup_elem(&file_faults, &tid)) {
    __sync_fetch_and_add(&losses.faults, 1);
  }
  struct vm_fault___memory* fault = (struct vm_fault___memory*)PROBED_1(ctx);
  fault_begins(BPF_CORE_READ(fault, vma, vm_file, f_mapping), bpf_ktime_get_ns());
  return 0;
}

SEC("kretprobe/filemap_fault")
int probed_fault_leaves(struct pt_regs* ctx) {
  fault_ends(PROBED_RESULT(ctx));
  return 0;
}

/* 6.12 and later, where there are no trampolines. */
SEC("raw_tp/mm_filemap_fault")
int BPF_PROG(fault_is_traced, struct address_space___memory* mapping) {
  fault_begins(mapping, 0);
  return 0;
}

static __always_inline int is_in_fault(struct task_struct* task) {
  const __u32 tid = current_tid();
  struct file_fault* fault = bpf_map_lookup_elem(&file_faults, &tid);
  if (!fault || fault->faults_before != faults_of(task)) {
    return 0;
  }
  /* By trampolines it is counted at its end, with its time. */
  if (!fault->since_ns && !fault->counted) {
    fault->counted = 1;
    add_fault(fault->device, 0);
  }
  return 1;
}

/* The one who writes to a file holds its lock alone; who reads does not, or shares it (xfs). */
static __always_inline int is_writing(struct task_struct* task, struct inode___memory* inode) {
  const __u64 owner = (__u64)BPF_CORE_READ(inode, i_rwsem.owner.counter);
  return (owner & ~(__u64)RWSEM_OWNER_FLAGS) == (__u64)task && !(owner & RWSEM_READER_OWNED);
}

static __always_inline void inserted(struct page___memory* page, __u64 pages) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  struct tg_page_cache* cache = page_cache_of(owner_of(task));
  if (!cache) {
    return;
  }
  struct inode___memory* inode = BPF_CORE_READ(page, mapping, host);
  if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFBLK) {
    __sync_fetch_and_add(&cache->metadata_in, pages);
  } else if (is_writing(task, inode)) {
    __sync_fetch_and_add(&cache->written_in, pages);
  } else if (is_in_fault(task)) {
    __sync_fetch_and_add(&cache->faulted_in, pages);
  } else {
    __sync_fetch_and_add(&cache->read_in, pages);
  }
}

/* Called by kswapd and tasks in reclaim, and by whoever deletes or truncates a file. */
static __always_inline void removed(__u64 flags, __u64 pages) {
  if (flags >> bpf_core_enum_value(enum pageflags, PG_swapbacked) & 1) {
    return; /* tmpfs */
  }
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  struct tg_page_cache* cache = page_cache_of(owner_of(task));
  if (!cache) {
    return;
  }
  if (BPF_CORE_READ((struct task_struct___reclaim*)task, reclaim_state)) {
    __sync_fetch_and_add(&cache->reclaimed, pages);
  } else {
    __sync_fetch_and_add(&cache->dropped, pages);
  }
}

/* The first word of both, by whatever name and type. */
static __always_inline __u64 flags_of(const void* page) {
  __u64 flags = 0;
  bpf_probe_read_kernel(&flags, sizeof(flags), page);
  return flags;
}

static __always_inline int is_compound(__u64 flags) {
  return flags >> bpf_core_enum_value(enum pageflags, PG_head) & 1;
}

static __always_inline __u64 pages_of_folio(struct folio___memory* folio, __u64 flags) {
  if (!is_compound(flags)) {
    return 1;
  }
  if (bpf_core_field_exists(folio->_nr_pages)) {
    return BPF_CORE_READ(folio, _nr_pages);
  }
  if (bpf_core_field_exists(folio->_folio_nr_pages)) {
    return BPF_CORE_READ(folio, _folio_nr_pages);
  }
  return 1ULL << (BPF_CORE_READ(folio, _flags_1) & 0xFF); /* 32 bits */
}

static __always_inline __u64 pages_of_compound(struct page___second* page, __u64 flags) {
  return is_compound(flags)
             ? BPF_CORE_READ((struct page___second*)((__u64)page + bpf_core_type_size(*page)),
                             compound_nr)
             : 1;
}

SEC("raw_tp/mm_filemap_add_to_page_cache")
int BPF_PROG(folio_is_added, struct folio___memory* folio) {
  inserted((struct page___memory*)folio, pages_of_folio(folio, flags_of(folio)));
  return 0;
}

SEC("raw_tp/mm_filemap_delete_from_page_cache")
int BPF_PROG(folio_is_removed, struct folio___memory* folio) {
  const __u64 flags = flags_of(folio);
  removed(flags, pages_of_folio(folio, flags));
  return 0;
}

/* Until 5.15. */
SEC("raw_tp/mm_filemap_add_to_page_cache")
int BPF_PROG(page_is_added, struct page___second* page) {
  inserted((struct page___memory*)page, pages_of_compound(page, flags_of(page)));
  return 0;
}

SEC("raw_tp/mm_filemap_delete_from_page_cache")
int BPF_PROG(page_is_removed, struct page___second* page) {
  const __u64 flags = flags_of(page);
  removed(flags, pages_of_compound(page, flags));
  return 0;
}

/* What reads ask the cache for. */

static __always_inline void looked_up(__u64 pages) {
  struct tg_page_cache* cache = page_cache_of(current_owner());
  if (cache) {
    __sync_fetch_and_add(&cache->looked_up, pages);
  }
}

static __always_inline void has_read(struct kiocb___memory* call, long before, long result) {
  if (result > before) {
    const __u64 end = BPF_CORE_READ(call, ki_pos);
    const __u64 first = (end - (result - before)) >> page_shift;
    looked_up(((end - 1) >> page_shift) - first + 1);
  }
}

SEC("fexit/filemap_read")
int BPF_PROG(file_is_read, struct kiocb___memory* call, void* iter, long before, long result) {
  has_read(call, before, result);
  return 0;
}

/* Until 5.11. */
SEC("fexit/generic_file_buffered_read")
int BPF_PROG(file_is_read_5_10, struct kiocb___memory* call, void* iter, long before, long result) {
  has_read(call, before, result);
  return 0;
}

/* Where there are no trampolines, on 6.12 and later: a read asks for all that is left of it, again and again
 * until it has it all. What a thread asks for up to where it asked before, from further on, is no new read. */
struct read_ahead_of {
  __u64 mapping;
  __u64 index;
  __u64 last;
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, struct read_ahead_of);
} reads SEC(".maps");

SEC("raw_tp/mm_filemap_get_pages")
int BPF_PROG(pages_are_got, struct address_space___memory* mapping, unsigned long index,
             unsigned long last) {
  const __u32 tid = current_tid();
  struct read_ahead_of* known = bpf_map_lookup_elem(&reads, &tid);
  const struct read_ahead_of now = {.mapping = (__u64)mapping, .index = index, .last = last};
  if (known) {
    const int goes_on =
        known->mapping == now.mapping && known->last == last && known->index < index;
    *known = now;
    if (goes_on) {
      return 0;
    }
  } else {
    bpf_map_update_elem(&reads, &tid, &now, BPF_ANY);
  }
  /* A read may ask for more than the file has. */
  const __s64 bytes = BPF_CORE_READ(mapping, host, i_size);
  const __u64 behind = bytes > 0 ? ((__u64)bytes + (1ULL << page_shift) - 1) >> page_shift : 0;
  const __u64 end = last + 1 < behind ? last + 1 : behind;
  if (index < end) {
    looked_up(end - index);
  }
  return 0;
}

/* Where there are neither trampolines nor that tracepoint: the end is given no arguments. */
static __always_inline int probed_read_begins(struct pt_regs* ctx) {
  const __u32 tid = current_tid();
  const struct read_ahead_of begun_read = {.mapping = PROBED_1(ctx), .index = PROBED_3(ctx)};
  bpf_map_update_elem(&reads, &tid, &begun_read, BPF_ANY);
  return 0;
}

static __always_inline int probed_read_ends(struct pt_regs* ctx) {
  const __u32 tid = current_tid();
  struct read_ahead_of* begun_read = bpf_map_lookup_elem(&reads, &tid);
  if (begun_read && begun_read->mapping) {
    has_read((struct kiocb___memory*)begun_read->mapping, begun_read->index, PROBED_RESULT(ctx));
    begun_read->mapping = 0;
  }
  return 0;
}

SEC("kprobe/filemap_read")
int probed_read_enters(struct pt_regs* ctx) { return probed_read_begins(ctx); }

SEC("kretprobe/filemap_read")
int probed_read_leaves(struct pt_regs* ctx) { return probed_read_ends(ctx); }

SEC("kprobe/generic_file_buffered_read")
int probed_read_enters_5_10(struct pt_regs* ctx) { return probed_read_begins(ctx); }

SEC("kretprobe/generic_file_buffered_read")
int probed_read_leaves_5_10(struct pt_regs* ctx) { return probed_read_ends(ctx); }

#endif
