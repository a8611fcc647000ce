// SPDX-License-Identifier: Apache-2.0
#pragma once

// Memory pressure and page cache as BPF programs see them (bpf/memory.bpf.c): who waits for memory, what
// kswapd does and who woke it, who is throttled for writing too fast, whom the kernel killed, who fills the
// page cache.
//
//   memory_programs.h   loads them, each in the best form this kernel has
//   memory_totals.h     what they counted, summed up by group: pure
//   memory_tables.h     its metrics

#include "collectors/core/collector.h"

namespace tidegauge {

extern const CollectorInfo kEbpfMemoryCollector;

}  // namespace tidegauge
