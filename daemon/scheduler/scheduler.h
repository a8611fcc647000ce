// SPDX-License-Identifier: Apache-2.0
#pragma once

// Drives the collectors and publishes Snapshots.
//
// Threads:
//   tick thread    runs the kTick collectors one after another at every tick, then publishes;
//   worker threads one per kWorker collector, started when first due; their results join the next
//                  Snapshot;
//   supervise()    called now and then by the owner's thread. A kTick collector that does not come
//                  back (a sysfs read stuck in a driver) is left alone with the thread it holds; a
//                  new tick thread goes on with the others and the collector, should it ever return,
//                  continues on a worker of its own.
// All shared state lives in one block that stuck threads co-own, so stopping never waits for them.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/core/section.h"
#include "daemon/exporter/snapshot_source.h"
#include "daemon/scheduler/clock.h"
#include "daemon/scheduler/cpu_budget.h"

namespace tidegauge {

struct ScheduledCollector {
  const CollectorInfo* info = nullptr;
  std::int64_t interval_ns = 0;  // a positive multiple of the tick
  std::unique_ptr<Collector> collector;

  // The rest is what a predecessor hands over, see release().
  CollectorStatus status{};
  std::shared_ptr<const Section> recorded{};
  std::shared_ptr<const Section> newest{};
  RunCost cost{};
  // Whether the predecessor's run still has not come back; null if it had none. While it has not, no
  // other run starts: one dead mount holds one thread, however often the configuration is reloaded.
  std::function<bool()> still_running{};
  std::int64_t run_start_boottime_ns = 0;  // of that run
};

struct SchedulerOptions {
  std::int64_t tick_ns = 1'000'000'000;
  std::int64_t freshness_ns = 0;  // 0: one tick
  // A worker's run that takes longer counts as stuck and its series disappear.
  std::int64_t collector_timeout_ns = 5'000'000'000;
  // Of one core, for the whole process; collectors with `stretch` run less often to keep it. 0: none.
  std::int64_t cpu_budget_ppm = 0;
  // Measurements and counts of a predecessor, carried over a reload.
  double background_cores = 0;
  std::uint64_t ticks = 0;
  std::uint64_t ticks_skipped = 0;
};

// Called without locks, on the thread that noticed. `error` is null when a run succeeded after a
// failed one.
using CollectorReport = std::function<void(std::string_view collector, const Error* error)>;

class Scheduler final : public SnapshotSource {
 public:
  Scheduler(SchedulerOptions options, std::vector<ScheduledCollector> collectors, Clock& clock,
            CollectorReport report);
  ~Scheduler() override;  // stop()

  // Consumers of the tick's Snapshot (heuristics, recorder), called on the tick thread in order.
  // Before start().
  void on_snapshot(std::function<void(const SnapshotPtr&)> consumer);
  // One more entry of every tick's Snapshot, behind the collectors': what `derive` makes of that Snapshot (the
  // heuristics). On the tick thread, without locks. `name` must outlive every Snapshot. Before start().
  using Derive = std::function<std::shared_ptr<const Section>(const Snapshot&)>;
  // `before`: derived() of a predecessor, whose counts go on.
  void set_derived(std::string_view name, Derive derive, SnapshotEntry before = {});
  [[nodiscard]] SnapshotEntry derived() const;
  // Called after every publication, refreshes included, on the tick thread. Before start().
  void on_publish(std::function<void()> callback);

  // Starts the tick thread and its first tick at once. Waits for that one and up to `wait_ns` more
  // for workers, so that the first scrape finds everything; a first tick that hangs is waited for
  // less than half a second and then left to supervise().
  void start(std::int64_t wait_ns);
  // One tick on the calling thread, no threads kept: `tidegauge collect`.
  SnapshotPtr collect_once(std::int64_t wait_ns);

  // For the exporter: newer than latest_tick() where a scrape had something refreshed.
  [[nodiscard]] SnapshotPtr latest() const override;
  // What heuristics and the recorder saw last: ticks only, without refreshes. Any thread.
  [[nodiscard]] SnapshotPtr latest_tick() const;

  [[nodiscard]] bool is_stale(const std::vector<bool>& selected) const override;
  // Served on the tick thread (workers run theirs meanwhile); on_publish tells when it is done.
  void request_refresh() override;

  // Asks for a run of this collector before its time, at the next tick. Any thread. False when there is
  // none or it may not: one early run per interval in force (and per ten ticks), not while a run is
  // under way. The run is a scheduled one: recorded, seen by consumers. The next regular one is left
  // out for it where the budget has no room for both or less than half an interval is between them;
  // the grid stays. A request that the next tick
  // would serve anyway, or that another one made, is accepted and costs nothing. The next run, early or not, is
  // told that a culprit is wanted and whom the last request suspected (0: nobody).
  bool request_run(std::string_view collector, std::uint32_t suspect_pid = 0);
  // What all but the stretch collectors use of a core, for a successor.
  [[nodiscard]] double background_cores() const;

  // Looks for a stuck tick thread. From one thread, about once per tick.
  void supervise();
  // Whether a tick began lately: for the watchdog and /-/healthy.
  [[nodiscard]] bool alive() const override;

  // After stop(): every collector with its state, for a successor. One whose run has not come back
  // keeps its object here and hands over `still_running` instead.
  std::vector<ScheduledCollector> release();

  // Returns at once if no collector is running, within a few milliseconds if one is, and never
  // waits for a stuck one. True when every thread ended.
  bool stop();

 private:
  struct Slot;
  struct State;
  void wait_for_workers(std::unique_lock<std::mutex>& lock, std::int64_t wait_ns);

  std::shared_ptr<State> state_;
};

}  // namespace tidegauge
