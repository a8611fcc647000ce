/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bytes read from and written to files, by inode: these tracepoints know no file. Part of files.bpf.c. */
#ifndef TIDEGAUGE_BPF_FILE_BYTES_H
#define TIDEGAUGE_BPF_FILE_BYTES_H

/* The file that the call under way names, if it is one of this inode. */
static __always_inline struct file* file_of_call(struct inode* inode) {
  struct pt_regs* registers = current_registers();
  const __u64 number = call_number(registers);
  if (number >= TG_CALLS || !(call_actions[number] & TG_CALL_HAS_FD)) {
    return 0;
  }
  struct file* file = file_of_descriptor(first_argument(registers));
  return file && BPF_CORE_READ(file, f_inode) == inode ? file : 0;
}

/* Once a pass is enough for a file's name and user. Not inlined: seldom, and big. */
static __always_inline void name_inode(struct tg_file* entry, const struct tg_file_key* key,
                                       struct inode* inode, struct file* file) {
  entry->told_pass = control.pass;
  set_user(entry, acting_owner());
  if (!file) {
    file = file_of_call(inode);
  }
  if (file) {
    know_path(entry, key, BPF_CORE_READ(file, f_path.dentry),
              mount_of(BPF_CORE_READ(file, f_path.mnt)), 0);
    return;
  }
  struct dentry* dentry = any_dentry(inode);
  if (dentry) {
    know_path(entry, key, dentry, (struct mount*)root_mount((__u64)BPF_CORE_READ(inode, i_sb)), 1);
  }
}

static __always_inline int is_due(const struct tg_file* entry) {
  return entry->told_pass != control.pass &&
         entry->counts.read_bytes + entry->counts.written_bytes >= TG_NOTABLE_BYTES;
}

static __always_inline void wrote(struct inode* inode, __u64 bytes) {
  struct tg_file_key key;
  read_key(&key, inode);
  struct tg_file* entry = file_entry(&key);
  if (!entry) {
    return;
  }
  __sync_fetch_and_add(&entry->counts.written_bytes, bytes);
  if (is_due(entry)) {
    name_inode(entry, &key, inode, 0);
  }
}

/* (inode, pos, len, copied). Copied less: nothing has been written, the same is tried again. */
static __always_inline int write_ends(__u64* ctx) {
  const __u32 length = (__u32)ctx[2];
  if ((__u32)ctx[3] == length && length) {
    wrote((struct inode*)ctx[0], length);
  }
  return 0;
}

SEC("raw_tp/ext4_da_write_end")
int ext4_delayed_write_ends(__u64* ctx) { return write_ends(ctx); }

SEC("raw_tp/ext4_write_end")
int ext4_write_ends(__u64* ctx) { return write_ends(ctx); }

SEC("raw_tp/ext4_journalled_write_end")
int ext4_journalled_write_ends(__u64* ctx) { return write_ends(ctx); }

/* Where a thread's read through the page cache was last, in pages. An array, as `starts` in file_operations.bpf.h:
 * threads whose numbers follow one another have places of their own; of two that read at once and meet in one, what
 * is left of a read may count again. */
struct read_cursor {
  __u32 thread;
  __u32 calls; /* that read, and have ended */
  __u64 inode;
  __u64 from;
  __u64 last;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, TG_CURSOR_ENTRIES);
  __type(key, __u32);
  __type(value, struct read_cursor);
} cursors SEC(".maps");

/* Whether these pages are the rest of what the same call asked for before. */
static __always_inline int goes_on(const struct inode* inode, __u64 from, __u64 last) {
  struct task_struct* task = bpf_get_current_task_btf();
  const __u32 thread = task->pid;
  const __u32 place = thread * 0x9E3779B1U % TG_CURSOR_ENTRIES;
  struct read_cursor* cursor = bpf_map_lookup_elem(&cursors, &place);
  if (!cursor) {
    return 0;
  }
  /* Without CONFIG_TASK_XACCT calls are not told apart. */
  const __u32 calls = bpf_core_field_exists(task->ioac.syscr) ? (__u32)task->ioac.syscr : 0;
  const int same = cursor->thread == thread && cursor->calls == calls &&
                   cursor->inode == (__u64)inode && cursor->last == last && from > cursor->from;
  cursor->thread = thread;
  cursor->calls = calls;
  cursor->inode = (__u64)inode;
  cursor->from = from;
  cursor->last = last;
  return same;
}

/* (mapping, from, last): pages that a read goes through, or has left to go through: a long one comes by several
 * times, with the same last one. A read of one byte counts for its page. */
SEC("tp_btf/mm_filemap_get_pages")
int pages_read(__u64* ctx) {
  struct inode* inode = ((struct address_space*)ctx[0])->host;
  const __u64 from = ctx[1];
  const __u64 asked_last = ctx[2];
  if (goes_on(inode, from, asked_last)) {
    return 0;
  }
  /* A read may ask for more than the file has. */
  const long long size = inode->i_size;
  const __u64 there = size > 0 ? ((__u64)size + (1ULL << page_shift) - 1) >> page_shift : 0;
  const __u64 end = asked_last + 1 < there ? asked_last + 1 : there;
  if (end <= from) {
    return 0;
  }
  const struct tg_file_key key = {
      .inode = inode->i_ino, .device = inode->i_sb->s_dev, .generation = inode->i_generation};
  struct tg_file* entry = file_entry(&key);
  if (!entry) {
    return 0;
  }
  __sync_fetch_and_add(&entry->counts.read_bytes, (end - from) << page_shift);
  if (is_due(entry)) {
    name_inode(entry, &key, inode, 0);
  }
  return 0;
}

/* (kiocb, iterator, ...). Direct I/O as it is asked for: its end comes in an interrupt, in the midst of anybody's work,
 * and does not tell reads from writes. */
SEC("raw_tp/iomap_dio_rw_begin")
int direct_begins(__u64* ctx) {
  struct kiocb* call = (struct kiocb*)ctx[0];
  struct iov_iter* memory = (struct iov_iter*)ctx[1];
  struct file* file = BPF_CORE_READ(call, ki_filp);
  struct inode* inode = BPF_CORE_READ(file, f_inode);
  struct tg_file_key key;
  read_key(&key, inode);
  struct tg_file* entry = file_entry(&key);
  if (!entry) {
    return 0;
  }
  const __u64 asked = BPF_CORE_READ(memory, count);
  if (BPF_CORE_READ(memory, data_source)) {
    __sync_fetch_and_add(&entry->counts.written_bytes, asked);
  } else {
    const long long left = BPF_CORE_READ(inode, i_size) - BPF_CORE_READ(call, ki_pos);
    const __u64 there = left > 0 ? left : 0;
    __sync_fetch_and_add(&entry->counts.read_bytes, asked < there ? asked : there);
  }
  if (is_due(entry)) {
    name_inode(entry, &key, inode, file);
  }
  return 0;
}

#endif
