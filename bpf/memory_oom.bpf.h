/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Part of memory.bpf.c: processes that the kernel kills for want of memory. mark_oom_victim() runs under
 * oom_lock, so there is one writer; but see below for 5.10. */
#ifndef TIDEGAUGE_BPF_MEMORY_OOM_H
#define TIDEGAUGE_BPF_MEMORY_OOM_H

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

SEC("raw_tp/mark_victim")
int BPF_PROG(oom_victim_task, struct task_struct* task) {
  victim_is(task);
  return 0;
}

/* 5.10 tells a number alone, that of the thread whose memory was chosen, and has no helper that finds a task
 * by its number: the victim is told when that thread ends, which is what it was killed for. Several that end
 * at once may overwrite each other's record; the counts are right. */

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, __u32);
} marked_numbers SEC(".maps");
__u32 any_marked = 0;

SEC("raw_tp/mark_victim")
int BPF_PROG(oom_victim_number, int pid) {
  const __u32 key = pid;
  const __u32 value = 1;
  if (key == current_tid()) {
    victim_is((struct task_struct*)bpf_get_current_task());
    return 0;
  }
  bpf_map_update_elem(&marked_numbers, &key, &value, BPF_ANY);
  any_marked = 1;
  return 0;
}

SEC("raw_tp/sched_process_exit")
int oom_victim_ends(void* ctx) {
  if (any_marked) {
    const __u32 key = current_tid();
    if (bpf_map_lookup_elem(&marked_numbers, &key)) {
      bpf_map_delete_elem(&marked_numbers, &key);
      victim_is((struct task_struct*)bpf_get_current_task());
    }
  }
  return 0;
}

#endif
