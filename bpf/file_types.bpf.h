/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Types of files and mounts, as in kernel_types.bpf.h. */
#ifndef TIDEGAUGE_BPF_FILE_TYPES_H
#define TIDEGAUGE_BPF_FILE_TYPES_H

#include "kernel_types.bpf.h"
#include "registers.bpf.h"

/* include/uapi/linux/bpf.h */
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_RB_NO_WAKEUP 1 /* user space looks once a pass */
enum bpf_func_id { BPF_FUNC_task_pt_regs = 175 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* include/linux/{fs,dcache,mount}.h, fs/mount.h. Some of these are const, or in a union, on some kernels. */
struct file_system_type {
  const char* name;
  int fs_flags;
};

struct list_head {
  struct list_head* next;
};

struct super_block {
  unsigned int s_dev;
  struct file_system_type* s_type;
  unsigned long s_flags;
  unsigned long s_magic;
  struct dentry* s_root;
  struct list_head s_mounts;
};

/* Since 6.17: the first of them, see mount.mnt_next_for_sb. */
struct super_block___first {
  struct mount* s_mounts;
};

struct hlist_node {
  struct hlist_node* next;
  struct hlist_node** pprev;
};

struct hlist_head {
  struct hlist_node* first;
};

struct hlist_bl_node {
  struct hlist_bl_node* next;
  struct hlist_bl_node** pprev;
};

struct inode {
  unsigned short i_mode;
  struct super_block* i_sb;
  struct address_space* i_mapping;
  unsigned long i_ino;
  unsigned int i_nlink;
  long long i_size;
  unsigned int i_generation;
  __u64 i_blocks;
  struct hlist_head i_dentry;
};

struct address_space {
  struct inode* host;
};

struct qstr {
  __u64 hash_len;
  const unsigned char* name;
};

struct dentry {
  struct hlist_bl_node d_hash;
  struct dentry* d_parent;
  struct qstr d_name;
  struct inode* d_inode;
  union {
    struct hlist_node d_alias;
  } d_u;
};

/* Since 7.0 or so. */
struct dentry___flat {
  struct hlist_node d_alias;
};

struct vfsmount {
  struct dentry* mnt_root;
  struct super_block* mnt_sb;
};

struct mount {
  struct mount* mnt_parent;
  struct dentry* mnt_mountpoint;
  struct vfsmount mnt;
  struct list_head mnt_instance; /* in super_block.s_mounts */
  struct mount* mnt_next_for_sb; /* instead of it */
};

struct path {
  struct vfsmount* mnt;
  struct dentry* dentry;
};

struct file {
  unsigned int f_mode;
  unsigned int f_flags;
  struct path f_path;
  struct inode* f_inode;
};

struct fdtable {
  unsigned int max_fds;
  struct file** fd;
};

struct files_struct {
  struct fdtable* fdt;
};

struct kiocb {
  struct file* ki_filp;
  long long ki_pos;
};

struct iov_iter {
  _Bool data_source; /* of a write */
  unsigned long count;
};

struct task_struct___files {
  struct files_struct* files;
};

#pragma clang attribute pop

#endif
