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
  const __u64 unstored = BPF_CORE_READ(inode, i_blocks) ? 0 : bytes;
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
