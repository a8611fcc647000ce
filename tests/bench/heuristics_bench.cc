// SPDX-License-Identifier: Apache-2.0

// What the heuristics' part of a tick costs, verdicts and all: from a Snapshot to the Section and the report.

#include <benchmark/benchmark.h>

#include <chrono>

#include "daemon/heuristics/assess.h"
#include "tests/unit/large_host.h"

namespace tidegauge {
namespace {

constexpr int kTicksBefore = 60;

void tick(benchmark::State& state) {
  testing::LargeHost host({.disks = static_cast<std::size_t>(state.range(0)),
                           .groups = static_cast<std::size_t>(state.range(1))});
  heuristics::Heuristics heuristics;
  for (int i = 0; i < kTicksBefore; ++i) {
    heuristics.update(host.tick());
  }
  for (auto _ : state) {
    const Snapshot snapshot = host.tick();
    const auto begin = std::chrono::steady_clock::now();
    auto section = heuristics.update(snapshot);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    benchmark::DoNotOptimize(section);
    state.SetIterationTime(took.count());
  }
  state.counters["verdicts"] = static_cast<double>(heuristics.report()->active.size());
  state.counters["tracks"] = static_cast<double>(heuristics.scene().tracks());
}
// 8 zones. The first is what the design allows 200 us.
BENCHMARK(tick)
    ->Name("heuristics/tick")
    ->ArgNames({"disks", "groups"})
    ->Args({50, 200})
    ->Args({4, 30})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tidegauge

BENCHMARK_MAIN();
