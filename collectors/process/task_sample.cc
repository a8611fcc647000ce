// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_sample.h"

namespace tidegauge {

void TaskPass::clear() {
  processes.clear();
  idle.clear();
  exited.clear();
  stuck.clear();
  stuck_threads = 0;
  threads = 0;
  unlisted_zombies = 0;
  missing.clear();
  lost_exits = 0;
}

}  // namespace tidegauge
