/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's types that only memory.bpf.c uses; see kernel_types.bpf.h. */
#ifndef TIDEGAUGE_BPF_MEMORY_TYPES_H
#define TIDEGAUGE_BPF_MEMORY_TYPES_H

#define PF_IO_WORKER 0x10 /* include/linux/sched.h, since 5.12 */
#define RWF_NOWAIT 0x8    /* include/uapi/linux/fs.h */
#define CALL_IO_URING_ENTER 426
#if defined(__TARGET_ARCH_x86)
#define CALL_PWRITEV2 328
#else
#define CALL_PWRITEV2 287
#endif

/* include/uapi/linux/bpf.h */
enum bpf_func_id { BPF_FUNC_task_pt_regs = 175 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct___reclaim {
  void* reclaim_state; /* in reclaim, for itself or as kswapd */
};

struct super_block___memory {
  __u32 s_dev;
};

struct rw_semaphore___memory {
  atomic_long_t owner;
};

struct inode___memory {
  unsigned short i_mode;
  __u32 i_rdev;
  __s64 i_size;
  struct super_block___memory* i_sb;
  struct rw_semaphore___memory i_rwsem;
};

struct address_space___memory {
  struct inode___memory* host;
};

/* The first words of a folio are those of its first page on every kernel so far. */
struct page___memory {
  struct address_space___memory* mapping;
};

/* Until 5.15: of the second page of a compound one. */
struct page___second {
  unsigned int compound_nr;
};

struct folio___memory {
  unsigned long _flags_1;
  unsigned int _nr_pages;       /* since 6.15 */
  unsigned int _folio_nr_pages; /* before */
};

struct kernfs_node___named {
  const char* name;
  struct kernfs_node___named* parent;   /* until 6.14 */
  struct kernfs_node___named* __parent; /* since */
};

struct kiocb___memory {
  __s64 ki_pos;
};

struct file___memory {
  struct address_space___memory* f_mapping;
};

struct vm_area_struct___memory {
  struct file___memory* vm_file;
};

struct vm_fault___memory {
  struct vm_area_struct___memory* vma;
};

#pragma clang attribute pop

enum pageflags { PG_head, PG_swapbacked };

#endif
