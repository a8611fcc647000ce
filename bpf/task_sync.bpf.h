/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which task asks for how many syncs and waits how long for them: part of tasks.bpf.c, which adds both to
 * the task's other counters. User space loads one set of the programs, the first that it can have:
 *   vfs_*    fentry/fexit: every file system, and all of fsync, fdatasync, msync and O_SYNC
 *   probed_* kprobes of the same, where those are refused. A kretprobe has room for so many calls under way, on
 *            kernels of today twice the CPUs and at least ten; what is beyond is counted, its time is not
 *   ext4_*   tracepoints, where both are refused: ext4 alone has both ends; of xfs and btrfs only the
 *            calls can be counted */
#ifndef TIDEGAUGE_BPF_TASK_SYNC_H
#define TIDEGAUGE_BPF_TASK_SYNC_H

struct task_syncs {
  __u64 calls;
  __u64 ns;
  __u64 since_ns; /* of the one under way; 0: none */
  __u64 frame;    /* of a kprobe: where the stack was when that began */
};
/* By the task's stack: no two live tasks share one, and exec, which may change a thread's number and start
 * time, leaves it. Entries leave when their task ends. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_SYNC_ENTRIES);
  __type(key, __u64);
  __type(value, struct task_syncs);
} syncs SEC(".maps");

static __always_inline __u64 current_stack(void) {
  return (__u64)BPF_CORE_READ((struct task_struct*)bpf_get_current_task(), stack);
}

static __always_inline void sync_begins(__u64 now_ns) {
  const __u64 stack = current_stack();
  struct task_syncs* known = bpf_map_lookup_elem(&syncs, &stack);
  if (known) {
    known->calls++;
    known->since_ns = now_ns;
    return;
  }
  struct task_syncs first = {.calls = 1, .since_ns = now_ns};
  if (bpf_map_update_elem(&syncs, &stack, &first, BPF_NOEXIST)) {
    __sync_fetch_and_add(&losses.syncs, 1);
  }
}

static __always_inline void sync_ends(void) {
  const __u64 stack = current_stack();
  struct task_syncs* known = bpf_map_lookup_elem(&syncs, &stack);
  if (known && known->since_ns) {
    known->ns += bpf_ktime_get_ns() - known->since_ns;
    known->since_ns = 0;
  }
}

// Within a call that is counted already it is that call's.
static __always_inline int is_within_sync(void) {
  const __u64 stack = current_stack();
  struct task_syncs* known = bpf_map_lookup_elem(&syncs, &stack);
  return known && known->since_ns;
}

static __always_inline void probed_sync_begins(__u64 frame) {
  sync_begins(bpf_ktime_get_ns());
  const __u64 stack = current_stack();
  struct task_syncs* known = bpf_map_lookup_elem(&syncs, &stack);
  if (known) {
    known->frame = frame;
  }
}

SEC("fentry/vfs_fsync_range")
int BPF_PROG(vfs_sync_begins) {
  if (!is_within_sync()) {
    sync_begins(bpf_ktime_get_ns());
  }
  return 0;
}

SEC("fexit/vfs_fsync_range")
int BPF_PROG(vfs_sync_ends) {
  sync_ends();
  return 0;
}

/* What is called from a place further up the stack than the one under way is not part of that: its end was missed. */
SEC("kprobe/vfs_fsync_range")
int probed_vfs_sync_begins(struct pt_regs* ctx) {
  const __u64 stack = current_stack();
  struct task_syncs* known = bpf_map_lookup_elem(&syncs, &stack);
  if (!known || !known->since_ns || known->frame <= PROBED_STACK(ctx)) {
    probed_sync_begins(PROBED_STACK(ctx));
  }
  return 0;
}

SEC("kretprobe/vfs_fsync_range")
int probed_vfs_sync_ends(struct pt_regs* ctx) {
  sync_ends();
  return 0;
}

// vfs_fsync_range() is inlined into these in Debian's 6.1 (fdatasync) and 7.2 (fsync).
#ifdef __TARGET_ARCH_arm64
#define CALL_FUNCTION "__arm64_sys_"
#else
#define CALL_FUNCTION "__x64_sys_"
#endif

SEC("fentry/" CALL_FUNCTION "fsync")
int BPF_PROG(fsync_sync_begins) {
  sync_begins(bpf_ktime_get_ns());
  return 0;
}

SEC("fexit/" CALL_FUNCTION "fsync")
int BPF_PROG(fsync_sync_ends) {
  sync_ends();
  return 0;
}

SEC("fentry/" CALL_FUNCTION "fdatasync")
int BPF_PROG(fdatasync_sync_begins) {
  sync_begins(bpf_ktime_get_ns());
  return 0;
}

SEC("fexit/" CALL_FUNCTION "fdatasync")
int BPF_PROG(fdatasync_sync_ends) {
  sync_ends();
  return 0;
}

SEC("kprobe/" CALL_FUNCTION "fsync")
int probed_fsync_sync_begins(struct pt_regs* ctx) {
  probed_sync_begins(PROBED_STACK(ctx));
  return 0;
}

SEC("kretprobe/" CALL_FUNCTION "fsync")
int probed_fsync_sync_ends(struct pt_regs* ctx) {
  sync_ends();
  return 0;
}

SEC("kprobe/" CALL_FUNCTION "fdatasync")
int probed_fdatasync_sync_begins(struct pt_regs* ctx) {
  probed_sync_begins(PROBED_STACK(ctx));
  return 0;
}

SEC("kretprobe/" CALL_FUNCTION "fdatasync")
int probed_fdatasync_sync_ends(struct pt_regs* ctx) {
  sync_ends();
  return 0;
}

SEC("tp_btf/ext4_sync_file_enter")
int BPF_PROG(ext4_sync_begins) {
  sync_begins(bpf_ktime_get_ns());
  return 0;
}

SEC("tp_btf/ext4_sync_file_exit")
int BPF_PROG(ext4_sync_ends) {
  sync_ends();
  return 0;
}

SEC("tp_btf/xfs_file_fsync")
int BPF_PROG(xfs_sync_begins) {
  sync_begins(0);
  return 0;
}

SEC("tp_btf/btrfs_sync_file")
int BPF_PROG(btrfs_sync_begins) {
  sync_begins(0);
  return 0;
}

static __always_inline void read_syncs(struct tg_task_counters* out, struct task_struct* task) {
  const __u64 stack = (__u64)task->stack;
  struct task_syncs* known = bpf_map_lookup_elem(&syncs, &stack);
  if (known) {
    out->sync_calls = known->calls;
    out->sync_ns = known->ns;
  }
}

static __always_inline void forget_syncs(struct task_struct* task) {
  const __u64 stack = (__u64)task->stack;
  bpf_map_delete_elem(&syncs, &stack);
}

#endif
