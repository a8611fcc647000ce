/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TIDEGAUGE_BPF_HISTOGRAM_H
#define TIDEGAUGE_BPF_HISTOGRAM_H

#include "histogram_records.h"

/* Of a time in ns: slot i holds what is below 2^i microseconds and not in a lower one. */
static __always_inline __u32 time_slot(__u64 ns) {
  __u64 us = ns / 1000;
  __u32 slot = 0;
#pragma unroll
  for (int bit = 4; bit >= 0; bit--) { /* 2^32 us is more than an hour */
    if (us >> (1 << bit)) {
      us >>= 1 << bit;
      slot += 1 << bit;
    }
  }
  slot += us ? 1 : 0;
  return slot < TG_TIME_SLOTS ? slot : TG_TIME_SLOTS - 1;
}

#endif
