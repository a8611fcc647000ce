// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_sample.h"

#include "collectors/core/spare_memory.h"

namespace tidegauge {

void TaskPass::clear() {
  clear_for_as_many(processes);  // the first pass shows all of them, later ones a tenth
  clear_for_as_many(idle);
  clear_for_as_many(exited);
  stuck.clear();
  stuck_threads = 0;
  threads = 0;
  unlisted_zombies = 0;
  missing.clear();
  lost_exits = 0;
}

}  // namespace tidegauge
