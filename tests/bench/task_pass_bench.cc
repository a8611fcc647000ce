// SPDX-License-Identifier: Apache-2.0
//
// CPU of one pass over all tasks:
//   task_pass_bench [--source iterator|procfs] [--passes N] [--interval-ms M] [--dump]
// Prints mean and median of the calling thread's CPU time, kernel time of the reads included.

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "collectors/process/task_iterator.h"

namespace {

double cpu_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tidegauge;
  int passes = 10;
  int interval_ms = 1000;
  bool dump = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--passes" && i + 1 < argc) {
      passes = std::atoi(argv[++i]);
    } else if (flag == "--interval-ms" && i + 1 < argc) {
      interval_ms = std::atoi(argv[++i]);
    } else if (flag == "--dump") {
      dump = true;
    }
  }
  auto source = make_task_iterator(KernelFiles());
  if (!source) {
    std::fprintf(stderr, "iterator: %s\n", source.error().message().c_str());
    return 1;
  }
  ReadBuffer buffer;
  CollectContext context{.buffer = &buffer};
  TaskPass pass;
  std::vector<double> costs;
  for (int i = 0; i <= passes; ++i) {
    pass.clear();
    const double before = cpu_ms();
    const auto done = (*source)->pass(context, pass);
    const double cost = cpu_ms() - before;
    if (!done) {
      std::fprintf(stderr, "%s\n", done.error().message().c_str());
      return 1;
    }
    if (i > 0) {  // the first one meets everything anew
      costs.push_back(cost);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(interval_ms));
  }
  if (dump) {
    for (const ProcessSample& p : pass.processes) {
      std::printf("%u %u %c %s uid=%u threads=%lu", p.key.pid, p.parent_pid, p.state,
                  std::string(p.comm.view()).c_str(), p.uid, p.gauges[TaskGauge::kThreads]);
      for (std::size_t i = 0; i < kTaskCounters; ++i) {
        std::printf(" %lu", p.counters.values[i]);
      }
      for (std::size_t i = 1; i < kTaskGauges; ++i) {
        std::printf(" %lu", p.gauges.values[i]);
      }
      std::printf("\n");
    }
  }
  std::sort(costs.begin(), costs.end());
  std::printf("%zu processes, %lu threads: mean %.3f ms, median %.3f ms a pass\n",
              pass.processes.size(), pass.threads,
              std::accumulate(costs.begin(), costs.end(), 0.0) / static_cast<double>(costs.size()),
              costs[costs.size() / 2]);
  return 0;
}
