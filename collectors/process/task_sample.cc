// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_sample.h"

namespace tidegauge {

namespace {

// The first pass shows all processes, later ones a tenth of them.
constexpr std::size_t kSpareSamples = 1024;

}  // namespace

void TaskPass::clear() {
  if (processes.capacity() > kSpareSamples && processes.size() * 8 < processes.capacity()) {
    processes = std::vector<ProcessSample>();  // {} would keep the memory
  }
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
