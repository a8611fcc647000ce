// SPDX-License-Identifier: Apache-2.0
#pragma once

// From the windows that block.bpf.c keeps of a device to those of its whole time. Pure.

#include <cstdint>

#include "bpf/block_records.h"
#include "collectors/block/disk_windows.h"

namespace tidegauge {

static_assert(DiskWindow::kNs == TG_WINDOW_NS);

// `device`: a copy that was made after `now_ns` (CLOCK_MONOTONIC). All windows count that ended at least two before it:
// an event that looked at the clock before may yet be under way, and who a window was for shows when requests end.
// is_attributed: whether the users in it mean anything.
void fold_windows(const tg_block_device& device, std::uint64_t now_ns, bool is_attributed,
                  DiskWindows& out);

}  // namespace tidegauge
