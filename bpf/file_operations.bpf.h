/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long reads, writes, and operations on names take: frequent ones, so that little may be done for each. Part of
 * files.bpf.c. */
#ifndef TIDEGAUGE_BPF_FILE_OPERATIONS_H
#define TIDEGAUGE_BPF_FILE_OPERATIONS_H

/* By a hash of the thread: an array costs a tenth of a map that frees its entries. Of two threads that meet in one place
 * the first one's operation is lost, and counted. */
struct operation_start {
  __u64 thread;
  __u64 ns;
  __u64 sb; /* of a kprobe, whose end is given no arguments */
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, TG_START_ENTRIES);
  __type(key, __u32);
  __type(value, struct operation_start);
} starts SEC(".maps");

static __always_inline struct operation_start* start_of(__u64 thread) {
  const __u32 place = ((__u32)thread * 0x9E3779B1U >> 8) % TG_START_ENTRIES;
  return bpf_map_lookup_elem(&starts, &place);
}

static __always_inline void operation_begins(void) {
  const __u64 thread = bpf_get_current_pid_tgid();
  struct operation_start* start = start_of(thread);
  if (start) {
    start->thread = thread;
    start->ns = bpf_ktime_get_ns();
  }
}

/* By kprobes. What is here and has not ended is another thread's that is lost, or this one's whose end was not seen,
 * see is_over() in file_calls.bpf.h: its end finds nothing. */
static __always_inline void probed_operation_begins(struct super_block* sb) {
  const __u64 thread = bpf_get_current_pid_tgid();
  struct operation_start* start = start_of(thread);
  if (!start) {
    return;
  }
  if (start->ns) {
    __sync_fetch_and_add(&losses.unpaired, 1);
  }
  start->thread = thread;
  start->sb = (__u64)sb;
  start->ns = bpf_ktime_get_ns();
}

/* Null: nothing that was seen to begin. */
static __always_inline struct operation_start* probed_operation(void) {
  const __u64 thread = bpf_get_current_pid_tgid();
  struct operation_start* start = start_of(thread);
  return start && start->thread == thread && start->ns ? start : 0;
}

static __always_inline void operation_ends(__u32 kind, struct super_block* sb, long result) {
  const __u64 now_ns = bpf_ktime_get_ns();
  const __u64 thread = bpf_get_current_pid_tgid();
  struct operation_start* start = start_of(thread);
  if (!start || start->thread != thread || !start->ns) {
    if (start && start->thread) { /* else it began before we came */
      __sync_fetch_and_add(&losses.unpaired, 1);
    }
    return;
  }
  const __u64 start_ns = start->ns;
  start->ns = 0;
  const __u64 ns = now_ns > start_ns ? now_ns - start_ns : 0;
  struct tg_operation_key key = {.owner = acting_owner(), .operation = kind};
  if (sb) {
    read_fstype(key.fstype, sb);
  }
  struct tg_operation* sum = operation_entry(&key);
  if (!sum) {
    __sync_fetch_and_add(&losses.operations, 1);
    return;
  }
  __sync_fetch_and_add(&sum->slots[time_slot(ns)], 1);
  __sync_fetch_and_add(&sum->ns, ns);
  if (result < 0) {
    __sync_fetch_and_add(&sum->errors, 1);
  } else if (result > 0 && (kind == TG_FILE_READ || kind == TG_FILE_WRITE)) {
    __sync_fetch_and_add(&sum->bytes, result);
  }
}

/* The end of a call whose beginning was noted. */
static __always_inline void named_operation_ends(__u32 kind, long result) {
  struct super_block* sb = 0;
  if (kind == TG_FILE_OPEN && result >= 0) {
    struct file* file = file_of_descriptor(result);
    sb = BPF_CORE_READ(file, f_inode, i_sb);
    kind = BPF_CORE_READ(file, f_mode) & FMODE_CREATED ? TG_FILE_CREATE : kind;
  }
  operation_ends(kind, sb, result);
}

static __always_inline struct inode* regular_file(struct pt_regs* registers) {
  struct file* file = file_of_descriptor(first_argument(registers));
  struct inode* inode = BPF_CORE_READ(file, f_inode);
  return inode && (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFREG ? inode : 0;
}

static __always_inline __u32 operation_of_call(__u64 number) {
  const __u32 kind = number < TG_CALLS ? call_actions[number] & TG_CALL_OPERATION : 0;
  return kind > TG_FILE_LAST_SYNC ? kind : 0;
}

SEC("tp_btf/sys_enter")
int any_operation_begins(__u64* ctx) {
  if (operation_of_call(ctx[1]) && call_number((struct pt_regs*)ctx[0]) == ctx[1]) {
    operation_begins();
  }
  return 0;
}

SEC("tp_btf/sys_exit")
int any_operation_ends(__u64* ctx) {
  struct pt_regs* registers = (struct pt_regs*)ctx[0];
  const __u64 number = call_number(registers);
  const __u32 kind = operation_of_call(number);
  const long result = ctx[1];
  if (!kind) {
    return 0;
  }
  if (kind != TG_FILE_READ && kind != TG_FILE_WRITE) {
    named_operation_ends(kind, result);
    return 0;
  }
  struct inode* inode = regular_file(registers);
  if (inode) {
    operation_ends(kind, BPF_CORE_READ(inode, i_sb), result);
  }
  return 0;
}

static __always_inline int is_regular_file(struct file* file) {
  return (file->f_inode->i_mode & S_IFMT) == S_IFREG;
}

#define TRACE_TRANSFER(function, kind, result_at)                      \
  SEC("fentry/" #function)                                             \
  int BPF_PROG(function##_begins, struct file* file) {                 \
    if (is_regular_file(file)) {                                       \
      operation_begins();                                              \
    }                                                                  \
    return 0;                                                          \
  }                                                                    \
  SEC("fexit/" #function)                                              \
  int BPF_PROG(function##_ends, struct file* file) {                   \
    if (is_regular_file(file)) {                                       \
      operation_ends(kind, file->f_inode->i_sb, (long)ctx[result_at]); \
    }                                                                  \
    return 0;                                                          \
  }

/* Of other than regular files nothing begins. */
static __always_inline void probed_transfer_begins(struct file* file) {
  struct inode* inode = BPF_CORE_READ(file, f_inode);
  if (inode && (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFREG) {
    probed_operation_begins(BPF_CORE_READ(inode, i_sb));
  }
}

static __always_inline void probed_transfer_ends(__u32 kind, long result) {
  struct operation_start* start = probed_operation();
  if (start) {
    operation_ends(kind, (struct super_block*)start->sb, result);
  }
}

#define PROBE_TRANSFER(function, kind)                   \
  SEC("kprobe/" #function)                               \
  int probed_##function##_begins(struct pt_regs* ctx) {  \
    probed_transfer_begins((struct file*)PROBED_1(ctx)); \
    return 0;                                            \
  }                                                      \
  SEC("kretprobe/" #function)                            \
  int probed_##function##_ends(struct pt_regs* ctx) {    \
    probed_transfer_ends(kind, PROBED_RESULT(ctx));      \
    return 0;                                            \
  }

PROBE_TRANSFER(vfs_read, TG_FILE_READ)
PROBE_TRANSFER(vfs_write, TG_FILE_WRITE)
PROBE_TRANSFER(vfs_readv, TG_FILE_READ)
PROBE_TRANSFER(vfs_writev, TG_FILE_WRITE)

TRACE_TRANSFER(vfs_read, TG_FILE_READ, 4)
TRACE_TRANSFER(vfs_write, TG_FILE_WRITE, 4)
TRACE_TRANSFER(vfs_readv, TG_FILE_READ, 5)
TRACE_TRANSFER(vfs_writev, TG_FILE_WRITE, 5)

#define TRACE_NAMED(name, kind)                                       \
  SEC("fentry/" CALL_FUNCTION #name)                                  \
  int BPF_PROG(name##_begins, struct pt_regs* registers) {            \
    operation_begins();                                               \
    return 0;                                                         \
  }                                                                   \
  SEC("fexit/" CALL_FUNCTION #name)                                   \
  int BPF_PROG(name##_ends, struct pt_regs* registers, long result) { \
    named_operation_ends(kind, result);                               \
    return 0;                                                         \
  }                                                                   \
  SEC("kprobe/" CALL_FUNCTION #name)                                  \
  int probed_##name##_begins(struct pt_regs* ctx) {                   \
    probed_operation_begins(0);                                       \
    return 0;                                                         \
  }                                                                   \
  SEC("kretprobe/" CALL_FUNCTION #name)                               \
  int probed_##name##_ends(struct pt_regs* ctx) {                     \
    if (probed_operation()) {                                         \
      named_operation_ends(kind, PROBED_RESULT(ctx));                 \
    }                                                                 \
    return 0;                                                         \
  }

TRACE_NAMED(open, TG_FILE_OPEN)
TRACE_NAMED(creat, TG_FILE_OPEN)
TRACE_NAMED(openat, TG_FILE_OPEN)
TRACE_NAMED(openat2, TG_FILE_OPEN)
TRACE_NAMED(unlink, TG_FILE_UNLINK)
TRACE_NAMED(unlinkat, TG_FILE_UNLINK)
TRACE_NAMED(rename, TG_FILE_RENAME)
TRACE_NAMED(renameat, TG_FILE_RENAME)
TRACE_NAMED(renameat2, TG_FILE_RENAME)

#endif
