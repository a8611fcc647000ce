// SPDX-License-Identifier: Apache-2.0
#pragma once

// Tasks from /proc. Of every process and in every pass io and stat, in this order; the rest only when
// it is new or has run (task_details.h). What that means for the figures:
//
// - Storage and system call counters: the kernel adds those of a child that was waited for to the
//   parent's. They are taken off again (reap_ledger.h). What a child did after it was last seen, and
//   children that were never seen alive, stay with who reaped them, so that nothing is lost; what may
//   be a child's is published one pass later. `lost_exits` counts the processes that nobody was seen to reap.
// - A process whose io this daemon may not read gives no figures; when its parent's can be read, the
//   parent's include it from the moment it was reaped.
// - Switches, run-queue waiting and block delay are per thread in /proc. They are sums over the
//   living threads that never fall: what a thread does after it was last looked at is not in them,
//   and processes of many threads have none.
// - Start times are in steps of 10 ms.
// - A process whose files do not answer (procfs/read_guard.h) stays as it was last seen, and costs the
//   pass that meets it a tenth of a second.

#include <functional>
#include <memory>

#include "collectors/core/kernel_files.h"
#include "collectors/process/task_details.h"
#include "collectors/process/task_source.h"
#include "collectors/procfs/read_guard.h"

namespace tidegauge {

std::unique_ptr<TaskSource> make_proc_tasks(const KernelFiles& files);

// For tests: other limits, what happens to the host in a pass when all processes have been read, and
// reads that do not come back.
struct ProcTasksHooks {
  TaskLimits limits{};
  std::function<void()> all_read{};
  ReadGuardHooks guard{};
};
std::unique_ptr<TaskSource> make_proc_tasks(const KernelFiles& files, ProcTasksHooks hooks);

}  // namespace tidegauge
