/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Operations on files: when they begin and end, and on which file. Part of files.bpf.c.
 *
 * The system calls' begin and end are seen, by trampolines, kprobes or where all calls come by; and, for what comes another
 * way (io_uring, O_SYNC), the function it leads through, or without either ext4's own tracepoints. Where both see an
 * operation it is the call's, so that it counts once and lasts as long as its caller waits. */
#ifndef TIDEGAUGE_BPF_FILE_CALLS_H
#define TIDEGAUGE_BPF_FILE_CALLS_H

struct pending {
  __u64 start_ns;
  struct tg_file_key file;
  char fstype[16];
  __u32 operation;
  __u32 depth;     /* a stacked file system calls the one below */
  __u32 from_call; /* the system call's end ends it */
  __u32 frame;     /* of a kprobe: where the stack was, see is_over(); else 0 */
};
/* By thread. Least recently used leave: nobody may be left of a call whose end we did not see. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, TG_PENDING_ENTRIES);
  __type(key, __u64);
  __type(value, struct pending);
} pending SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_OPERATION_ENTRIES);
  __type(key, struct tg_operation_key);
  __type(value, struct tg_operation);
} operations SEC(".maps");

static const struct tg_operation no_operation = {};

/* By thread, 1: a begin of its was seen. The end of what was under way when we came is no loss. */
__u8 has_begun[TG_BEGUN_ENTRIES] = {};

static __always_inline __u8* begun_mark(__u64 thread) {
  return &has_begun[(__u32)thread % TG_BEGUN_ENTRIES];
}

/* The end of the system call counts it, and is still looked for. */
static __always_inline int is_the_calls(const struct pending* under_way) {
  return under_way->from_call && !control.calls_shed;
}

/* Which operation a file system's fsync is part of. */
static __always_inline __u32 sync_kind(struct file* file, int datasync) {
  const __u64 number = call_number(current_registers());
  const __u32 said = number < TG_CALLS ? call_actions[number] & TG_CALL_OPERATION : 0;
  if (said && said <= TG_FILE_LAST_SYNC) {
    return said;
  }
  if (said == TG_FILE_WRITE) {
    return TG_FILE_SYNC_WRITE;
  }
  /* io_uring, or a kernel thread */
  return datasync ? TG_FILE_FDATASYNC : TG_FILE_FSYNC;
}

static __always_inline void name_file(struct pending* to, struct file* from) {
  struct inode* inode = BPF_CORE_READ(from, f_inode);
  if (!inode) {
    return;
  }
  read_fstype(to->fstype, BPF_CORE_READ(inode, i_sb));
  read_key(&to->file, inode);
  struct tg_file* file = file_entry(&to->file);
  if (file) {
    know_path(file, &to->file, BPF_CORE_READ(from, f_path.dentry),
              mount_of(BPF_CORE_READ(from, f_path.mnt)), 0);
  }
}

static __always_inline void tell_slow(const struct pending* what, __u64 now_ns, __u64 ns,
                                      __u32 owner, long error) {
  if (!control.slow_left) {
    __sync_fetch_and_add(&losses.slow, 1);
    return;
  }
  control.slow_left--;
  struct tg_slow_event* event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) {
    __sync_fetch_and_add(&losses.slow, 1);
    return;
  }
  event->kind = TG_EVENT_SLOW;
  event->operation = what->operation;
  event->file = what->file;
  event->end_ns = now_ns;
  event->ns = ns;
  event->owner = owner;
  const __u64 id = acting_thread();
  event->tid = (__u32)id;
  event->tgid = id >> 32;
  event->error = error < 0 ? -error : 0;
  bpf_get_current_comm(event->comm, sizeof(event->comm));
  __builtin_memcpy(event->fstype, what->fstype, sizeof(event->fstype));
  bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* Returns the bytes written to the file since it was last synchronised. */
static __always_inline __u64 add_to_file(const struct pending* what, __u64 ns, __u32 owner) {
  struct tg_file* file = what->file.inode ? bpf_map_lookup_elem(&files, &what->file) : 0;
  if (!file || what->operation > TG_FILE_LAST_SYNC) {
    return 0;
  }
  __sync_fetch_and_add(&file->counts.syncs, 1);
  __sync_fetch_and_add(&file->counts.sync_ns, ns);
  if (file->pass != control.pass) {
    file->pass = control.pass;
    file->worst_ns = 0;
  }
  if (ns > file->worst_ns) {
    file->worst_ns = ns;
  }
  set_user(file, owner);
  const __u64 written = file->counts.written_bytes;
  const __u64 before = file->synced_bytes;
  file->synced_bytes = written;
  return written > before ? written - before : 0;
}

static __always_inline struct tg_operation* operation_entry(struct tg_operation_key* key) {
  struct tg_operation* sum = bpf_map_lookup_elem(&operations, key);
  if (sum) {
    return sum;
  }
  bpf_map_update_elem(&operations, key, &no_operation, BPF_NOEXIST);
  return bpf_map_lookup_elem(&operations, key);
}

static __always_inline void account(const struct pending* what, long result) {
  const __u64 now_ns = bpf_ktime_get_ns();
  const __u64 ns = now_ns > what->start_ns ? now_ns - what->start_ns : 0;
  struct tg_operation_key key = {.owner = acting_owner(), .operation = what->operation};
  __builtin_memcpy(key.fstype, what->fstype, sizeof(key.fstype));
  const __u64 bytes = add_to_file(what, ns, key.owner);
  struct tg_operation* sum = operation_entry(&key);
  if (!sum) {
    __sync_fetch_and_add(&losses.operations, 1);
    return;
  }
  __sync_fetch_and_add(&sum->slots[time_slot(ns)], 1);
  __sync_fetch_and_add(&sum->ns, ns);
  if (bytes) {
    __sync_fetch_and_add(&sum->bytes, bytes);
  }
  if (result < 0) {
    __sync_fetch_and_add(&sum->errors, 1);
  }
  const __u32 kind = what->operation;
  if (kind < TG_FILE_OPERATIONS && slow_ns[kind] && ns >= slow_ns[kind]) {
    __sync_fetch_and_add(&sum->slow, 1);
    tell_slow(what, now_ns, ns, key.owner, result);
  }
}

/* A kretprobe has room for so many functions under way at a time, on kernels of today twice the CPUs and at least ten;
 * what is beyond has no end for us. The next begin of the same thread finds it: a call's is not of the call that the
 * thread is in now, others' is of a function that was not called from below, or for the same file. */
static __always_inline int is_over(const struct pending* under_way, struct file* file,
                                   __u32 frame) {
  if (under_way->from_call) {
    const __u64 number = call_number(current_registers());
    return number >= TG_CALLS || (call_actions[number] & TG_CALL_OPERATION) != under_way->operation;
  }
  return frame >= under_way->frame ||
         (file && BPF_CORE_READ(file, f_inode, i_ino) == under_way->file.inode);
}

/* `frame`: of a kprobe; else 0. */
static __always_inline void waiting_begins(struct file* file, __u32 kind, __u32 frame) {
  const __u64 now_ns = bpf_ktime_get_ns();
  const __u64 id = bpf_get_current_pid_tgid();
  struct pending* under_way = bpf_map_lookup_elem(&pending, &id);
  if (under_way && frame && is_over(under_way, file, frame)) {
    __sync_fetch_and_add(&losses.unpaired, 1);
    under_way = 0;
  }
  if (under_way && is_the_calls(under_way)) {
    if (!under_way->file.inode && file) {
      name_file(under_way, file);
    }
    return;
  }
  if (under_way && !under_way->from_call) {
    under_way->depth++;
    return;
  }
  *begun_mark(id) = 1;
  struct pending begun = {.start_ns = now_ns, .operation = kind, .frame = frame};
  if (file) {
    name_file(&begun, file);
  }
  bpf_map_update_elem(&pending, &id, &begun, BPF_ANY);
}

static __always_inline void waiting_ends(long result) {
  const __u64 id = bpf_get_current_pid_tgid();
  struct pending* under_way = bpf_map_lookup_elem(&pending, &id);
  if (!under_way) {
    if (*begun_mark(id)) {
      __sync_fetch_and_add(&losses.unpaired, 1);
    }
    return;
  }
  if (is_the_calls(under_way)) {
    return;
  }
  if (under_way->depth) {
    under_way->depth--;
    return;
  }
  account(under_way, result);
  bpf_map_delete_elem(&pending, &id);
}

SEC("raw_tp/ext4_sync_file_enter")
int ext4_sync_begins(__u64* ctx) {
  struct file* file = (struct file*)ctx[0];
  waiting_begins(file, sync_kind(file, ctx[1]), 0);
  return 0;
}

SEC("raw_tp/ext4_sync_file_exit")
int ext4_sync_ends(__u64* ctx) {
  waiting_ends((int)ctx[1]);
  return 0;
}

/* btrfs tells no end: only the file of a call whose end is seen, msync's. */
SEC("raw_tp/btrfs_sync_file")
int btrfs_sync_begins(__u64* ctx) {
  const __u64 id = bpf_get_current_pid_tgid();
  struct pending* under_way = bpf_map_lookup_elem(&pending, &id);
  if (under_way && under_way->from_call && !under_way->file.inode) {
    name_file(under_way, (struct file*)ctx[0]);
  }
  return 0;
}

static __always_inline void call_begins(struct pt_regs* registers, __u32 action) {
  struct pending begun = {
      .start_ns = bpf_ktime_get_ns(), .operation = action & TG_CALL_OPERATION, .from_call = 1};
  if (action & TG_CALL_HAS_FD) {
    struct file* file = file_of_descriptor(first_argument(registers));
    if (file) {
      name_file(&begun, file);
    }
  }
  const __u64 id = bpf_get_current_pid_tgid();
  bpf_map_update_elem(&pending, &id, &begun, BPF_ANY);
}

/* In file_churn.bpf.h. */
static __always_inline void opened(long descriptor);

static __always_inline void call_ends(long result) {
  const __u64 id = bpf_get_current_pid_tgid();
  struct pending* under_way = bpf_map_lookup_elem(&pending, &id);
  if (under_way && under_way->from_call) {
    account(under_way, result);
    bpf_map_delete_elem(&pending, &id);
  }
}

/* Every system call comes by here: first of all, those that are none of ours go. tp_btf, where a field is a plain load,
 * for what every kernel has built in. */
SEC("tp_btf/sys_enter")
int any_call_begins(__u64* ctx) {
  const __u64 number = ctx[1];
  if (number >= TG_CALLS) {
    return 0;
  }
  const __u8 action = call_actions[number];
  const __u32 kind = action & TG_CALL_OPERATION;
  if (!kind || kind > TG_FILE_LAST_SYNC) {
    return 0;
  }
  struct pt_regs* registers = (struct pt_regs*)ctx[0];
  if (call_number(registers) == number) {
    call_begins(registers, action);
  }
  return 0;
}

SEC("tp_btf/sys_exit")
int any_call_ends(__u64* ctx) {
  struct pt_regs* registers = (struct pt_regs*)ctx[0];
#if defined(__TARGET_ARCH_x86)
  const __u64 number = registers->orig_ax;
#elif defined(__TARGET_ARCH_arm64)
  const __u64 number = registers->syscallno;
#else
  const __u64 number = ~0ULL;
#endif
  if (number >= TG_CALLS) {
    return 0;
  }
  const __u32 kind = call_actions[number] & TG_CALL_OPERATION;
  if (kind && kind <= TG_FILE_LAST_SYNC) {
    call_ends((long)ctx[1]);
  } else if (kind == TG_FILE_OPEN && control.opens_tell_new_files && (long)ctx[1] >= 0 &&
             call_number(registers) == number) {
    opened((long)ctx[1]);
  }
  return 0;
}

/* What comes another way than by a call below: io_uring, and writes that wait. Not fdatasync: Debian's 6.1 has this
 * function, without its first half, inlined there. */
SEC("fentry/vfs_fsync_range")
int BPF_PROG(vfs_sync_begins, struct file* file, long long start, long long end, int datasync) {
  waiting_begins(file, sync_kind(file, datasync), 0);
  return 0;
}

SEC("kprobe/vfs_fsync_range")
int probed_vfs_sync_begins(struct pt_regs* ctx) {
  struct file* file = (struct file*)PROBED_1(ctx);
  waiting_begins(file, sync_kind(file, PROBED_4(ctx)), PROBED_STACK(ctx));
  return 0;
}

SEC("kretprobe/vfs_fsync_range")
int probed_vfs_sync_ends(struct pt_regs* ctx) {
  waiting_ends((int)PROBED_RESULT(ctx));
  return 0;
}

SEC("fexit/vfs_fsync_range")
int BPF_PROG(vfs_sync_ends, struct file* file, long long start, long long end, int datasync,
             int result) {
  waiting_ends(result);
  return 0;
}

#if defined(__TARGET_ARCH_arm64)
#define CALL_FUNCTION "__arm64_sys_"
#else
#define CALL_FUNCTION "__x64_sys_"
#endif

/* A thread is in one call: what is under way yet has no end, see is_over(). */
static __always_inline void probed_call_begins(struct pt_regs* registers, __u32 action) {
  const __u64 id = bpf_get_current_pid_tgid();
  if (bpf_map_lookup_elem(&pending, &id)) {
    __sync_fetch_and_add(&losses.unpaired, 1);
  }
  call_begins(registers, action);
}

#define TRACE_CALL(name, action)                                      \
  SEC("fentry/" CALL_FUNCTION #name)                                  \
  int BPF_PROG(name##_begins, struct pt_regs* registers) {            \
    call_begins(registers, action);                                   \
    return 0;                                                         \
  }                                                                   \
  SEC("fexit/" CALL_FUNCTION #name)                                   \
  int BPF_PROG(name##_ends, struct pt_regs* registers, long result) { \
    call_ends(result);                                                \
    return 0;                                                         \
  }                                                                   \
  SEC("kprobe/" CALL_FUNCTION #name)                                  \
  int probed_##name##_begins(struct pt_regs* ctx) {                   \
    probed_call_begins((struct pt_regs*)PROBED_1(ctx), action);       \
    return 0;                                                         \
  }                                                                   \
  SEC("kretprobe/" CALL_FUNCTION #name)                               \
  int probed_##name##_ends(struct pt_regs* ctx) {                     \
    call_ends(PROBED_RESULT(ctx));                                    \
    return 0;                                                         \
  }

TRACE_CALL(fsync, TG_FILE_FSYNC | TG_CALL_HAS_FD)
TRACE_CALL(fdatasync, TG_FILE_FDATASYNC | TG_CALL_HAS_FD)
TRACE_CALL(msync, TG_FILE_MSYNC)
TRACE_CALL(sync_file_range, TG_FILE_SYNC_FILE_RANGE | TG_CALL_HAS_FD)
TRACE_CALL(syncfs, TG_FILE_SYNCFS | TG_CALL_HAS_FD)

/* sync's own function is in no BTF: it takes no argument. */
SEC("fentry/ksys_sync")
int BPF_PROG(sync_begins) {
  waiting_begins(0, TG_FILE_SYNC, 0);
  return 0;
}

SEC("kprobe/ksys_sync")
int probed_sync_begins(struct pt_regs* ctx) {
  waiting_begins(0, TG_FILE_SYNC, PROBED_STACK(ctx));
  return 0;
}

SEC("kretprobe/ksys_sync")
int probed_sync_ends(struct pt_regs* ctx) {
  waiting_ends(0);
  return 0;
}

SEC("fexit/ksys_sync")
int BPF_PROG(sync_ends) {
  waiting_ends(0);
  return 0;
}

#endif
