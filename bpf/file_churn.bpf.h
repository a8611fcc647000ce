/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files that are created and deleted: how long they lived, what was in them, and whether any of it came to the
 * disk. Part of files.bpf.c. */
#ifndef TIDEGAUGE_BPF_FILE_CHURN_H
#define TIDEGAUGE_BPF_FILE_CHURN_H

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, TG_BIRTH_ENTRIES);
  __type(key, struct tg_file_key);
  __type(value, struct tg_birth);
} births SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_CHURN_ENTRIES);
  __type(key, struct tg_churn_key);
  __type(value, struct tg_churn);
} churn SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, TG_DIRECTORY_ENTRIES);
  __type(key, struct tg_directory_key);
  __type(value, struct tg_directory);
} directories SEC(".maps");

static const struct tg_churn no_churn = {};
static const struct tg_directory no_directory = {};

static __always_inline int is_regular(unsigned short mode) { return (mode & S_IFMT) == S_IFREG; }

/* include/uapi/linux/magic.h */
#define EXT4_MAGIC 0xEF53
#define TMPFS_MAGIC 0x01021994
#define XFS_MAGIC 0x58465342
/* include/linux/fs.h */
#define FMODE_CREATED 0x100000 /* since 4.19 */
#define FS_REQUIRES_DEV 1
#define SB_OF_THE_KERNEL (1UL << 22 | 1UL << 31) /* SB_KERNMOUNT, SB_NOUSER */

/* Whether an inode is a regular file of a file system that the hooks below are for: those on devices, and tmpfs where it
 * is mounted, not the kernel's own, whose files are shared memory. ext4 has tracepoints of its own; of network file
 * systems not all that happens comes by here. */
static __always_inline int is_counted(struct inode* inode) {
  if (!inode || !is_regular(BPF_CORE_READ(inode, i_mode))) {
    return 0;
  }
  struct super_block* sb = BPF_CORE_READ(inode, i_sb);
  const unsigned long magic = BPF_CORE_READ(sb, s_magic);
  if (magic == TMPFS_MAGIC) {
    return !(BPF_CORE_READ(sb, s_flags) & SB_OF_THE_KERNEL);
  }
  return magic != EXT4_MAGIC && BPF_CORE_READ(sb, s_type, fs_flags) & FS_REQUIRES_DEV;
}

static __always_inline unsigned long magic_of(struct inode* inode) {
  return BPF_CORE_READ(inode, i_sb, s_magic);
}

static __always_inline struct tg_churn* churn_entry(struct inode* inode, __u32 owner) {
  struct tg_churn_key key = {.owner = owner};
  read_fstype(key.fstype, BPF_CORE_READ(inode, i_sb));
  struct tg_churn* sum = bpf_map_lookup_elem(&churn, &key);
  if (!sum) {
    bpf_map_update_elem(&churn, &key, &no_churn, BPF_NOEXIST);
    sum = bpf_map_lookup_elem(&churn, &key);
  }
  if (!sum) {
    __sync_fetch_and_add(&losses.churn, 1);
  }
  return sum;
}

static __always_inline struct tg_directory* directory_entry(const struct tg_directory_key* key) {
  struct tg_directory* sum = bpf_map_lookup_elem(&directories, key);
  if (!sum) {
    bpf_map_update_elem(&directories, key, &no_directory, BPF_NOEXIST);
    sum = bpf_map_lookup_elem(&directories, key);
  }
  return sum;
}

static __always_inline void know_directory(struct tg_directory* sum,
                                           const struct tg_directory_key* key,
                                           struct inode* directory) {
  struct dentry* dentry = any_dentry(directory);
  if (!dentry) {
    return;
  }
  const __u64 print = path_print((__u64)dentry);
  if (sum->told_print != print &&
      !tell_path(key->directory.inode,
                 (__u64)key->directory.device << 32 | key->directory.generation, (__u64)dentry,
                 root_mount((__u64)BPF_CORE_READ(directory, i_sb)))) {
    sum->told_print = print;
  }
}

static __always_inline void file_created(struct inode* inode, struct inode* directory) {
  struct tg_birth birth = {.ns = bpf_ktime_get_ns(), .owner = acting_owner()};
  if (directory) {
    read_key(&birth.directory, directory);
  }
  struct tg_file_key key;
  read_key(&key, inode);
  bpf_map_update_elem(&births, &key, &birth, BPF_ANY);
  struct tg_churn* sum = churn_entry(inode, birth.owner);
  if (sum) {
    __sync_fetch_and_add(&sum->created, 1);
  }
  const struct tg_directory_key where = {.directory = birth.directory, .owner = birth.owner};
  struct tg_directory* in = directory_entry(&where);
  if (in) {
    /* Before it counts: user space, which reads the table first, then has the name of all it saw there. */
    if (directory) {
      know_directory(in, &where, directory);
    }
    __sync_fetch_and_add(&in->created, 1);
  }
}

/* Before its last name goes, if it does: whose it was when nobody saw it come. */
static __always_inline void file_unlinked(struct inode* inode, struct inode* directory) {
  struct tg_file_key key;
  read_key(&key, inode);
  if (bpf_map_lookup_elem(&births, &key)) {
    return;
  }
  struct tg_birth unseen = {.owner = acting_owner()};
  read_key(&unseen.directory, directory);
  bpf_map_update_elem(&births, &key, &unseen, BPF_NOEXIST);
  const struct tg_directory_key where = {.directory = unseen.directory, .owner = unseen.owner};
  struct tg_directory* in = directory_entry(&where);
  if (in) {
    know_directory(in, &where, directory);
  }
}

static __always_inline void file_deleted(struct inode* inode) {
  struct tg_file_key key;
  read_key(&key, inode);
  struct tg_birth* birth = bpf_map_lookup_elem(&births, &key);
  struct tg_directory_key where = {};
  __u64 born_ns = 0;
  if (birth) {
    where.owner = birth->owner;
    where.directory = birth->directory;
    born_ns = birth->ns;
    bpf_map_delete_elem(&births, &key);
  } else { /* another took its name */
    where.owner = acting_owner();
  }
  const long long size = BPF_CORE_READ(inode, i_size);
  const __u64 bytes = size > 0 ? size : 0;
  const unsigned long magic = magic_of(inode);
  const int untold = magic == XFS_MAGIC; /* it has blocks in its own types alone */
  const int stored = untold || (magic != TMPFS_MAGIC && BPF_CORE_READ(inode, i_blocks));
  const __u64 unstored = stored ? 0 : bytes;
  struct tg_churn* sum = churn_entry(inode, where.owner);
  if (sum) {
    __sync_fetch_and_add(&sum->deleted, 1);
    __sync_fetch_and_add(&sum->bytes, bytes);
    __sync_fetch_and_add(&sum->unstored, unstored);
    if (born_ns) {
      const __u64 ns = bpf_ktime_get_ns() - born_ns;
      __sync_fetch_and_add(&sum->lifetime_ns, ns);
      __sync_fetch_and_add(&sum->lifetimes[time_slot(ns)], 1);
    }
  }
  struct tg_directory* in = directory_entry(&where);
  if (in) {
    __sync_fetch_and_add(&in->deleted, 1);
    __sync_fetch_and_add(&in->bytes, bytes);
    __sync_fetch_and_add(&in->unstored, unstored);
    __sync_fetch_and_add(&in->untold, untold);
  }
}

/* (inode, directory, mode) */
SEC("raw_tp/ext4_allocate_inode")
int ext4_file_created(__u64* ctx) {
  if (is_regular(ctx[2])) {
    file_created((struct inode*)ctx[0], (struct inode*)ctx[1]);
  }
  return 0;
}

/* (directory, dentry) */
SEC("raw_tp/ext4_unlink_enter")
int ext4_file_unlinked(__u64* ctx) {
  struct inode* inode = BPF_CORE_READ((struct dentry*)ctx[1], d_inode);
  if (inode && is_regular(BPF_CORE_READ(inode, i_mode))) {
    file_unlinked(inode, (struct inode*)ctx[0]);
  }
  return 0;
}

/* Of deleted ones and of those that memory has no room for any more. */
static __always_inline int evicted(struct inode* inode) {
  if (!BPF_CORE_READ(inode, i_nlink) && is_regular(BPF_CORE_READ(inode, i_mode))) {
    file_deleted(inode);
  }
  return 0;
}

SEC("raw_tp/ext4_evict_inode")
int ext4_file_evicted(__u64* ctx) { return evicted((struct inode*)ctx[0]); }

/* Any other file system, by what all of them come through. Programs at begins alone: none can miss an end.
 *
 *   d_instantiate()              a name gets the inode made for it, or one that has a name already: a link
 *   d_instantiate_new()          the same
 *   d_tmpfile()                  a file has no name, and so no directory (O_TMPFILE)
 *   d_make_persistent()          as d_instantiate(), since 6.19 or so, of file systems that live in memory
 *   security_inode_unlink()      a name is to go: whose it was when nobody saw it come
 *   inode_wait_for_writeback()   only evict() calls it: the inode leaves memory, its size still there */

/* Not inlined: the same for each way. */
static __noinline int name_is_given(__u64 of, __u64 to) {
  struct dentry* dentry = (struct dentry*)of;
  struct inode* inode = (struct inode*)to;
  if (is_counted(inode) && BPF_CORE_READ(inode, i_nlink) && !BPF_CORE_READ(inode, i_dentry.first)) {
    file_created(inode, BPF_CORE_READ(dentry, d_parent, d_inode));
  }
  return 0;
}

/* It may call d_instantiate(), then without a link. */
static __noinline int file_without_name(__u64 of) {
  struct inode* inode = (struct inode*)of;
  if (is_counted(inode)) {
    file_created(inode, 0);
  }
  return 0;
}

static __noinline int name_goes(__u64 in, __u64 of) {
  struct dentry* dentry = (struct dentry*)of;
  struct inode* inode = BPF_CORE_READ(dentry, d_inode);
  if (is_counted(inode)) {
    file_unlinked(inode, (struct inode*)in);
  }
  return 0;
}

static __noinline int inode_goes(__u64 of) {
  struct inode* inode = (struct inode*)of;
  if (!BPF_CORE_READ(inode, i_nlink) && is_counted(inode)) {
    file_deleted(inode);
  }
  return 0;
}

#define TRACE_CHURN(program, function, call_traced, call_probed) \
  SEC("fentry/" #function)                                       \
  int program(__u64* ctx) { return call_traced; }                \
  SEC("kprobe/" #function)                                       \
  int probed_##program(struct pt_regs* ctx) { return call_probed; }

TRACE_CHURN(dentry_gets_inode, d_instantiate, name_is_given(ctx[0], ctx[1]),
            name_is_given(PROBED_1(ctx), PROBED_2(ctx)))
TRACE_CHURN(dentry_gets_new_inode, d_instantiate_new, name_is_given(ctx[0], ctx[1]),
            name_is_given(PROBED_1(ctx), PROBED_2(ctx)))
TRACE_CHURN(file_has_no_name, d_tmpfile, file_without_name(ctx[1]),
            file_without_name(PROBED_2(ctx)))
TRACE_CHURN(dentry_stays, d_make_persistent, name_is_given(ctx[0], ctx[1]),
            name_is_given(PROBED_1(ctx), PROBED_2(ctx)))
TRACE_CHURN(file_is_unlinked, security_inode_unlink, name_goes(ctx[0], ctx[1]),
            name_goes(PROBED_1(ctx), PROBED_2(ctx)))
TRACE_CHURN(inode_is_evicted, inode_wait_for_writeback, inode_goes(ctx[0]),
            inode_goes(PROBED_1(ctx)))

/* Without functions: the end of opening tells what is new on xfs and tmpfs. xfs tells when it lets go of an inode. On
 * tmpfs, since 6.13, the change of a file's last name is traced by the time stamp it gets, while the file has its size;
 * what is written to it after that is not seen. A file whose name another takes by rename then has no name left. */

static __always_inline void opened(long descriptor) {
  struct file* file = file_of_descriptor(descriptor);
  if (!(BPF_CORE_READ(file, f_mode) & FMODE_CREATED)) {
    return;
  }
  struct inode* inode = BPF_CORE_READ(file, f_inode);
  const unsigned long magic = magic_of(inode);
  if ((magic == TMPFS_MAGIC || magic == XFS_MAGIC) && is_counted(inode)) {
    file_created(inode, BPF_CORE_READ(file, f_path.dentry, d_parent, d_inode));
  }
}

/* (its own inode) */
SEC("raw_tp/xfs_destroy_inode")
int xfs_inode_is_destroyed(__u64* ctx) {
  return control.opens_tell_new_files && control.xfs_inode_offset
             ? inode_goes(ctx[0] + control.xfs_inode_offset)
             : 0;
}

static __always_inline int time_changes(struct inode* inode) {
  const unsigned long magic = magic_of(inode);
  if (magic != TMPFS_MAGIC && magic != XFS_MAGIC) {
    return 0; /* of most files, and most often */
  }
  const __u64 number = call_number(current_registers());
  const __u32 kind = number < TG_CALLS ? call_actions[number] & TG_CALL_OPERATION : 0;
  const __u32 names = BPF_CORE_READ(inode, i_nlink);
  if (!control.opens_tell_new_files || names > 1 || !is_counted(inode)) {
    return 0;
  }
  const int unlinks = kind == TG_FILE_UNLINK && names == 1;
  const int renames = kind == TG_FILE_RENAME && magic == TMPFS_MAGIC;
  struct dentry* dentry = any_dentry(inode);
  if (dentry && names == 1 && (unlinks || renames)) {
    file_unlinked(inode, BPF_CORE_READ(dentry, d_parent, d_inode));
  }
  /* By a rename it gets several stamps: the first, while it has its name, made it known, the next ends it. */
  struct tg_file_key key;
  read_key(&key, inode);
  if (magic == TMPFS_MAGIC &&
      (unlinks || (renames && !names && bpf_map_lookup_elem(&births, &key)))) {
    file_deleted(inode);
  }
  return 0;
}

SEC("raw_tp/ctime_ns_xchg")
int change_time_is_set(__u64* ctx) { return time_changes((struct inode*)ctx[0]); }

SEC("raw_tp/ctime_xchg_skip")
int change_time_is_kept(__u64* ctx) { return time_changes((struct inode*)ctx[0]); }

/* btrfs does not say in which directory. */
SEC("raw_tp/btrfs_inode_new")
int btrfs_file_created(__u64* ctx) {
  struct inode* inode = (struct inode*)ctx[0];
  if (is_regular(BPF_CORE_READ(inode, i_mode))) {
    file_created(inode, 0);
  }
  return 0;
}

SEC("raw_tp/btrfs_inode_evict")
int btrfs_file_evicted(__u64* ctx) { return evicted((struct inode*)ctx[0]); }

#endif
