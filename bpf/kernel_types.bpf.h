/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The few kernel types and fields the programs use, relocated against the running kernel's BTF when
 * they are loaded: no generated vmlinux.h, and no BTF needed to build. A name with three underscores
 * is another kernel generation's form of the type in front of them. */
#ifndef TIDEGAUGE_BPF_KERNEL_TYPES_H
#define TIDEGAUGE_BPF_KERNEL_TYPES_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

/* include/uapi/linux/bpf.h */
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum bpf_map_type { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_LRU_HASH = 9 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct upid {
  int nr;
  struct pid_namespace* ns;
};

struct ns_common {
  unsigned int inum;
};

struct pid_namespace {
  struct ns_common ns;
};

struct pid {
  unsigned int level;
  struct upid numbers[1];
};

struct task_io_accounting {
  __u64 rchar;
  __u64 wchar;
  __u64 syscr;
  __u64 syscw;
  __u64 read_bytes;
  __u64 write_bytes;
  __u64 cancelled_write_bytes;
};

struct sched_entity {
  __u64 sum_exec_runtime;
};

struct sched_info {
  unsigned long long run_delay;
};

struct task_delay_info {
  __u64 blkio_delay;
};

struct percpu_counter {
  __s64 count;
};

/* Since 6.2 (f1a7941243c1 "mm: convert mm's rss stats into percpu_counter"). */
struct mm_struct___percpu {
  struct percpu_counter rss_stat[4];
};

typedef struct {
  long counter;
} atomic_long_t;

/* Before. Counts of the last 64 page faults may still be in task_struct.rss_stat. */
struct mm_rss_stat {
  atomic_long_t count[4];
};

struct mm_struct {
  struct mm_rss_stat rss_stat;
};

typedef struct {
  unsigned int val;
} kuid_t;

struct cred {
  kuid_t uid;
};

struct kernfs_node {
  __u64 id;
};

struct cgroup {
  struct kernfs_node* kn;
};

struct cgroup_subsys_state {
  struct cgroup* cgroup;
};

struct css_set {
  struct cgroup_subsys_state* subsys[16];
  struct cgroup* dfl_cgrp;
};

enum cgroup_subsys_id { cpu_cgrp_id = 1, memory_cgrp_id = 4, pids_cgrp_id = 11 };

typedef struct {
  int counter;
} atomic_t;

struct signal_struct {
  atomic_t live;
  int nr_threads;
  __u64 utime;
  __u64 stime;
  unsigned long nvcsw;
  unsigned long nivcsw;
  unsigned long min_flt;
  unsigned long maj_flt;
  unsigned long long sum_sched_runtime;
  struct task_io_accounting ioac;
};

struct task_struct {
  void* stack;
  unsigned int flags;
  unsigned int __state;
  int exit_state;
  int pid;
  int tgid;
  struct sched_entity se;
  struct sched_info sched_info;
  struct mm_struct* mm;
  struct task_struct* real_parent;
  struct task_struct* group_leader;
  struct pid* thread_pid;
  __u64 utime;
  __u64 stime;
  unsigned long nvcsw;
  unsigned long nivcsw;
  __u64 start_boottime;
  unsigned long min_flt;
  unsigned long maj_flt;
  struct cred* real_cred;
  char comm[16];
  struct signal_struct* signal;
  struct task_io_accounting ioac;
  struct css_set* cgroups;
  struct task_delay_info* delays;
};

/* Before 5.14 (2f064a59a11f "sched: Change task_struct::state"). */
struct task_struct___state {
  long state;
};

struct seq_file;

struct bpf_iter_meta {
  struct seq_file* seq;
  __u64 session_id;
  __u64 seq_num;
};

struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
};

#pragma clang attribute pop

#endif
