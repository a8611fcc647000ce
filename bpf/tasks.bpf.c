// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// What every task of the host has done.
//
// dump_task   iter/task: one record per thread, read by user space once a pass; a short one for a thread
//             that has not run since the pass before. Most threads of a host are such, and reading all of
//             one costs a dozen cache misses.
// task_exits  adds what a task did in its whole life to the process it belonged to, and marks it: the
//             iterator leaves the counters of marked tasks and of zombies alone. So each task's work is
//             in exactly one of the two places, or for a moment in neither: never counted twice, never
//             lost. (sched_process_free would come later and see the last of it, but does not fire for
//             every task: 13 of 2 001 were missed on 6.18.)
//
// User space flips `active`, iterates, then empties the map that was active before: what it finds
// there had ended before the iteration began.

// clang-format off: the helpers' headers use the types and do not include them.
#include "kernel_types.bpf.h"
#include "registers.bpf.h"
#include "task_records.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "mix.bpf.h"
#include "pid_namespace.bpf.h"
// clang-format on

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h, the same since 2.6.31 */
#define PF_EXITING 0x00000004
#define EEXIST 17

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct tg_exit_control control = {.known_before_ns = ~0ULL};
struct tg_exit_losses losses = {};
// TG_FEATURE_*: what this kernel counts at all. Told with the first pass.
__u32 features = 0;

struct exit_map {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_EXIT_ENTRIES);
  __type(key, struct tg_process_key);
  __type(value, struct tg_exit);
};
struct exit_map exits_0 SEC(".maps");
struct exit_map exits_1 SEC(".maps");

struct slot_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, TG_TASK_SLOTS);
  __type(key, __u32);
  __type(value, struct tg_task_slot);
};
// Filled and read in turn, as the exit maps are.
struct slot_map slots_0 SEC(".maps");
struct slot_map slots_1 SEC(".maps");
struct tg_task_memory memory = {};

// By a hash of the tgid, whether threads of a process have run or ended: what they do to the memory they
// share shows in their leader's record alone. Noted for the next pass in the half that `active` names.
__u8 stirred[2][TG_STIRRED] = {};

static __always_inline void stir_in(__u32 half, __u32 tgid) {
  stirred[half & 1][(tgid * 0x9E3779B1U >> 8) % TG_STIRRED] = 1;
}

static __always_inline int is_stirred(__u32 tgid) {
  return stirred[~control.active & 1][(tgid * 0x9E3779B1U >> 8) % TG_STIRRED];
}

// Tasks on their way out, until they are zombies or gone. Least recently used leave first: what is
// between the tracepoint and exit_notify() is a handful of tasks, not so many. A thread that calls
// exec takes over its leader's pid and start, but not the address.
struct task_identity {
  __u64 start_ns;
  __u64 address;
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, TG_EXIT_ENTRIES);
  __type(key, struct task_identity);
  __type(value, __u8);
} exiting SEC(".maps");

// Processes whose last thread has been told. Several threads that leave at once may each find that nobody
// is left.
struct dead_process {
  __u64 signal;
  __u64 start_ns;
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, TG_DEAD_ENTRIES);
  __type(key, struct dead_process);
  __type(value, __u8);
} dead SEC(".maps");

#include "task_sync.bpf.h"

static __always_inline void read_io(struct tg_task_counters* out, struct task_io_accounting* io) {
  if (bpf_core_field_exists(io->read_bytes)) {
    out->read_bytes = io->read_bytes;
    out->write_bytes = io->write_bytes;
    out->cancelled_write_bytes = io->cancelled_write_bytes;
  }
  if (bpf_core_field_exists(io->rchar)) {
    out->rchar = io->rchar;
    out->wchar = io->wchar;
    out->syscr = io->syscr;
    out->syscw = io->syscw;
  }
}

static __always_inline void read_counters(struct tg_task_counters* out, struct task_struct* task) {
  out->exec_ns = task->se.sum_exec_runtime;
  out->utime_ns = task->utime;
  out->stime_ns = task->stime;
  out->min_flt = task->min_flt;
  out->maj_flt = task->maj_flt;
  read_io(out, &task->ioac);
  struct task_delay_info* delays = bpf_core_field_exists(task->delays) ? task->delays : 0;
  if (delays) {
    out->blkio_delay_ns = delays->blkio_delay;
  }
  out->nvcsw = task->nvcsw;
  out->nivcsw = task->nivcsw;
  if (bpf_core_field_exists(task->sched_info.run_delay)) {
    out->run_delay_ns = task->sched_info.run_delay;
  }
  read_syncs(out, task);
}

// What threads of the process that are gone did. Its I/O holds that of reaped children too, which is
// why it is only asked for what happened before the daemon came.
static __always_inline void read_base(struct tg_task_counters* out, struct signal_struct* signal) {
  out->exec_ns = signal->sum_sched_runtime;
  out->utime_ns = signal->utime;
  out->stime_ns = signal->stime;
  out->min_flt = signal->min_flt;
  out->maj_flt = signal->maj_flt;
  read_io(out, &signal->ioac);
  out->nvcsw = signal->nvcsw;
  out->nivcsw = signal->nivcsw;
}

// Of the hierarchy that a controller has on v1. The index differs between kernels, and plain loads,
// which cost a tenth of a helper call, need a constant one: the verifier leaves one branch of these.
static __always_inline __u64 subsystem_cgroup(struct css_set* set, __u64 subsystem) {
  struct cgroup_subsys_state* css = 0;
#pragma unroll
  for (__u64 i = 0; i < 16; i++) {
    if (i == subsystem) {
      css = set->subsys[i];
    }
  }
  return css ? css->cgroup->kn->id : 0;
}

// One number for the whole membership. Sets of equal members are one css_set; ids of cgroups are
// never reused (fs/kernfs/dir.c, __kernfs_new_node).
static __always_inline __u64 cgroup_key(struct task_struct* task) {
  struct css_set* set = bpf_core_field_exists(task->cgroups) ? task->cgroups : 0;
  if (!set) {
    return 0;
  }
  __u64 address = 0;  // a copy that may be hashed; the verifier wants the pointer itself left alone
  bpf_core_read(&address, sizeof(address), &task->cgroups);
  __u64 key = mix(set->dfl_cgrp->kn->id, address);
  if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id)) {
    key =
        mix(key, subsystem_cgroup(set, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)));
  } else if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id)) {
    key = mix(key, subsystem_cgroup(set, bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)));
  }
  return key ? key : 1;
}

static __always_inline __u32 kernel_features(struct task_struct* task) {
  __u32 found = 0;
  found |= bpf_core_field_exists(task->ioac.read_bytes) ? TG_FEATURE_STORAGE : 0;
  found |= bpf_core_field_exists(task->ioac.rchar) ? TG_FEATURE_SYSCALLS : 0;
  found |= bpf_core_field_exists(task->delays) ? TG_FEATURE_DELAYS : 0;
  found |= bpf_core_field_exists(task->sched_info.run_delay) ? TG_FEATURE_RUN_DELAY : 0;
  return found;
}

// Without what a task on its way out is in.
static __always_inline __u32 run_state(struct task_struct* task) {
  if (bpf_core_field_exists(task->__state)) {
    return task->__state;
  }
  return (__u32)BPF_CORE_READ((struct task_struct___state*)task, state);
}

static __always_inline __u32 state_of(struct task_struct* task) {
  return run_state(task) | task->exit_state;
}

static __always_inline void read_memory(struct tg_leader_record* out, struct task_struct* task) {
  struct mm_struct* mm = task->mm;
  if (!mm || (out->thread.flags & TG_KERNEL_THREAD)) {
    return;
  }
  __s64 pages[4] = {};
  struct mm_struct___percpu* now = (void*)mm;
  // By a field of a type that every kernel has: for a type that is in no BTF libbpf searches those of
  // all modules, which takes CAP_SYS_ADMIN. Constant indices: only those are relocated to the
  // kernel's element size.
  if (bpf_core_field_exists(now->rss_stat)) {
    pages[0] = now->rss_stat[0].count;
    pages[1] = now->rss_stat[1].count;
    pages[2] = now->rss_stat[2].count;
    pages[3] = now->rss_stat[3].count;
  } else {
    // Copied: the verifier of 6.1 takes no plain load through an array of typedefs ("Type
    // 'atomic_long_t' is not a struct").
    bpf_core_read(pages, sizeof(pages), &mm->rss_stat.count);
  }
  out->thread.flags |= TG_HAS_MM;
  // Per-CPU parts that are still out may leave the sum below zero.
  out->file_pages = pages[0] > 0 ? pages[0] : 0;
  out->anon_pages = pages[1] > 0 ? pages[1] : 0;
  out->swap_pages = pages[2] > 0 ? pages[2] : 0;
  out->shmem_pages = pages[3] > 0 ? pages[3] : 0;
}

static __always_inline __u32 flags_of(struct task_struct* task) {
  __u32 flags = (task->flags & PF_KTHREAD) ? TG_KERNEL_THREAD : 0;
  if (bpf_core_field_exists(task->delays) && task->delays) {
    flags |= TG_DELAYS;
  }
  return flags;
}

static __always_inline struct task_identity identity_of(struct task_struct* task) {
  struct task_identity identity = {.start_ns = task->start_boottime, .address = (__u64)task};
  return identity;
}

// Whether task_exits has accounted for it. A zombie of before this program is told by the first pass.
static __always_inline int is_accounted(struct task_struct* task) {
  if (task->exit_state) {
    return 1;
  }
  if (!(task->flags & PF_EXITING)) {
    return 0;
  }
  struct task_identity identity = identity_of(task);
  return bpf_map_lookup_elem(&exiting, &identity) != 0;
}

static __always_inline void read_thread(struct tg_thread_record* out, struct task_struct* task,
                                        __u32 tid) {
  out->flags |= flags_of(task) | (is_accounted(task) ? TG_ACCOUNTED : 0);
  out->process.signal = (__u64)task->signal;
  out->process.tgid = task->tgid;
  out->tid = tid;
  out->state = state_of(task);
  read_counters(&out->own, task);
}

#define MAX_SLOT_STEPS 32 /* after a storm of ends, records in full catch up */

// Both passes go by rising tid, so that one walks along what the other left.
static __always_inline int is_remembered(void* slots, __u32 tid, __u32 tgid, __u64 exec_ns) {
  __u32 at = memory.read_at;
  struct tg_task_slot* slot = 0;
  for (int i = 0; i < MAX_SLOT_STEPS; i++) {
    slot = at < memory.known ? bpf_map_lookup_elem(slots, &at) : 0;
    if (!slot || slot->tid >= tid) {
      break;
    }
    at++;
  }
  memory.read_at = at;
  return slot && slot->tid == tid && slot->tgid == tgid && slot->exec_ns == exec_ns && exec_ns;
}

static __always_inline void remember(void* slots, __u32 tid, __u32 tgid, __u64 exec_ns) {
  __u32 at = memory.written;
  if (at && memory.last_tid == tid) {
    at--;
  }
  struct tg_task_slot* slot = bpf_map_lookup_elem(slots, &at);
  if (slot) {
    slot->tid = tid;
    slot->tgid = tgid;
    slot->exec_ns = exec_ns;
    memory.last_tid = tid;
    memory.written = at + 1;
  }
}

// Whether it has not run since the last pass. Run time is accounted when a task leaves its CPU: one that is
// running may have done anything. `exec_ns` is read before all else, so that what happens meanwhile is
// seen by the next pass.
static __always_inline int is_same(struct task_struct* task, __u32 tid, __u64 exec_ns) {
  const __u32 tgid = task->tgid;
  const int same = control.active ? is_remembered(&slots_0, tid, tgid, exec_ns)
                                  : is_remembered(&slots_1, tid, tgid, exec_ns);
  if (!same || !run_state(task) || (task->flags & PF_EXITING)) {
    return 0;
  }
  return task->pid != tgid || (tid / TG_TURN_TIDS % TG_TURNS != memory.turn && !is_stirred(tgid));
}

struct leader_with_base {
  struct tg_leader_record leader;
  struct tg_task_counters base;
};

static __always_inline void dump_leader(struct seq_file* seq, struct task_struct* task, __u32 tid) {
  struct leader_with_base record = {};
  struct tg_leader_record* leader = &record.leader;
  read_thread(&leader->thread, task, tid);
  leader->thread.flags |= TG_LEADER;
  leader->start_ns = task->start_boottime;
  leader->cgroup_key = cgroup_key(task);
  struct task_struct* parent = task->real_parent;
  if (parent) {
    leader->parent = namespace_inode ? local_number(BPF_CORE_READ(parent, group_leader, thread_pid))
                                     : (__u32)parent->tgid;
  }
  leader->uid = task->real_cred->uid.val;
  struct signal_struct* signal = task->signal;
  leader->threads = signal->nr_threads;
  bpf_core_read(leader->comm, sizeof(leader->comm), &task->comm);
  read_memory(leader, task);
  if (control.want_base) {
    features = kernel_features(task);
    read_base(&record.base, signal);
    leader->thread.flags |= TG_HAS_BASE;
    leader->thread.bytes = sizeof(record);
    bpf_seq_write(seq, &record, sizeof(record));
    return;
  }
  leader->thread.bytes = sizeof(record.leader);
  bpf_seq_write(seq, &record, sizeof(record.leader));
}

SEC("iter/task")
int dump_task(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  struct seq_file* seq = ctx->meta->seq;
  if (!task) {  // all are told
    control.known_before_ns = bpf_ktime_get_boot_ns();
    return 0;
  }
  const __u64 exec_ns = task->se.sum_exec_runtime;
  asm volatile("" ::: "memory");
  const __u32 tid = namespace_inode ? local_number(task->thread_pid) : (__u32)task->pid;
  if (!tid) {  // has lost its number since
    return 0;
  }
  const int leads = task->pid == task->tgid;
  const int same = is_same(task, tid, exec_ns);
  if (control.active) {
    remember(&slots_1, tid, task->tgid, exec_ns);
  } else {
    remember(&slots_0, tid, task->tgid, exec_ns);
  }
  if (same) {
    struct tg_same_record record = {.flags = TG_SAME | (leads ? TG_LEADER : 0),
                                    .bytes = sizeof(record),
                                    .tid = tid,
                                    .state = run_state(task)};  // not exit_state: a cache line
    bpf_seq_write(seq, &record, sizeof(record));
    return 0;
  }
  if (leads) {
    dump_leader(seq, task, tid);
    return 0;
  }
  stir_in(control.active, task->tgid);
  struct tg_thread_record thread = {};
  read_thread(&thread, task, tid);
  thread.bytes = sizeof(thread);
  bpf_seq_write(seq, &thread, sizeof(thread));
  return 0;
}

#include "task_exits.bpf.h"
