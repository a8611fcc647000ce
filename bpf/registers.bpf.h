/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A task's registers: those of the system call it is in, and those that a kprobe is given. */
#ifndef TIDEGAUGE_BPF_REGISTERS_H
#define TIDEGAUGE_BPF_REGISTERS_H

#include "kernel_types.bpf.h"

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
  unsigned long r9;
  unsigned long ax;
  unsigned long cx;
  unsigned long dx;
  unsigned long si;
  unsigned long di;
  unsigned long orig_ax;
  unsigned long cs;
  unsigned long sp;
} __attribute__((preserve_access_index));

/* Of the function that a kprobe is at the beginning of. */
#define PROBED_1(context) ((context)->di)
#define PROBED_2(context) ((context)->si)
#define PROBED_3(context) ((context)->dx)
#define PROBED_4(context) ((context)->cx)
/* What it returns, for a kretprobe. */
#define PROBED_RESULT(context) ((context)->ax)
#define PROBED_STACK(context) ((context)->sp)
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
  __u64 regs[31];
  __u64 sp;
  int syscallno;
} __attribute__((preserve_access_index));

#define PROBED_1(context) ((context)->regs[0])
#define PROBED_2(context) ((context)->regs[1])
#define PROBED_3(context) ((context)->regs[2])
#define PROBED_4(context) ((context)->regs[3])
#define PROBED_RESULT(context) ((context)->regs[0])
#define PROBED_STACK(context) ((context)->sp)
#endif

#endif
