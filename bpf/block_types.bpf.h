/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Types of the block layer and the page cache, as in kernel_types.bpf.h. */
#ifndef TIDEGAUGE_BPF_BLOCK_TYPES_H
#define TIDEGAUGE_BPF_BLOCK_TYPES_H

#include "kernel_types.bpf.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct gendisk {
  int major;
  int first_minor;
  char disk_name[32];
};

struct request_queue {
  struct gendisk* disk; /* since 5.15, d152c682f03c; before, requests have it */
};

struct block_device {
  struct gendisk* bd_disk;
};

struct bvec_iter {
  __u64 bi_sector;
  unsigned int bi_size;
  unsigned int bi_idx;
} __attribute__((packed));

struct bio_vec {
  struct page___cache* bv_page;
};

struct bio {
  struct bio* bi_next;
  struct block_device* bi_bdev; /* since 5.12, 309dca309fc3 */
  unsigned int bi_opf;
  struct bvec_iter bi_iter;
  void* bi_private;
  struct bio_vec* bi_io_vec;
};

struct bio___disk {
  struct gendisk* bi_disk;
};

struct request {
  struct request_queue* q;
  unsigned int cmd_flags;
  unsigned int __data_len;
  __u64 __sector;
  struct bio* bio;
  struct bio* biotail;
  __u64 start_time_ns;
};

struct request___disk {
  struct gendisk* rq_disk;
};

struct super_block___cache {
  unsigned long s_magic;
};

struct inode___cache {
  struct super_block___cache* i_sb;
  struct address_space___cache* i_mapping;
  struct address_space___cache {
    struct inode___cache* host;
    struct xarray___cache {
      unsigned int xa_flags;
    } i_pages;
  } i_data;
};

struct page___cache {
  struct address_space___cache* mapping;
};

struct folio___cache {
  unsigned int _folio_nr_pages; /* since 5.16 */
};

/* Since 6.15 (b33a3e3f5cd5). */
struct folio___pages {
  unsigned int _nr_pages;
};

enum pageflags { PG_writeback = 1, PG_head = 6 };
enum req_flag_bits { __REQ_FUA = 17, __REQ_PREFLUSH = 18, __REQ_SWAP = 24 };

#pragma clang attribute pop

/* A copy of 32 bits is a number to the verifier, which lets nobody calculate with a pointer. */
static __always_inline __u32 low_half(const void* pointer) {
  __u32 low;
  asm volatile("%0 = %1" : "=w"(low) : "w"((__u32)(__u64)pointer));
  return low;
}

#endif
