/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What memory.bpf.c counts, as user space reads it. Everything is since it was loaded and only grows. */
#ifndef TIDEGAUGE_BPF_MEMORY_RECORDS_H
#define TIDEGAUGE_BPF_MEMORY_RECORDS_H

#ifdef __bpf__
typedef unsigned int __u32;
typedef unsigned long long __u64;
#else
#include <linux/types.h>
#endif

#include "histogram_records.h"

/* Why a thread waits for memory. */
enum tg_stall_kind {
  TG_STALL_DIRECT, /* an allocation below the min watermark reclaims for itself */
  TG_STALL_MEMCG,  /* a charge at the limit of its cgroup, or somebody wrote to memory.reclaim */
  TG_STALL_NODE,   /* zone_reclaim_mode */
  TG_STALL_COMPACTION, /* by the allocating thread, not by kcompactd */
  TG_STALL_DIRTY,      /* balance_dirty_pages() */
  TG_STALL_KINDS
};

struct tg_stall_key {
  __u32 owner;
  __u32 kind;
};

struct tg_stall {
  __u64 slots[TG_TIME_SLOTS];
  __u64 ns;
  __u64 pages; /* reclaimed */
};

struct tg_wakeup_key {
  __u32 owner;
  unsigned short node;
  unsigned short order;
};

struct tg_kswapd {
  __u64 awake_ns; /* until it slept last */
  __u64 since_ns; /* CLOCK_BOOTTIME; 0: it sleeps */
  __u64 runs;     /* of balance_pgdat() */
};

/* In pages. */
struct tg_page_cache {
  __u64 read_in;     /* inserted to be read: read(), readahead, sendfile */
  __u64 faulted_in;  /* inserted by page faults */
  __u64 written_in;  /* inserted by write() */
  __u64 metadata_in; /* inserted into the cache of a block device: what a file system keeps there */
  __u64 reclaimed;   /* taken by reclaim, kswapd's or a task's own */
  __u64 dropped;     /* truncated, deleted, invalidated */
  __u64 looked_up;   /* asked for by reads */
};

struct tg_fault_key {
  __u32 owner;
  __u32 device; /* MKDEV() */
};

struct tg_fault {
  __u64 faults;
  __u64 ns; /* 0 on the tracepoint tier */
};

#define TG_CGROUP_LEVELS 6
#define TG_CGROUP_NAME 128 /* "docker-", 64 digits, ".scope" and what else there is */

struct tg_oom_victim {
  __u64 number; /* from 1 on; 0: none */
  __u64 at_ns;  /* CLOCK_BOOTTIME */
  __u32 owner;
  __u32 tgid; /* in our pid namespace; 0: not in it */
  char comm[16];
  /* Of its memory cgroup and those above, from below; "" ends them. The last may not be a root's child. */
  char cgroup[TG_CGROUP_LEVELS][TG_CGROUP_NAME];
};

/* What found no room, or came without its beginning. */
struct tg_memory_losses {
  __u64 stalls;
  __u64 wakeups;
  __u64 page_cache;
  __u64 faults;
  __u64 victims;
};

#define TG_STALL_ENTRIES 2048
#define TG_WAKEUP_ENTRIES 2048
#define TG_PAGE_CACHE_ENTRIES 2048
#define TG_FAULT_ENTRIES 4096
#define TG_OOM_ENTRIES 512
#define TG_OOM_LAST 8
#define TG_NODES 64

#endif
