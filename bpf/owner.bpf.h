/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Finds a task's owner, see owner_records.h. The two maps are those of owners.bpf.c, which user space
 * hands to every object that includes this. A lookup costs one hash lookup while the process stays
 * what it is. */
#ifndef TIDEGAUGE_BPF_OWNER_H
#define TIDEGAUGE_BPF_OWNER_H

#include "mix.bpf.h"
#include "owner_records.h"
#include "pid_namespace.bpf.h"

#ifndef PF_KTHREAD
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h, the same since 2.6.31 */
#endif

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_OWNERS);
  __type(key, __u32);
  __type(value, struct tg_owner);
} owners SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, TG_OWNER_CACHE);
  __type(key, __u32); /* tgid of the initial namespace */
  __type(value, struct tg_owner_cache);
} owner_cache SEC(".maps");

static __always_inline __u64 probed_subsystem_cgroup(struct css_set* set, __u64 subsystem) {
  struct cgroup_subsys_state* css = 0;
  const __u64 at = (__u64)set + bpf_core_field_offset(set->subsys) + subsystem * sizeof(css);
  bpf_probe_read_kernel(&css, sizeof(css), (void*)at);
  return css ? BPF_CORE_READ(css, cgroup, kn, id) : 0;
}

/* The same number as cgroup_key() of tasks.bpf.c, by helpers: from where a task is no trusted pointer. */
static __always_inline __u64 probed_cgroup_key(struct task_struct* task) {
  struct css_set* set = bpf_core_field_exists(task->cgroups) ? BPF_CORE_READ(task, cgroups) : 0;
  if (!set) {
    return 0;
  }
  __u64 key = mix(BPF_CORE_READ(set, dfl_cgrp, kn, id), (__u64)set);
  if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id)) {
    key = mix(key, probed_subsystem_cgroup(
                       set, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)));
  } else if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id)) {
    key = mix(key, probed_subsystem_cgroup(
                       set, bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)));
  }
  return key ? key : 1;
}

/* The high bit of the first byte of a word that is '/' or ':', and perhaps some above it. A loop over the
 * bytes has more paths than the verifier looks at. */
static __always_inline __u64 name_end(__u64 word) {
  const __u64 slash = word ^ 0x2F2F2F2F2F2F2F2FULL;
  const __u64 colon = word ^ 0x3A3A3A3A3A3A3A3AULL;
  return (((slash - 0x0101010101010101ULL) & ~slash) | ((colon - 0x0101010101010101ULL) & ~colon)) &
         0x8080808080808080ULL;
}

static __always_inline __u64 below(__u64 ends) { return ((ends & -ends) >> 7) - 1; }

static __always_inline __u32 new_owner(struct task_struct* task) {
  struct tg_owner owner = {};
  struct task_struct* leader = BPF_CORE_READ(task, group_leader);
  bpf_core_read(owner.comm, sizeof(owner.comm), &leader->comm);
  if (BPF_CORE_READ(task, flags) & PF_KTHREAD) {
    __u64* name = (__u64*)owner.comm;
    const __u64 ends = name_end(name[0]);
    name[0] &= below(ends);
    name[1] = ends ? 0 : name[1] & below(name_end(name[1]));
  } else {
    owner.uid = BPF_CORE_READ(task, real_cred, uid.val);
    owner.cgroup_key = probed_cgroup_key(task);
    owner.tgid = namespace_inode ? local_number(BPF_CORE_READ(leader, thread_pid))
                                 : (__u32)BPF_CORE_READ(task, tgid);
  }
  const __u64* name = (const __u64*)owner.comm;
  const __u64 whole = mix(mix(mix(mix(1, name[0]), name[1]), owner.uid), owner.cgroup_key);
  __u32 number = (__u32)(whole ^ (whole >> 32));
  number = number == TG_OWNER_OTHER ? 1 : number;
  if (!bpf_map_lookup_elem(&owners, &number) &&
      bpf_map_update_elem(&owners, &number, &owner, BPF_ANY)) {
    return TG_OWNER_OTHER;
  }
  return number;
}

static __always_inline __u32 owner_of(struct task_struct* task) {
  const __u32 tgid = BPF_CORE_READ(task, tgid);
  const __u64 signal = (__u64)BPF_CORE_READ(task, signal);
  struct tg_owner_cache* known = bpf_map_lookup_elem(&owner_cache, &tgid);
  if (known && known->signal == signal) {
    return known->owner;
  }
  const struct tg_owner_cache found = {.signal = signal, .owner = new_owner(task)};
  if (found.owner != TG_OWNER_OTHER) {
    bpf_map_update_elem(&owner_cache, &tgid, &found, BPF_ANY);
  }
  return found.owner;
}

static __always_inline __u32 current_owner(void) {
  return owner_of((struct task_struct*)bpf_get_current_task());
}

#endif
