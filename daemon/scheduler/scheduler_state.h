// SPDX-License-Identifier: Apache-2.0
#pragma once

// The Scheduler's inside: what its threads share. Only for scheduler*.cc:
//
//   scheduler.cc        the public functions, on the owner's and the exporter's threads
//   scheduler_runs.cc   one run of one collector; worker threads
//   scheduler_plan.cc   what is due: intervals within the CPU budget, early runs
//   scheduler_ticks.cc  ticks, refreshes, Snapshots; the tick thread

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "daemon/scheduler/cpu_budget.h"
#include "daemon/scheduler/scheduler.h"

namespace tidegauge {

struct Scheduler::Slot {
  const CollectorInfo* info = nullptr;
  std::unique_ptr<Collector> collector;  // used by the one thread for which running is true
  Lane lane = Lane::kTick;
  bool running = false;
  bool requested = false;          // a worker's order
  bool requested_refresh = false;  // that order is for a scrape
  bool has_worker = false;
  std::unique_ptr<std::condition_variable> worker_wake =  // an order, stop
      std::make_unique<std::condition_variable>();
  std::int64_t run_start_boottime_ns = 0;
  std::int64_t scheduled_boottime_ns = 0;  // of the last scheduled run; refreshes do not count
  bool scheduled = false;
  RunCost cost;
  bool early_requested = false;
  bool culprit_wanted = false;              // the next run is told
  std::uint32_t suspect_pid = 0;            // with it
  bool early_since_due = false;             // one ran since the last regular occasion
  bool room_for_two = false;                // see StretchPlan
  std::int64_t early_boottime_ns = 0;       // when the last one began
  bool refreshing = false;                  // the present run is for a scrape
  int slow_runs = 0;                        // one after another, on the tick thread
  CollectorStatus status;                   // of any run
  std::shared_ptr<const Section> newest;    // of any run
  CollectorStatus recorded_status;          // of scheduled runs, without refreshes
  std::shared_ptr<const Section> recorded;  // of scheduled runs, without refreshes
  std::function<bool()> predecessor_running;
};

// Everything threads share. Guarded by `mutex` unless said otherwise.
struct Scheduler::State : std::enable_shared_from_this<Scheduler::State> {
  State(SchedulerOptions opts, Clock& clk, CollectorReport rep)
      : options(opts),
        clock(clk),
        report(std::move(rep)),
        background{.cores = opts.background_cores},
        ticks(opts.ticks),
        ticks_skipped(opts.ticks_skipped) {}

  const SchedulerOptions options;
  Clock& clock;                                                    // outlives the process's threads
  const CollectorReport report;                                    // thread-safe
  std::vector<std::function<void(const SnapshotPtr&)>> consumers;  // fixed after start
  std::vector<std::function<void()>> publish_callbacks;            // fixed after start
  Derive derive;                                                   // fixed after start; may be null

  mutable std::mutex mutex;
  std::condition_variable wake;  // the tick thread: time, a refresh, stop
  std::condition_variable done;  // a thread ended or a worker finished
  std::vector<Slot> slots;       // never resized after construction
  bool stopping = false;
  bool stop_waited = false;
  bool has_tick_thread = false;
  bool refresh_requested = false;
  std::uint64_t generation = 0;  // of the tick thread that may act
  std::size_t threads = 0;       // running threads that stop() would like to see end
  Slot* tick_slot = nullptr;     // what the tick thread is running
  const Slot* suspected = nullptr;
  std::int64_t suspected_start_ns = 0;
  std::int64_t last_tick_realtime_ns = 0;
  std::int64_t last_tick_boottime_ns = 0;
  BackgroundCpu background;
  std::uint64_t sequence = 0;
  std::uint64_t ticks = 0;
  std::uint64_t ticks_skipped = 0;
  SnapshotEntry derived;  // of the last tick
  SnapshotPtr recorded;
  SnapshotPtr newest;

  std::int64_t freshness_ns() const {
    return options.freshness_ns > 0 ? options.freshness_ns : options.tick_ns;
  }

  // ---- runs ----
  void run(Slot& slot, bool refresh, ReadBuffer& buffer, std::unique_lock<std::mutex>& lock);
  bool finish(Slot& slot, std::int64_t end_ns, std::int64_t cpu_ns, Result<void>&& outcome,
              std::shared_ptr<Section> section);
  bool order_worker(Slot& slot, bool for_refresh);
  void worker_main(Slot& slot);
  bool start_thread(std::function<void()> body);

  // ---- what is due ----
  void plan_intervals(std::int64_t boottime_ns);
  bool is_time(Slot& slot, std::int64_t realtime_ns, std::int64_t boottime_ns) const;
  bool take_early(Slot& slot, std::int64_t boottime_ns) const;
  bool may_run_early(const Slot& slot, std::int64_t boottime_ns) const;

  // ---- ticks ----
  bool tick(std::uint64_t mine, ReadBuffer& buffer, std::unique_lock<std::mutex>& lock);
  bool refresh(std::uint64_t mine, ReadBuffer& buffer, std::unique_lock<std::mutex>& lock);
  bool blocked(Slot& slot);
  void mark_overdue(std::unique_lock<std::mutex>& lock);
  std::shared_ptr<Snapshot> make_snapshot(std::int64_t realtime_ns, std::int64_t boottime_ns,
                                          bool is_tick) const;
  bool derive_section(std::uint64_t mine, std::int64_t realtime_ns, std::int64_t boottime_ns,
                      std::unique_lock<std::mutex>& lock);
  void build_snapshots(std::int64_t realtime_ns, std::int64_t boottime_ns, bool is_tick);
  bool wants_refresh(const Slot& slot, std::int64_t now_ns) const;
  void start_tick_thread(std::int64_t deadline_ns);
  std::int64_t next_deadline_ns() const;
  void tick_main(std::uint64_t mine, std::int64_t deadline_ns);
};

}  // namespace tidegauge
