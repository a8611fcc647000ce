/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who did something: processes that cannot be told apart by what user space groups them by share an
 * owner. A number of 32 bits that BPF programs put into the keys of their maps. */
#ifndef TIDEGAUGE_BPF_OWNER_RECORDS_H
#define TIDEGAUGE_BPF_OWNER_RECORDS_H

#ifdef __bpf__
typedef unsigned int __u32;
typedef unsigned long long __u64;
#else
#include <linux/types.h>
#endif

struct tg_owner {
  char comm[16]; /* of the thread group's leader; of kernel threads what stands before '/' or ':' */
  __u64 cgroup_key;
  __u32 uid;
  __u32 tgid; /* of one of them, in our pid namespace; 0: kernel thread or not in it */
};

/* What a process was found to be. */
struct tg_owner_cache {
  __u64 signal; /* signal_struct: tgids come again */
  __u32 owner;
  __u32 zero;
};

#define TG_OWNER_OTHER 0 /* no room for more */
#define TG_OWNERS 2048
#define TG_OWNER_CACHE 8192

#endif
