// SPDX-License-Identifier: Apache-2.0

// What the heuristics' part of a tick costs, verdicts and all: from a Snapshot to the Section and the report. CPU time.

#include <benchmark/benchmark.h>

#include "daemon/heuristics/assess.h"
#include "daemon/scheduler/clock.h"
#include "tests/unit/large_host.h"

namespace tidegauge {
namespace {

constexpr int kTicksBefore = 60;

void tick(benchmark::State& state) {
  testing::LargeHost host({.disks = static_cast<std::size_t>(state.range(0)),
                           .groups = static_cast<std::size_t>(state.range(1)),
                           .troubled = static_cast<std::size_t>(state.range(2))});
  SystemClock clock;
  heuristics::Heuristics heuristics;
  for (int i = 0; i < kTicksBefore; ++i) {
    heuristics.update(host.tick());
  }
  std::size_t values = 0;
  for (auto _ : state) {
    const Snapshot snapshot = host.tick();
    values = 0;
    for (const SnapshotEntry& entry : snapshot.entries) {
      for (const Table& table : entry.section->tables) {
        values += table.values.size();
      }
    }
    const std::int64_t begin_ns = clock.thread_cpu_ns();
    auto section = heuristics.update(snapshot);
    state.SetIterationTime(static_cast<double>(clock.thread_cpu_ns() - begin_ns) / 1e9);
    benchmark::DoNotOptimize(section);
  }
  state.counters["values"] = static_cast<double>(values);
  state.counters["verdicts"] = static_cast<double>(heuristics.report()->active.size());
  state.counters["tracks"] = static_cast<double>(heuristics.scene().tracks());
}
// 8 zones. What the design allows 200 us; the last of all is a host of which nothing is well.
BENCHMARK(tick)
    ->Name("heuristics/tick")
    ->ArgNames({"disks", "groups", "troubled"})
    ->Args({4, 30, 2})
    ->Args({50, 200, 0})
    ->Args({50, 200, 3})
    ->Args({50, 200, 200})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tidegauge

BENCHMARK_MAIN();
