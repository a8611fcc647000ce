/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Part of memory.bpf.c: processes that the kernel kills for want of memory.
 *
 * mm/oom_kill.c, __oom_kill_process(), sends the signal and then marks the victim (mark_oom_victim()), in one
 * thread and under oom_lock. It also marks every thread of a dying process that asks for more memory; nobody
 * was killed for that. So a victim is one that this thread has just sent SIGKILL in the kernel's name. */
#ifndef TIDEGAUGE_BPF_MEMORY_OOM_H
#define TIDEGAUGE_BPF_MEMORY_OOM_H

#define SIGKILL 9
#define SEND_SIG_PRIV 1 /* include/linux/sched/signal.h */
#define KILLS 256
#define PROCESSES_KILLED 64

struct tg_oom_victim victims[TG_OOM_LAST] = {};
__u64 victims_marked = 0;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_OOM_ENTRIES);
  __type(key, __u32);
  __type(value, __u64);
} victims_by_owner SEC(".maps");

static __always_inline void read_memory_cgroup(struct tg_oom_victim* out,
                                               struct task_struct* task) {
  struct css_set* set = bpf_core_field_exists(task->cgroups) ? BPF_CORE_READ(task, cgroups) : 0;
  if (!set || !bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id)) {
    return;
  }
  struct cgroup_subsys_state* css = 0;
  const __u64 at = (__u64)set + bpf_core_field_offset(set->subsys) +
                   bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) * sizeof(css);
  bpf_probe_read_kernel(&css, sizeof(css), (void*)at);
  struct kernfs_node___named* node =
      css ? (struct kernfs_node___named*)BPF_CORE_READ(css, cgroup, kn) : 0;
#pragma unroll
  for (int i = 0; i < TG_CGROUP_LEVELS; i++) {
    if (node) {
      bpf_probe_read_kernel_str(out->cgroup[i], TG_CGROUP_NAME, BPF_CORE_READ(node, name));
      node = bpf_core_field_exists(node->parent) ? BPF_CORE_READ(node, parent)
                                                 : BPF_CORE_READ(node, __parent);
    }
  }
}

static __always_inline void victim_is(struct task_struct* task) {
  const __u32 owner = owner_of(task);
  const __u64 number = ++victims_marked;
  struct tg_oom_victim* out = &victims[(number - 1) % TG_OOM_LAST];
  out->number = 0; /* whoever reads it now: not yet */
  asm volatile("" ::: "memory");
  __builtin_memset(out->cgroup, 0, sizeof(out->cgroup));
  struct task_struct* leader = BPF_CORE_READ(task, group_leader);
  bpf_core_read(out->comm, sizeof(out->comm), &leader->comm);
  out->tgid = namespace_inode ? local_number(BPF_CORE_READ(leader, thread_pid))
                              : (__u32)BPF_CORE_READ(task, tgid);
  out->owner = owner;
  out->at_ns = bpf_ktime_get_boot_ns();
  read_memory_cgroup(out, task);
  asm volatile("" ::: "memory");
  out->number = number;
  __u64* count = bpf_map_lookup_elem(&victims_by_owner, &owner);
  if (count) {
    __sync_fetch_and_add(count, 1);
    return;
  }
  const __u64 one = 1;
  if (bpf_map_update_elem(&victims_by_owner, &owner, &one, BPF_NOEXIST)) {
    __sync_fetch_and_add(&losses.victims, 1);
  }
}

/* Two threads of one place that kill within microseconds of each other may lose one. */
struct kill {
  __u64 task;
  __u32 tid; /* of the thread that kills, and so is the place */
  __u32 pid;
};
static struct kill kills[KILLS];

SEC("raw_tp/signal_generate")
int BPF_PROG(kernel_kills, int number, __u64 info, struct task_struct* task) {
  if (number == SIGKILL && info == SEND_SIG_PRIV) {
    const __u32 tid = current_tid();
    struct kill* kill = &kills[tid % KILLS];
    kill->task = (__u64)task;
    kill->pid = BPF_CORE_READ(task, pid);
    kill->tid = tid;
  }
  return 0;
}

/* A process whose other thread still has its memory is found, killed and marked again. */
struct killed_process {
  __u64 signal;
  __u64 started_ns;
};
static struct killed_process killed_processes[PROCESSES_KILLED];
static __u32 processes_killed;

static __always_inline int is_killed_again(struct task_struct* task) {
  const struct killed_process now = {
      .signal = (__u64)BPF_CORE_READ(task, signal),
      .started_ns = BPF_CORE_READ(task, group_leader, start_boottime)};
  for (int i = 0; i < PROCESSES_KILLED; i++) {
    const struct killed_process* known = &killed_processes[i];
    if (known->signal == now.signal && known->started_ns == now.started_ns) {
      return 1;
    }
  }
  killed_processes[processes_killed++ % PROCESSES_KILLED] = now;
  return 0;
}

/* The thread, or on 5.10 its number. */
SEC("raw_tp/mark_victim")
int BPF_PROG(victim_is_marked, __u64 marked) {
  const __u32 tid = current_tid();
  struct kill* kill = &kills[tid % KILLS];
  if (kill->tid != tid || (marked != kill->task && marked != kill->pid)) {
    return 0;
  }
  kill->tid = 0;
  struct task_struct* task = (struct task_struct*)kill->task;
  if (!is_killed_again(task)) {
    victim_is(task);
  }
  return 0;
}

#endif
