// SPDX-License-Identifier: Apache-2.0

// What a tick and a scrape cost on this machine, and prometheus-cpp's serializer over the same
// Snapshot beside ours.

#include <benchmark/benchmark.h>
#include <prometheus/text_serializer.h>

#include "collectors/registry.h"
#include "daemon/config/load.h"
#include "daemon/exporter/exposition.h"
#include "daemon/exporter/snapshot_collectable.h"
#include "daemon/service/collector_set.h"

namespace tidegauge {
namespace {

SystemClock& system_clock() {
  static SystemClock clock;
  return clock;
}

SnapshotPtr live_snapshot(std::vector<ExportedCollector>& exports) {
  const Config config = default_config(all_collectors());
  auto collectors = make_collectors(config);
  exports = exported(*collectors);
  Scheduler scheduler(scheduler_options(config), std::move(*collectors), system_clock(), nullptr);
  return scheduler.collect_once(1'000'000'000);
}

void collector_run(benchmark::State& state, const CollectorInfo* info) {
  auto collector = info->make(KernelFiles(), default_options(info->options));
  ReadBuffer buffer;
  std::int64_t now = 1'000'000'000;
  bool failed = false;
  for (auto _ : state) {
    CollectContext context{.realtime_ns = now, .boottime_ns = now, .buffer = &buffer};
    Section section;
    failed = !(*collector)->collect(context, section) || failed;
    benchmark::DoNotOptimize(section);
    now += 1'000'000'000;
  }
  if (failed) {
    state.SetLabel("no data here");
  }
}

void ours(benchmark::State& state) {
  std::vector<ExportedCollector> exports;
  const SnapshotPtr snapshot = live_snapshot(exports);
  std::vector<SectionText> texts;
  for (std::size_t i = 0; i < exports.size(); ++i) {
    texts.emplace_back(nullptr);
  }
  std::size_t bytes = 0;
  std::vector<SnapshotPtr> copies;
  for (int i = 0; i < 2; ++i) {  // two copies, so that every render is of a new Section
    auto copy = std::make_shared<Snapshot>(*snapshot);
    for (SnapshotEntry& entry : copy->entries) {
      if (entry.section) {
        entry.section = std::make_shared<const Section>(*entry.section);
      }
    }
    copies.push_back(copy);
  }
  std::size_t turn = 0;
  for (auto _ : state) {
    const Snapshot& now = *copies[turn++ % 2];
    bytes = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      bytes += texts[i].render(now.entries[i].section).size();
    }
    benchmark::DoNotOptimize(bytes);
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(ours)->Name("render/tidegauge");

void theirs(benchmark::State& state) {
  std::vector<ExportedCollector> exports;
  const SnapshotPtr snapshot = live_snapshot(exports);
  std::size_t bytes = 0;
  for (auto _ : state) {
    bytes = prometheus::TextSerializer().Serialize(to_families(*snapshot)).size();
    benchmark::DoNotOptimize(bytes);
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(theirs)->Name("render/prometheus-cpp");

void compress(benchmark::State& state) {
  std::vector<ExportedCollector> exports;
  const SnapshotPtr snapshot = live_snapshot(exports);
  Exposition exposition({}, exports, nullptr);
  const auto body = exposition.body(snapshot, {}, false);
  GzipCompressor compressor;
  std::size_t bytes = 0;
  for (auto _ : state) {
    bytes = compressor.compress(*body).size();
    benchmark::DoNotOptimize(bytes);
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(compress)->Name("gzip");

}  // namespace
}  // namespace tidegauge

int main(int argc, char** argv) {
  for (const tidegauge::CollectorInfo* info : tidegauge::all_collectors()) {
    benchmark::RegisterBenchmark(("collect/" + std::string(info->name)).c_str(),
                                 tidegauge::collector_run, info);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
