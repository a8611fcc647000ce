/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What tasks.bpf.c tells user space. Plain data, shared by both sides; times in ns, sizes in bytes. */
#ifndef TIDEGAUGE_BPF_TASK_RECORDS_H
#define TIDEGAUGE_BPF_TASK_RECORDS_H

#ifdef __bpf__
typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;
#else
#include <linux/types.h>
#endif

/* A task's own, or summed over tasks. */
struct tg_task_counters {
  __u64 exec_ns;  /* exact, but for what an ended task did since the last timer tick */
  __u64 utime_ns; /* sampled by the timer tick on most kernels */
  __u64 stime_ns;
  __u64 min_flt;
  __u64 maj_flt;
  __u64 read_bytes;
  __u64 write_bytes;
  __u64 cancelled_write_bytes;
  __u64 rchar;
  __u64 wchar;
  __u64 syscr;
  __u64 syscw;
  __u64 blkio_delay_ns;
  __u64 nvcsw;
  __u64 nivcsw;
  __u64 run_delay_ns;
  __u64 sync_calls;
  __u64 sync_ns; /* of those that are over */
};

enum tg_task_flags {
  TG_KERNEL_THREAD = 1,
  TG_DELAYS = 2,     /* delay accounting ran for this task: blkio_delay_ns counts */
  TG_HAS_MM = 4,     /* rss_pages and swap_pages count */
  TG_LEADER = 8,     /* tg_leader_record, else tg_thread_record */
  TG_HAS_BASE = 16,  /* a tg_task_counters follows: what dead threads did before we looked */
  TG_ACCOUNTED = 32, /* on its way out: its own counters are in the exit map */
  TG_SAME = 64,      /* tg_same_record: as the last longer record about this task said */
};

enum tg_features {
  TG_FEATURE_STORAGE = 1,   /* CONFIG_TASK_IO_ACCOUNTING */
  TG_FEATURE_SYSCALLS = 2,  /* CONFIG_TASK_XACCT */
  TG_FEATURE_DELAYS = 4,    /* CONFIG_TASK_DELAY_ACCT */
  TG_FEATURE_RUN_DELAY = 8, /* CONFIG_SCHED_INFO */
  TG_FEATURE_SYNC = 16,     /* one set of programs of task_sync.bpf.h runs */
};

/* The identity of a process in the kernel: tgid numbers come again, signal_structs too, but not the
 * same pair while somebody still counts for it. The address never leaves this daemon. */
struct tg_process_key {
  __u64 signal;
  __u32 tgid; /* of the initial pid namespace; 0: summed over processes of one name */
  __u32 zero;
};

/* Of a task that has not run since the last pass. All records begin like this one. */
struct tg_same_record {
  __u32 flags;
  __u32 bytes; /* of the whole record */
  __u32 tid;   /* in our pid namespace, as all pids but tgid above */
  __u32 state; /* task_struct.__state | exit_state; it has none of the latter */
};

struct tg_thread_record {
  __u32 flags;
  __u32 bytes;
  __u32 tid;
  __u32 state;
  struct tg_process_key process;
  struct tg_task_counters own;
};

struct tg_leader_record {
  struct tg_thread_record thread;
  __u64 start_ns; /* CLOCK_BOOTTIME */
  __u64 cgroup_key;
  __u32 parent;
  __u32 uid;
  __u32 threads;
  __u32 zero;
  char comm[16];
  __u64 file_pages, anon_pages, swap_pages, shmem_pages; /* in the order of MM_FILEPAGES... */
};

/* Value of the exit maps: what ended since the last pass. */
struct tg_exit {
  struct tg_task_counters sum;
  __u64 tasks;     /* that ended */
  __u64 processes; /* that are gone entirely */
  __u64 delays;    /* tasks with delay accounting */
  __u64 cgroup_key;
  __u32 uid;
  __u32 flags; /* TG_KERNEL_THREAD */
  char comm[16];
};

/* Once a pass, by user space. */
struct tg_exit_control {
  /* Tasks that started later were never seen by the iterator: their ends are summed by name. All
   * ones while a pass runs. */
  __u64 known_before_ns;
  __u32 active; /* which of the two exit maps is written to */
  __u32 want_base;
};

/* What a pass remembers of a task for the next one, in the order of the iterator: by tid. */
struct tg_task_slot {
  __u32 tid;
  __u32 tgid;
  __u64 exec_ns; /* 0: never the same */
};

/* Set before a pass by user space, then moved on by the iterator. */
struct tg_task_memory {
  __u32 known;    /* slots that the last pass filled; 0: records in full */
  __u32 read_at;  /* next of them to be compared */
  __u32 written;  /* slots of this pass */
  __u32 last_tid; /* that was written: the kernel shows a task again when its buffer was full */
  /* Leaders whose TG_TURN_TIDS numbers are in turn are told in full: what others do to an idle process (swapped out,
     moved to a cgroup) shows within TG_TURNS passes. Neighbours together: what user space keeps of them is in the same
     few pages. */
  __u32 turn;
};

struct tg_exit_losses {
  __u64 unrecorded; /* ends of tasks for which both maps had no room */
  __u64 syncs;      /* that were not counted: more than TG_SYNC_ENTRIES tasks */
  __u64 met_again;  /* missed by task_exits, met by task_exits_2 or _3 */
};

#define TG_EXIT_ENTRIES 8192
#define TG_DEAD_ENTRIES 1024
/* Tasks beyond so many are told in full every time. 1 MiB for the two maps. */
#define TG_TASK_SLOTS 32768
#define TG_TURNS 16
#define TG_TURN_TIDS 32
#define TG_STIRRED 16384
#define TG_SYNC_ENTRIES 8192

#endif
