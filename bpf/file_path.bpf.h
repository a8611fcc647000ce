/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A file's path: names from the file up to the root of its mount namespace, told once and again when
 * a rename or an unlink has changed it. bpf_d_path() may not be called from tracepoints. */
#ifndef TIDEGAUGE_BPF_FILE_PATH_H
#define TIDEGAUGE_BPF_FILE_PATH_H

/* One for each CPU. `busy`: who is preempted while it writes here shall find it as it was. */
struct path_scratch {
  __u64 busy;
  struct tg_path_event event;
};
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct path_scratch);
} scratch SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, TG_FILE_RING_BYTES);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, TG_FILE_ENTRIES);
  __type(key, struct tg_file_key);
  __type(value, struct tg_file);
} files SEC(".maps");

#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFDIR 0040000
#define PRINT_LEVELS 16
#define ROOT_MOUNTS 64

/* Functions of their own, which the verifier takes by themselves: within their callers their loops would be
 * walked once for every way to get there. 5.10 lets them have numbers as arguments alone. */

/* Of everything up to the root of the file system that a rename or an unlink changes. Never 0. */
__noinline __u64 path_print(__u64 of) {
  struct dentry* dentry = (struct dentry*)of;
  __u64 print = BPF_CORE_READ(dentry, d_hash.pprev) ? 1 : 2;
  for (int i = 0; i < PRINT_LEVELS; i++) {
    struct dentry* parent = BPF_CORE_READ(dentry, d_parent);
    print = mix(mix(print, BPF_CORE_READ(dentry, d_name.hash_len)), (__u64)parent);
    if (parent == dentry) {
      break;
    }
    dentry = parent;
  }
  return print ? print : 1;
}

static __always_inline struct mount* mount_of(struct vfsmount* mnt) {
  return mnt ? (struct mount*)((__u64)mnt - bpf_core_field_offset(struct mount, mnt)) : 0;
}

static __always_inline struct mount* listed_mount(struct super_block* sb, struct list_head* at) {
  const __u64 head = (__u64)sb + bpf_core_field_offset(struct super_block, s_mounts);
  return at && (__u64)at != head
             ? (struct mount*)((__u64)at - bpf_core_field_offset(struct mount, mnt_instance))
             : 0;
}

static __always_inline __u64 chained_root_mount(struct super_block* sb, struct dentry* root) {
  struct mount* mount = BPF_CORE_READ((struct super_block___first*)sb, s_mounts);
  for (int i = 0; i < ROOT_MOUNTS && mount; i++) {
    if (BPF_CORE_READ(mount, mnt.mnt_root) == root) {
      return (__u64)mount;
    }
    mount = BPF_CORE_READ(mount, mnt_next_for_sb);
  }
  return 0;
}

static __always_inline __u64 listed_root_mount(struct super_block* sb, struct dentry* root) {
  struct mount* mount = listed_mount(sb, BPF_CORE_READ(sb, s_mounts.next));
  for (int i = 0; i < ROOT_MOUNTS && mount; i++) {
    if (BPF_CORE_READ(mount, mnt.mnt_root) == root) {
      return (__u64)mount;
    }
    mount = listed_mount(sb, BPF_CORE_READ(mount, mnt_instance.next));
  }
  return 0;
}

/* A mount of the whole of a file system of which only an inode is known; 0 when the first few are all of parts. */
__noinline __u64 root_mount(__u64 of) {
  struct super_block* sb = (struct super_block*)of;
  struct dentry* root = BPF_CORE_READ(sb, s_root);
  if (bpf_core_field_exists(struct mount, mnt_next_for_sb)) {
    return chained_root_mount(sb, root);
  }
  return listed_root_mount(sb, root);
}

/* A name of an inode whose file is not known; 0 when it has none any more. */
static __always_inline struct dentry* any_dentry(struct inode* inode) {
  const __u64 first = (__u64)BPF_CORE_READ(inode, i_dentry.first);
  if (!first) {
    return 0;
  }
  if (bpf_core_field_exists(struct dentry___flat, d_alias)) {
    return (struct dentry*)(first - bpf_core_field_offset(struct dentry___flat, d_alias));
  }
  return (struct dentry*)(first - bpf_core_field_offset(struct dentry, d_u.d_alias));
}

/* Returns the bytes used of event->names. */
static __always_inline __u32 write_names(struct tg_path_event* event, struct dentry* dentry,
                                         struct mount* mount) {
  /* Always 0; but any number to the verifier, to which all ways through the loop then are one. */
  __u32 used = event->zero;
  int whole = 0;
  struct mount* uppermost = 0;
  asm volatile("%0 &= 4095" : "+r"(used));
  for (int i = 0; i < TG_PATH_DEPTH; i++) {
    struct dentry* parent = BPF_CORE_READ(dentry, d_parent);
    struct dentry* root = mount ? BPF_CORE_READ(mount, mnt.mnt_root) : 0;
    if (dentry == root || dentry == parent) {
      struct mount* above = dentry == root ? BPF_CORE_READ(mount, mnt_parent) : 0;
      if (!above || above == mount) {
        event->flags |= dentry == root ? 0 : TG_PATH_NO_MOUNT;
        event->root_device = uppermost ? BPF_CORE_READ(uppermost, mnt.mnt_sb, s_dev) : 0;
        whole = 1;
        break;
      }
      dentry = BPF_CORE_READ(mount, mnt_mountpoint);
      mount = above;
      continue;
    }
    const long length = bpf_probe_read_kernel_str(event->names + used, TG_PATH_NAME,
                                                  BPF_CORE_READ(dentry, d_name.name));
    if (length <= 0) {
      break;
    }
    used += length;
    if (used >= TG_PATH_BYTES) {
      break;
    }
    uppermost = mount; /* what is above and adds no name is the same for all containers: rootfs */
    /* The verifier shall see a bound, clang shall not see that it is none. */
    asm volatile("%0 &= 4095" : "+r"(used));
    dentry = parent;
  }
  event->flags |= whole ? 0 : TG_PATH_CUT;
  return used;
}

__noinline int tell_path(__u64 inode, __u64 device_generation, __u64 of, __u64 on) {
  struct dentry* dentry = (struct dentry*)of;
  struct mount* mount = (struct mount*)on;
  const __u32 zero = 0;
  struct path_scratch* place = bpf_map_lookup_elem(&scratch, &zero);
  if (!place || place->busy || !control.paths_left) {
    __sync_fetch_and_add(&losses.paths, 1);
    return -1;
  }
  place->busy = 1;
  control.paths_left--; /* a race tells one more */
  struct tg_path_event* event = &place->event;
  event->kind = TG_EVENT_PATH;
  event->file.inode = inode;
  event->file.device = device_generation >> 32;
  event->file.generation = (__u32)device_generation;
  event->root_device = 0;
  event->flags = BPF_CORE_READ(dentry, d_hash.pprev) || BPF_CORE_READ(dentry, d_parent) == dentry
                     ? 0
                     : TG_PATH_DELETED;
  if ((BPF_CORE_READ(dentry, d_inode, i_mode) & S_IFMT) == S_IFDIR) {
    event->flags |= TG_PATH_DIRECTORY;
  }
  const struct tg_file* known = bpf_map_lookup_elem(&files, &event->file);
  if (known) {
    event->flags |= TG_PATH_FILE;
    event->before = *known;
  }
  __u32 used = write_names(event, dentry, mount);
  asm volatile("%0 &= 8191" : "+r"(used));
  const long failed = bpf_ringbuf_output(
      &events, event, __builtin_offsetof(struct tg_path_event, names) + used, BPF_RB_NO_WAKEUP);
  place->busy = 0;
  if (failed) {
    __sync_fetch_and_add(&losses.paths, 1);
  }
  return failed ? -1 : 0;
}

#endif
