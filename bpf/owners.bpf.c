// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// The maps of owners that the other objects share, and what keeps them true. And one program that is
// never run: whether it can be loaded tells whether this kernel has trampolines for us.

// clang-format off: the helpers' headers use the types and do not include them.
#include "kernel_types.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "owner.bpf.h"
// clang-format on

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// Another program: another name.
SEC("raw_tp/sched_process_exec")
int owner_calls_exec(void* ctx) {
  const __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  bpf_map_delete_elem(&owner_cache, &tgid);
  return 0;
}

// Told before the name changes: who looks in between, for a moment, keeps the old one.
SEC("raw_tp/task_rename")
int owner_is_renamed(__u64* arguments) {
  struct task_struct* task = (struct task_struct*)arguments[0];
  const __u32 tgid = BPF_CORE_READ(task, tgid);
  if ((__u32)BPF_CORE_READ(task, pid) == tgid) {
    bpf_map_delete_elem(&owner_cache, &tgid);
  }
  return 0;
}

SEC("fentry/vfs_fsync_range")
int BPF_PROG(trampoline_probe) { return 0; }
