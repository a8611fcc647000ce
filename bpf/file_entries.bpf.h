/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who acts, which file a system call names, and what is known of that file. Part of files.bpf.c. */
#ifndef TIDEGAUGE_BPF_FILE_ENTRIES_H
#define TIDEGAUGE_BPF_FILE_ENTRIES_H

#define USER32_CS \
  0x23 /* arch/x86/include/asm/segment.h: a 32-bit program, whose calls have other numbers */

static const struct tg_file no_file = {};

/* Functions of their own for the verifier's sake, as in file_path.bpf.h. */
__noinline __u32 acting_owner(void) { return current_owner(); }

__noinline __u64 acting_thread(void) {
  const __u64 id = bpf_get_current_pid_tgid();
  if (!namespace_inode) {
    return id;
  }
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  return (__u64)local_number(BPF_CORE_READ(task, group_leader, thread_pid)) << 32 |
         local_number(BPF_CORE_READ(task, thread_pid));
}

static __always_inline void read_key(struct tg_file_key* key, struct inode* inode) {
  key->inode = BPF_CORE_READ(inode, i_ino);
  key->device = BPF_CORE_READ(inode, i_sb, s_dev);
  key->generation = BPF_CORE_READ(inode, i_generation);
}

static __always_inline void read_fstype(char* out, struct super_block* sb) {
  bpf_probe_read_kernel_str(out, 16, BPF_CORE_READ(sb, s_type, name));
}

static __always_inline struct tg_file* file_entry(const struct tg_file_key* key) {
  struct tg_file* file = bpf_map_lookup_elem(&files, key);
  if (file) {
    return file;
  }
  if (!bpf_map_update_elem(&files, key, &no_file, BPF_NOEXIST)) {
    __sync_fetch_and_add(&losses.files_added, 1);
  }
  return bpf_map_lookup_elem(&files, key);
}

/* Makes sure that user space knows the file's name. `guessed`: it may have been reached by another mount. */
static __always_inline void know_path(struct tg_file* file, const struct tg_file_key* key,
                                      struct dentry* dentry, struct mount* mount, int guessed) {
  const __u64 print = path_print((__u64)dentry);
  if (file->told_print == print && (guessed || file->told_mount == (__u64)mount)) {
    return;
  }
  if (!file->fstype[0]) {
    read_fstype(file->fstype, BPF_CORE_READ(dentry, d_inode, i_sb));
  }
  if (!tell_path(key->inode, (__u64)key->device << 32 | key->generation, (__u64)dentry,
                 (__u64)mount)) {
    file->told_print = print;
    file->told_mount = (__u64)mount;
  }
}

static __always_inline void set_user(struct tg_file* file, __u32 owner) {
  const __u64 id = acting_thread();
  file->owner = owner;
  file->tid = (__u32)id;
  file->tgid = id >> 32;
  bpf_get_current_comm(file->comm, sizeof(file->comm));
}

/* Of the system call that the current task is in; -1: not known. */
static __always_inline struct pt_regs* current_registers(void) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  if (BPF_CORE_READ(task, flags) & PF_KTHREAD) {
    return 0;
  }
  if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
    return (struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf());
  }
#if defined(__TARGET_ARCH_x86)
  /* arch/x86/include/asm/processor.h, task_pt_regs(), before 5.15: stacks of 16 KiB, nothing above */
  return (struct pt_regs*)(BPF_CORE_READ(task, stack) + 16384 - bpf_core_type_size(struct pt_regs));
#else
  return 0;
#endif
}

static __always_inline __u64 call_number(struct pt_regs* registers) {
  if (!registers) {
    return ~0ULL;
  }
#if defined(__TARGET_ARCH_x86)
  if (BPF_CORE_READ(registers, cs) == USER32_CS) {
    return ~0ULL;
  }
  return BPF_CORE_READ(registers, orig_ax);
#elif defined(__TARGET_ARCH_arm64)
  return BPF_CORE_READ(registers, syscallno);
#else
  return ~0ULL;
#endif
}

static __always_inline __u64 first_argument(struct pt_regs* registers) {
#if defined(__TARGET_ARCH_x86)
  return BPF_CORE_READ(registers, di);
#elif defined(__TARGET_ARCH_arm64)
  __u64 value = 0;
  bpf_core_read(&value, sizeof(value), &registers->regs[0]);
  return value;
#else
  return ~0ULL;
#endif
}

static __always_inline struct file* file_of_descriptor(__u32 descriptor) {
  struct task_struct___files* task = (struct task_struct___files*)bpf_get_current_task();
  struct fdtable* table = BPF_CORE_READ(task, files, fdt);
  if (!table || descriptor >= BPF_CORE_READ(table, max_fds)) {
    return 0;
  }
  struct file** place = BPF_CORE_READ(table, fd) + descriptor;
  struct file* file = 0;
  bpf_probe_read_kernel(&file, sizeof(file), place);
  return file;
}

#endif
