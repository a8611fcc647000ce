/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The second half of tasks.bpf.c: tasks that end. */
#ifndef TIDEGAUGE_BPF_TASK_EXITS_H
#define TIDEGAUGE_BPF_TASK_EXITS_H

static __always_inline void add(struct tg_exit* to, const struct tg_exit* from) {
  const __u64* source = (const __u64*)&from->sum;
  __u64* target = (__u64*)&to->sum;
#pragma unroll
  for (int i = 0; i < (int)(sizeof(struct tg_task_counters) / sizeof(__u64)); i++) {
    if (source[i]) {
      __sync_fetch_and_add(&target[i], source[i]);
    }
  }
  __sync_fetch_and_add(&to->tasks, from->tasks);
  if (from->processes) {
    __sync_fetch_and_add(&to->processes, from->processes);
    if (to->comm[0]) {  // not the one for all
      to->uid = from->uid;
      to->cgroup_key = from->cgroup_key;
      __builtin_memcpy(to->comm, from->comm, sizeof(to->comm));
    }
  }
  if (from->delays) {
    __sync_fetch_and_add(&to->delays, from->delays);
  }
}

static __always_inline int add_under(void* map, const struct tg_process_key* key,
                                     const struct tg_exit* ended) {
  struct tg_exit* sum = bpf_map_lookup_elem(map, key);
  if (!sum) {
    if (!bpf_map_update_elem(map, key, ended, BPF_NOEXIST)) {
      return 0;
    }
    sum = bpf_map_lookup_elem(map, key);  // another CPU was faster, or the map is full
    if (!sum) {
      return -1;
    }
  }
  add(sum, ended);
  return 0;
}

static __always_inline void account(void* map, struct task_struct* task, __u64 start_ns,
                                    const struct tg_exit* ended) {
  struct tg_process_key key = {.signal = (__u64)task->signal, .tgid = task->tgid};
  // A process that nobody saw and nobody will see is summed with its like. A thread's end in one that
  // lives is the process's.
  const int unseen = ended->processes && start_ns > control.known_before_ns;
  if (unseen) {
    const __u64* name = (const __u64*)ended->comm;
    key.signal = mix(mix(mix(mix(1, name[0]), name[1]), ended->uid), ended->cgroup_key);
    key.tgid = 0;
  }
  if (!add_under(map, &key, ended)) {
    return;
  }
  if (unseen) {
    // Names without end: what is left of the truth is that somebody did it. User space has made this entry.
    const struct tg_process_key nameless = {};
    struct tg_exit* sum = bpf_map_lookup_elem(map, &nameless);
    if (sum) {
      add(sum, ended);
      return;
    }
  }
  __sync_fetch_and_add(&losses.unrecorded, 1);
}

static __always_inline int is_last(struct task_struct* task, __u64 start_ns) {
  // do_exit() has taken this task off the count already.
  if (task->signal->live.counter != 0) {
    return 0;
  }
  const struct dead_process process = {.signal = (__u64)task->signal, .start_ns = start_ns};
  const __u8 told = 1;
  return bpf_map_update_elem(&dead, &process, &told, BPF_NOEXIST) != -EEXIST;
}

static __always_inline int account_exit(struct task_struct* task, int is_final) {
  const struct task_identity identity = identity_of(task);
  const __u8 marked = 1;
  if (bpf_map_update_elem(&exiting, &identity, &marked, BPF_ANY) && !is_final) {
    return 0;  // the last one would not know
  }
  if (namespace_inode && !local_number(task->thread_pid)) {
    forget_syncs(task);
    return 0;
  }
  // Its leader counts it until it is released, maybe in the pass after this one.
  stir_in(0, task->tgid);
  stir_in(1, task->tgid);
  struct tg_exit ended = {.tasks = 1};
  read_counters(&ended.sum, task);
  forget_syncs(task);
  ended.flags = flags_of(task) & TG_KERNEL_THREAD;
  struct task_struct* leader = task->group_leader;
  ended.processes = is_last(task, leader->start_boottime);
  ended.delays = (flags_of(task) & TG_DELAYS) != 0;
  ended.cgroup_key = cgroup_key(task);
  ended.uid = task->real_cred->uid.val;
  bpf_core_read(ended.comm, sizeof(ended.comm), &leader->comm);
  if (control.active) {
    account(&exits_1, task, leader->start_boottime, &ended);
  } else {
    account(&exits_0, task, leader->start_boottime, &ended);
  }
  return 0;
}

// For who is not marked yet.
static __always_inline int meet_again(struct task_struct* task, int is_final) {
  const struct task_identity identity = identity_of(task);
  if (bpf_map_lookup_elem(&exiting, &identity)) {
    return 0;
  }
  __sync_fetch_and_add(&losses.met_again, 1);
  return account_exit(task, is_final);
}

// A program runs once at a time on a CPU. On 7.2 it can be preempted, and who else ends there meanwhile
// is left out: one in twenty with eight ending at once on two slow CPUs. Of those a tenth was missed by
// the second program, too; the third meets nearly all.
SEC("tp_btf/sched_process_exit")
int BPF_PROG(task_exits, struct task_struct* task) { return account_exit(task, 0); }

SEC("tp_btf/sched_process_exit")
int BPF_PROG(task_exits_2, struct task_struct* task) { return meet_again(task, 0); }

SEC("tp_btf/sched_process_exit")
int BPF_PROG(task_exits_3, struct task_struct* task) { return meet_again(task, 1); }

#endif
