/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers of tasks as the daemon's own pid namespace has them. */
#ifndef TIDEGAUGE_BPF_PID_NAMESPACE_H
#define TIDEGAUGE_BPF_PID_NAMESPACE_H

#define MAX_PID_NS_LEVEL 32 /* include/linux/pid_namespace.h */

// Of our pid namespace; 0 when that is the initial one, which needs no translation.
const volatile __u32 namespace_inode = 0;

// A task's number in our namespace; 0 when it is not in it.
static __always_inline __u32 local_number(struct pid* pid) {
  const __u32 level = pid ? BPF_CORE_READ(pid, level) : 0;
  for (__u32 i = 0; i < MAX_PID_NS_LEVEL && i <= level; i++) {
    struct upid* at = (struct upid*)((__u64)&pid->numbers + i * bpf_core_type_size(struct upid));
    if (BPF_CORE_READ(at, ns, ns.inum) == namespace_inode) {
      return BPF_CORE_READ(at, nr);
    }
  }
  return 0;
}

#endif
