/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TIDEGAUGE_BPF_MIX_H
#define TIDEGAUGE_BPF_MIX_H

static __always_inline __u64 mix(__u64 hash, __u64 value) {
  return (hash ^ value) * 0x9E3779B97F4A7C15ULL + (hash >> 29);
}

#endif
