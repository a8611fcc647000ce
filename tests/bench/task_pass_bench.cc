// SPDX-License-Identifier: Apache-2.0
// CPU time of one pass over this machine's tasks, source alone:
//   task_pass_bench --source iterator|procfs --passes 20 --interval-ms 1000

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "collectors/process/proc_tasks.h"
#include "collectors/process/task_iterator.h"

namespace tidegauge {
namespace {

struct Arguments {
  std::string_view source = "procfs";
  int passes = 10;
  int interval_ms = 1000;
};

bool parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--source") {
      out.source = argv[i + 1];
    } else if (name == "--passes") {
      out.passes = static_cast<int>(std::strtol(argv[i + 1], nullptr, 10));
    } else if (name == "--interval-ms") {
      out.interval_ms = static_cast<int>(std::strtol(argv[i + 1], nullptr, 10));
    } else {
      return false;
    }
  }
  return argc % 2 == 1 && out.passes > 0 && out.interval_ms >= 0;
}

std::unique_ptr<TaskSource> make_source(std::string_view name) {
  const KernelFiles files{KernelRoots{}};
  if (name == "procfs") {
    return make_proc_tasks(files);
  }
  if (name == "iterator") {
    auto made = make_task_iterator(files);
    if (made) {
      return std::move(*made);
    }
    std::fprintf(stderr, "%s\n", made.error().message().c_str());
  }
  return nullptr;
}

double cpu_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

void report(std::vector<double> costs, const TaskPass& last) {
  const double first = costs.front();
  if (costs.size() > 1) {
    costs.erase(costs.begin());
  }
  std::sort(costs.begin(), costs.end());
  const double mean =
      std::accumulate(costs.begin(), costs.end(), 0.0) / static_cast<double>(costs.size());
  std::printf("processes %zu threads %llu\n", last.processes.size(),
              static_cast<unsigned long long>(last.threads));
  std::printf("cpu ms per pass: first %.2f, then mean %.2f median %.2f min %.2f max %.2f\n", first,
              mean, costs[costs.size() / 2], costs.front(), costs.back());
  for (const MissingField& missing : last.missing) {
    std::printf("missing %s (%llu): %s\n", missing.field.c_str(),
                static_cast<unsigned long long>(missing.processes), missing.reason.c_str());
  }
}

int run(int argc, char** argv) {
  Arguments arguments;
  const bool understood = parse(argc, argv, arguments);
  const auto source = understood ? make_source(arguments.source) : nullptr;
  if (!source) {
    std::fprintf(stderr, "usage: %s --source iterator|procfs --passes N --interval-ms M\n",
                 argv[0]);
    return 2;
  }
  ReadBuffer buffer;
  CollectContext context{.realtime_ns = 0, .boottime_ns = 0, .buffer = &buffer};
  TaskPass out;
  std::vector<double> costs;
  for (int i = 0; i < arguments.passes; ++i) {
    if (i != 0) {
      const timespec pause{arguments.interval_ms / 1000, arguments.interval_ms % 1000 * 1'000'000L};
      ::nanosleep(&pause, nullptr);
    }
    out.clear();
    const double begin = cpu_ms();
    const auto passed = source->pass(context, out);
    costs.push_back(cpu_ms() - begin);
    if (!passed) {
      std::fprintf(stderr, "%s\n", passed.error().message().c_str());
      return 1;
    }
  }
  report(costs, out);
  return 0;
}

}  // namespace
}  // namespace tidegauge

int main(int argc, char** argv) { return tidegauge::run(argc, argv); }
