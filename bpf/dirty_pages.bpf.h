/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who dirtied the pages that are written back. Per file, how many pages of each of the last few that
 * dirtied it are still to be written; what is written is taken from them in proportion. */
#ifndef TIDEGAUGE_BPF_DIRTY_PAGES_H
#define TIDEGAUGE_BPF_DIRTY_PAGES_H

#define BDEVFS_MAGIC 0x62646576 /* include/uapi/linux/magic.h */

struct dirty_part {
  __u32 owner;
  __u32 tgid; /* KERNEL_TGID: a kernel thread */
  __s32 pages;
};
#define KERNEL_TGID 0xFFFFFFFFU

struct dirty_file {
  struct dirty_part part[MAX_PARTS];
  __u32 last; /* who dirtied it last */
  __u32 parts;
};

/* By the address of the inode. One that is taken for another file is told by its first dirty page. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, TG_DIRTY_FILES);
  __type(key, __u64);
  __type(value, struct dirty_file);
} dirty_files SEC(".maps");

/* Of an xarray's flags: PAGECACHE_TAG_DIRTY, the lowest mark. The marks stand above the bits of gfp_t
 * (XA_FLAGS_MARK in include/linux/xarray.h), and how many these are differs between kernels and is
 * nowhere to be read: learned from the first file with two dirty pages. */
static __u32 dirty_mark;
#define XA_FLAGS_OTHER 0x3F

/* The tracepoint comes before the mark is set (__folio_mark_dirty() in mm/page-writeback.c). */
static __always_inline int is_first_dirty(struct address_space___cache* mapping) {
  const __u32 marks = BPF_CORE_READ(mapping, i_pages.xa_flags) & ~XA_FLAGS_OTHER;
  const __u32 lowest = marks & -marks;
  if (lowest && (!dirty_mark || lowest < dirty_mark)) {
    dirty_mark = lowest;
  }
  return !(marks & dirty_mark);
}

static __always_inline __u64 page_flags(const void* page) {
  __u64 flags = 0; /* the first word, whatever its type */
  bpf_probe_read_kernel(&flags, sizeof(flags), page);
  return flags;
}

/* Of a page that is no folio's later one. 5.10 tells about each page alone. */
static __always_inline __s32 pages_of(const void* folio) {
  const struct folio___pages* now = folio;
  const struct folio___cache* before = folio;
  __u32 pages = 1;
  if (!(page_flags(folio) & 1ULL << bpf_core_enum_value(enum pageflags, PG_head))) {
    return 1;
  }
  if (bpf_core_field_exists(now->_nr_pages)) {
    pages = BPF_CORE_READ(now, _nr_pages);
  } else if (bpf_core_field_exists(before->_folio_nr_pages)) {
    pages = BPF_CORE_READ(before, _folio_nr_pages);
  }
  return pages && pages < 1 << 20 ? pages : 1;
}

static __always_inline struct dirty_file* file_of(__u64 inode, int is_first) {
  struct dirty_file* file = bpf_map_lookup_elem(&dirty_files, &inode);
  if (file) {
    if (is_first) {
      file->parts = 0;
    }
    return file;
  }
  const struct dirty_file fresh = {};
  __sync_fetch_and_add(&losses.dirty_files, 1);
  bpf_map_update_elem(&dirty_files, &inode, &fresh, BPF_NOEXIST);
  return bpf_map_lookup_elem(&dirty_files, &inode);
}

static __always_inline void add_pages(struct dirty_file* file, __u32 owner, __u32 tgid,
                                      __s32 pages) {
  const __u32 parts = file->parts;
  __u32 empty = MAX_PARTS;
#pragma unroll
  for (__u32 i = 0; i < MAX_PARTS; i++) {
    struct dirty_part* part = &file->part[i];
    if (i >= parts || (part->pages <= 0 && !(part->owner == owner && part->tgid == tgid))) {
      empty = empty == MAX_PARTS ? i : empty;
      continue;
    }
    if (part->owner == owner && part->tgid == tgid) {
      if (part->pages < 0) {
        part->pages = pages;
      } else {
        __sync_fetch_and_add(&part->pages, pages);
      }
      file->last = i;
      return;
    }
  }
#pragma unroll
  for (__u32 i = 0; i < MAX_PARTS; i++) {
    if (i == empty) {
      struct dirty_part* part = &file->part[i];
      part->owner = owner;
      part->tgid = tgid;
      part->pages = pages;
      file->last = i;
      if (i >= parts) {
        file->parts = i + 1;
      }
      return;
    }
  }
  __sync_fetch_and_add(&losses.shared_files, pages);
}

static __always_inline int page_dirtied(const void* folio, struct address_space___cache* mapping) {
  struct inode___cache* host = mapping ? BPF_CORE_READ(mapping, host) : 0;
  if (!host) {
    return 0;
  }
  const __u64 inode = (__u64)host;
  const int is_first = is_first_dirty(mapping);
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  if (is_kernel_thread(task)) {
    /* Writeback that could not finish dirties a page anew: its owner stays. Metadata, pages of the device,
     * are dirtied by the journal's thread once they are in the journal. */
    struct dirty_file* known = bpf_map_lookup_elem(&dirty_files, &inode);
    if (!known || !known->parts || is_journal_thread(task)) {
      struct dirty_file* file = file_of(inode, is_first);
      if (file) {
        add_pages(file, 0, KERNEL_TGID, pages_of(folio));
      }
    }
    return 0;
  }
  const __u32 owner = (__u32)running_owner();
  struct dirty_file* file = file_of(inode, is_first);
  if (file) {
    add_pages(file, owner, shown_tgid(task), pages_of(folio));
  }
  return 0;
}

/* include/linux/page-flags.h: odd on the later pages of a folio. Before 7.0 the rest is the first one's
 * address; since, where struct page's size is a power of two, a mask that leaves it. */
static __always_inline __u64 first_page(__u64 page) {
  __u64 info = 0;
  bpf_probe_read_kernel(&info, sizeof(info), (void*)(page + sizeof(info)));
  if (!(info & 1)) {
    return page;
  }
  const __u64 below = ~(info - 1);
  return below & (below + 1) ? info - 1 : page & ~below;
}

struct written_page {
  __u64 inode;
  __u32 is_writeback;
  __u32 is_device; /* a page of the block device itself */
};

/* The file whose page a bio begins with; of anonymous pages, slabs and the like none. */
static __always_inline struct written_page find_written(struct bio* bio) {
  struct written_page out = {};
  struct bio_vec* vectors = BPF_CORE_READ(bio, bi_io_vec);
  if (!vectors) {
    return out;
  }
  struct bio_vec* at = (void*)vectors + (__u64)BPF_CORE_READ(bio, bi_iter.bi_idx) *
                                            bpf_core_type_size(struct bio_vec);
  struct page___cache* page = (void*)first_page((__u64)BPF_CORE_READ(at, bv_page));
  struct address_space___cache* mapping = page ? BPF_CORE_READ(page, mapping) : 0;
  if (!mapping || ((__u64)mapping & 3)) { /* PAGE_MAPPING_FLAGS: anonymous */
    return out;
  }
  struct inode___cache* host = BPF_CORE_READ(mapping, host);
  if (!host || (BPF_CORE_READ(host, i_mapping) != mapping &&
                (__u64)host + bpf_core_field_offset(host->i_data) != (__u64)mapping)) {
    return out;
  }
  out.inode = (__u64)host;
  out.is_writeback = (page_flags(page) >> bpf_core_enum_value(enum pageflags, PG_writeback)) & 1;
  out.is_device = BPF_CORE_READ(host, i_sb, s_magic) == BDEVFS_MAGIC;
  return out;
}

static __always_inline void set_who(struct block_who* who, const struct dirty_part* from,
                                    __u32 kernel_reason) {
  const int is_kernel = from->tgid == KERNEL_TGID;
  who->owner = from->owner;
  who->tgid = is_kernel ? 0 : from->tgid;
  who->reason = is_kernel ? kernel_reason : TG_BLOCK_OWNED;
}

/* Finds whose a bio of so many pages is among those who dirtied its file, and takes the pages from them. False
 * when nobody is known. */
static __always_inline int find_dirtiers(__u64 bio, struct block_who* who, __u64 inode, __s32 pages,
                                         __u32 kernel_reason) {
  struct dirty_file* file = bpf_map_lookup_elem(&dirty_files, &inode);
  const __u32 parts = file ? file->parts : 0;
  if (!file || !parts) {
    return 0;
  }
  /* The usual file; or pages that nobody was seen to dirty, of a file with a known dirtier. */
  set_who(who, &file->part[file->last & (MAX_PARTS - 1)], kernel_reason);
  __s64 whole = 0;
#pragma unroll
  for (__u32 i = 0; i < MAX_PARTS; i++) {
    whole += i < parts && file->part[i].pages > 0 ? file->part[i].pages : 0;
  }
  if (parts == 1 || !whole) {
    if (whole) {
      __sync_fetch_and_add(&file->part[0].pages, -(__s32)(pages < whole ? pages : whole));
    }
    return 1;
  }
  struct bio_shares* shares = shares_of(bio);
  if (!shares) {
    return 1;
  }
  shares->bio = 0;
  __u64 left = pages < whole ? pages : whole;
#pragma unroll
  for (__u32 i = 0; i < MAX_PARTS; i++) {
    const __s32 had = i < parts ? file->part[i].pages : 0;
    shares->part[i].weight = had > 0 ? had : 0;
    set_who(&shares->part[i].who, &file->part[i], kernel_reason);
    if (had > 0) {
      /* Rounded up: pages that come one by one are taken, too. */
      __u64 taken = pages < whole ? ((__u64)had * (__u32)pages + whole - 1) / (__u64)whole : had;
      taken = taken < left ? taken : left;
      left -= taken;
      __sync_fetch_and_add(&file->part[i].pages, -(__s32)taken);
    }
  }
  shares->parts = parts;
  asm volatile("" ::: "memory");
  shares->bio = bio;
  who->reason = SHARED;
  return 1;
}

#endif
