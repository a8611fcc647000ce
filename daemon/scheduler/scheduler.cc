// SPDX-License-Identifier: Apache-2.0
#include "daemon/scheduler/scheduler.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/scheduler/tick_plan.h"

namespace tidegauge {

namespace {

// A run that takes no longer may be repeated for a scrape. All of them together then cost about what
// rendering does; slab caches and a walk over all processes (300 and 600 us on an idle host) do not
// qualify, or each scrape would cost several ticks.
constexpr std::int64_t kCheapRunNs = 250'000;
// A scrape waits 50 ms at most.
constexpr std::int64_t kRefreshBudgetNs = 40'000'000;
// A tick collector that takes this long several times running gets a thread of its own: a thousand
// disks or CPUs must not delay everybody's tick.
constexpr std::int64_t kSlowRunNs = 10'000'000;
constexpr int kSlowRuns = 3;
// How long stop() waits for threads that are in the middle of a run.
constexpr auto kStopWait = std::chrono::milliseconds(200);
// How long start() waits for the first tick. It takes milliseconds unless a collector hangs.
constexpr auto kFirstTickWait = std::chrono::milliseconds(400);
// A tick collector that runs this long is stuck rather than slow, whatever the tick.
constexpr std::int64_t kStuckRunNs = 1'000'000'000;
constexpr std::int64_t kLeastAliveNs = 10'000'000'000;

}  // namespace

struct Scheduler::Slot {
  const CollectorInfo* info = nullptr;
  std::unique_ptr<Collector> collector;  // used by the one thread for which running is true
  Lane lane = Lane::kTick;
  bool running = false;
  bool requested = false;          // a worker's order
  bool requested_refresh = false;  // that order is for a scrape
  bool has_worker = false;
  std::int64_t run_start_boottime_ns = 0;
  std::int64_t scheduled_boottime_ns = 0;  // of the last scheduled run; refreshes do not count
  bool scheduled = false;
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
        ticks(opts.ticks),
        ticks_skipped(opts.ticks_skipped) {}

  const SchedulerOptions options;
  Clock& clock;                                                    // outlives the process's threads
  const CollectorReport report;                                    // thread-safe
  std::vector<std::function<void(const SnapshotPtr&)>> consumers;  // fixed after start
  std::vector<std::function<void()>> publish_callbacks;            // fixed after start

  mutable std::mutex mutex;
  std::condition_variable wake;         // the tick thread: time, a refresh, stop
  std::condition_variable worker_wake;  // workers: an order, stop
  std::condition_variable done;         // a thread ended or a worker finished
  std::vector<Slot> slots;              // never resized after construction
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
  std::uint64_t sequence = 0;
  std::uint64_t ticks = 0;
  std::uint64_t ticks_skipped = 0;
  SnapshotPtr recorded;
  SnapshotPtr newest;

  std::int64_t freshness_ns() const {
    return options.freshness_ns > 0 ? options.freshness_ns : options.tick_ns;
  }

  // ---- runs ----
  void run(Slot& slot, bool refresh, ReadBuffer& buffer, std::unique_lock<std::mutex>& lock);
  bool finish(Slot& slot, std::int64_t end_ns, Result<void>&& outcome,
              std::shared_ptr<Section> section);
  bool order_worker(Slot& slot, bool for_refresh);
  void worker_main(Slot& slot);
  bool start_thread(std::function<void()> body);

  // ---- ticks ----
  bool tick(std::uint64_t mine, ReadBuffer& buffer, std::unique_lock<std::mutex>& lock);
  bool refresh(std::uint64_t mine, ReadBuffer& buffer, std::unique_lock<std::mutex>& lock);
  bool blocked(Slot& slot);
  void mark_overdue(std::unique_lock<std::mutex>& lock);
  void build_snapshots(std::int64_t realtime_ns, std::int64_t boottime_ns, bool is_tick);
  bool wants_refresh(const Slot& slot, std::int64_t now_ns) const;
  void start_tick_thread(std::int64_t deadline_ns);
  std::int64_t next_deadline_ns() const;
  void tick_main(std::uint64_t mine, std::int64_t deadline_ns);
};

// Runs a collector on the calling thread; the lock is released meanwhile.
void Scheduler::State::run(Slot& slot, bool refreshing, ReadBuffer& buffer,
                           std::unique_lock<std::mutex>& lock) {
  slot.running = true;
  slot.refreshing = refreshing;
  slot.run_start_boottime_ns = clock.boottime_ns();
  CollectContext context{.realtime_ns = clock.realtime_ns(),
                         .boottime_ns = slot.run_start_boottime_ns,
                         .buffer = &buffer};
  auto section = std::make_shared<Section>();
  section->read_start_boottime_ns = slot.run_start_boottime_ns;
  lock.unlock();
  Result<void> outcome;
  try {
    outcome = slot.collector->collect(context, *section);
  } catch (const std::exception& e) {
    // Collectors return errors; what still throws (bad_alloc, a library) costs one run.
    outcome = tl::make_unexpected(Error{ErrorKind::kIo, 0, std::string("exception: ") + e.what()});
  }
  buffer.shrink();
  const std::int64_t end_ns = clock.boottime_ns();
  section->read_end_boottime_ns = end_ns;
  const Error error = outcome ? Error{} : outcome.error();
  const bool failed = !outcome;
  lock.lock();
  const bool was_failing = finish(slot, end_ns, std::move(outcome), std::move(section));
  if (report && (failed || was_failing)) {
    lock.unlock();
    report(slot.info->name, failed ? &error : nullptr);
    lock.lock();
  }
}

// Files the result of a run. Returns whether the previous run had failed.
bool Scheduler::State::finish(Slot& slot, std::int64_t end_ns, Result<void>&& outcome,
                              std::shared_ptr<Section> section) {
  CollectorStatus& status = slot.status;
  const bool was_failing = status.ran && !status.success;
  const bool was_stuck = status.stuck;
  status.ran = true;
  status.stuck = false;
  status.success = outcome.has_value();
  status.duration_ns = end_ns - slot.run_start_boottime_ns;
  status.last_run_boottime_ns = slot.run_start_boottime_ns;
  ++status.runs;
  if (outcome) {
    status.last_success_realtime_ns = clock.realtime_ns();
    slot.newest = std::move(section);
    if (!slot.refreshing) {
      slot.recorded = slot.newest;
    }
  } else {
    status.error = outcome.error().kind;
    status.failures += was_stuck ? 0 : 1;  // a stuck run was counted when it was found so
    slot.newest.reset();
    if (!slot.refreshing) {
      slot.recorded.reset();
    }
  }
  if (!slot.refreshing) {
    slot.recorded_status = status;
  }
  slot.running = false;
  return was_failing;
}

// Threads are detached: one that is stuck in the kernel must not be waited for. What they need they
// co-own. False when the system has no thread to give; the caller tries again later.
bool Scheduler::State::start_thread(std::function<void()> body) {
  try {
    std::thread(std::move(body)).detach();
  } catch (const std::system_error&) {
    return false;
  }
  ++threads;
  return true;
}

bool Scheduler::State::order_worker(Slot& slot, bool for_refresh) {
  if (!slot.has_worker) {
    slot.has_worker = start_thread([self = shared_from_this(), &slot] { self->worker_main(slot); });
    if (!slot.has_worker) {
      ++slot.status.skipped;
      return false;
    }
  }
  slot.requested = true;
  slot.requested_refresh = for_refresh;
  worker_wake.notify_all();
  return true;
}

void Scheduler::State::worker_main(Slot& slot) {
  ::pthread_setname_np(::pthread_self(),
                       ("c:" + std::string(slot.info->name)).substr(0, 15).c_str());
  ReadBuffer buffer;
  std::unique_lock lock(mutex);
  while (!stopping) {
    if (!slot.requested) {
      worker_wake.wait(lock);
      continue;
    }
    slot.requested = false;
    run(slot, slot.requested_refresh, buffer, lock);
    done.notify_all();
  }
  --threads;
  done.notify_all();
}

// Runs what is due and publishes. False when this thread was replaced meanwhile: it must not touch
// anything but return.
bool Scheduler::State::tick(std::uint64_t mine, ReadBuffer& buffer,
                            std::unique_lock<std::mutex>& lock) {
  const std::int64_t realtime_ns = clock.realtime_ns();
  const std::int64_t boottime_ns = clock.boottime_ns();
  if (last_tick_boottime_ns != 0) {
    ticks_skipped += ticks_missed(last_tick_boottime_ns, boottime_ns, options.tick_ns);
  }
  last_tick_realtime_ns = realtime_ns;
  last_tick_boottime_ns = boottime_ns;
  ++ticks;
  for (Slot& slot : slots) {
    const DueInput due{.tick = tick_number(realtime_ns, options.tick_ns),
                       .boottime_ns = boottime_ns,
                       .tick_ns = options.tick_ns,
                       .interval_ns = slot.status.interval_ns,
                       .ran = slot.scheduled,
                       .last_run_boottime_ns = slot.scheduled_boottime_ns};
    if (!is_due(due)) {
      continue;
    }
    slot.scheduled = true;
    slot.scheduled_boottime_ns = boottime_ns;
    if (slot.running || slot.requested || blocked(slot)) {
      ++slot.status.skipped;
      continue;
    }
    if (slot.lane == Lane::kWorker) {
      order_worker(slot, false);
      continue;
    }
    tick_slot = &slot;
    run(slot, false, buffer, lock);
    if (generation != mine) {  // replaced, or the scheduler stops
      return false;
    }
    tick_slot = nullptr;
    slot.slow_runs = slot.status.duration_ns > kSlowRunNs ? slot.slow_runs + 1 : 0;
    if (slot.slow_runs == kSlowRuns) {
      slot.lane = Lane::kWorker;
    }
  }
  mark_overdue(lock);
  if (generation != mine) {
    return false;
  }
  build_snapshots(realtime_ns, boottime_ns, true);
  done.notify_all();
  const SnapshotPtr snapshot = recorded;
  lock.unlock();
  for (const auto& consumer : consumers) {
    consumer(snapshot);
  }
  lock.lock();
  if (!refresh_requested) {  // else the refresh that follows at once tells those who wait for it
    lock.unlock();
    for (const auto& callback : publish_callbacks) {
      callback();
    }
    lock.lock();
  }
  return generation == mine;
}

bool Scheduler::State::wants_refresh(const Slot& slot, std::int64_t now_ns) const {
  const CollectorStatus& status = slot.status;
  return slot.info->refresh && !slot.running && !slot.requested && !slot.predecessor_running &&
         status.ran && status.duration_ns <= kCheapRunNs &&
         now_ns - status.last_run_boottime_ns > freshness_ns() + options.tick_ns / 10;
}

// Reruns the cheap collectors whose data is old, for the exporter alone. Workers run theirs meanwhile
// and are waited for, as long as the budget lasts.
bool Scheduler::State::refresh(std::uint64_t mine, ReadBuffer& buffer,
                               std::unique_lock<std::mutex>& lock) {
  refresh_requested = false;
  const auto begin = std::chrono::steady_clock::now();
  const std::int64_t begin_ns = clock.boottime_ns();
  const std::int64_t realtime_ns = clock.realtime_ns();
  std::vector<const Slot*> ordered;
  for (Slot& slot : slots) {
    if (slot.lane == Lane::kWorker && wants_refresh(slot, begin_ns) && order_worker(slot, true)) {
      ordered.push_back(&slot);
    }
  }
  bool any = !ordered.empty();
  for (Slot& slot : slots) {
    const std::int64_t now_ns = clock.boottime_ns();
    if (slot.lane == Lane::kWorker || !wants_refresh(slot, now_ns)) {
      continue;
    }
    if (now_ns - begin_ns + slot.status.duration_ns > kRefreshBudgetNs) {
      break;
    }
    any = true;
    tick_slot = &slot;
    run(slot, true, buffer, lock);
    if (generation != mine) {
      return false;
    }
    tick_slot = nullptr;
  }
  done.wait_until(lock, begin + std::chrono::nanoseconds(kRefreshBudgetNs), [&] {
    return stopping || std::none_of(ordered.begin(), ordered.end(), [](const Slot* slot) {
             return slot->running || slot->requested;
           });
  });
  if (generation != mine) {
    return false;
  }
  if (any) {  // else a tick or an earlier refresh has served the request already
    build_snapshots(realtime_ns, begin_ns, false);
  }
  lock.unlock();
  for (const auto& callback : publish_callbacks) {
    callback();
  }
  lock.lock();
  return generation == mine;
}

// Whether a run of before the last reload has not come back yet.
bool Scheduler::State::blocked(Slot& slot) {
  if (slot.predecessor_running && !slot.predecessor_running()) {
    slot.predecessor_running = nullptr;
    slot.status.stuck = false;
    slot.recorded_status.stuck = false;
  }
  return slot.predecessor_running != nullptr;
}

// A run that outlived its limit: its series disappear, the others go on.
void Scheduler::State::mark_overdue(std::unique_lock<std::mutex>& lock) {
  const std::int64_t now_ns = clock.boottime_ns();
  std::vector<std::string_view> overdue;
  for (Slot& slot : slots) {
    if ((slot.running || blocked(slot)) && !slot.status.stuck &&
        now_ns - slot.run_start_boottime_ns > options.collector_timeout_ns) {
      slot.status.stuck = true;
      slot.status.ran = true;
      slot.status.success = false;
      slot.status.error = ErrorKind::kTimeout;
      ++slot.status.failures;
      slot.recorded_status = slot.status;
      slot.newest.reset();
      slot.recorded.reset();
      overdue.push_back(slot.info->name);
    }
  }
  if (!overdue.empty() && report) {
    const Error error{ErrorKind::kTimeout, 0, "does not return; its series are gone until it does"};
    lock.unlock();
    for (const std::string_view name : overdue) {
      report(name, &error);
    }
    lock.lock();
  }
}

void Scheduler::State::build_snapshots(std::int64_t realtime_ns, std::int64_t boottime_ns,
                                       bool is_tick) {
  auto make = [&](std::shared_ptr<const Section> Slot::*section, CollectorStatus Slot::*status) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->sequence = ++sequence;
    snapshot->realtime_ns = realtime_ns;
    snapshot->boottime_ns = boottime_ns;
    snapshot->ticks = ticks;
    snapshot->ticks_skipped = ticks_skipped;
    snapshot->entries.reserve(slots.size());
    for (const Slot& slot : slots) {
      snapshot->entries.push_back({slot.info->name, slot.*section, slot.*status});
      snapshot->entries.back().status.skipped = slot.status.skipped;
    }
    return snapshot;
  };
  if (is_tick) {
    recorded = make(&Slot::recorded, &Slot::recorded_status);
    const bool same = std::all_of(slots.begin(), slots.end(), [](const Slot& slot) {
      return slot.recorded == slot.newest && slot.recorded_status.runs == slot.status.runs;
    });
    newest = same ? recorded : make(&Slot::newest, &Slot::status);
  } else {
    newest = make(&Slot::newest, &Slot::status);
  }
}

void Scheduler::State::start_tick_thread(std::int64_t deadline_ns) {
  const std::uint64_t mine = ++generation;
  has_tick_thread = start_thread(
      [self = shared_from_this(), mine, deadline_ns] { self->tick_main(mine, deadline_ns); });
}

// The grid point after the last tick; not one so close to it that it would be the same one again (the
// wall clock was set back a little), and one from now on when the last tick took too long for that.
std::int64_t Scheduler::State::next_deadline_ns() const {
  const std::int64_t now_ns = clock.boottime_ns();
  std::int64_t next_ns =
      next_tick_boottime_ns(last_tick_realtime_ns, last_tick_boottime_ns, options.tick_ns);
  if (next_ns - last_tick_boottime_ns < options.tick_ns / 2) {
    next_ns += options.tick_ns;
  }
  return now_ns - next_ns <= options.tick_ns / 2
             ? next_ns
             : next_tick_boottime_ns(clock.realtime_ns(), now_ns, options.tick_ns);
}

void Scheduler::State::tick_main(std::uint64_t mine, std::int64_t deadline_ns) {
  ::pthread_setname_np(::pthread_self(), "tick");
  ReadBuffer buffer;
  std::unique_lock lock(mutex);
  while (!stopping && generation == mine) {
    if (clock.boottime_ns() >= deadline_ns) {
      // Half a tick late or more: this one is skipped and counted, not run next to its successor.
      const std::int64_t realtime_ns = clock.realtime_ns();
      if (last_tick_boottime_ns != 0 && realtime_ns % options.tick_ns > options.tick_ns / 2) {
        deadline_ns = next_tick_boottime_ns(realtime_ns, clock.boottime_ns(), options.tick_ns);
        continue;
      }
      if (!tick(mine, buffer, lock)) {
        break;
      }
      deadline_ns = next_deadline_ns();
    } else if (refresh_requested) {
      if (!refresh(mine, buffer, lock)) {
        break;
      }
    } else {
      clock.wait(wake, lock, deadline_ns);
    }
  }
  --threads;
  done.notify_all();
}

Scheduler::Scheduler(SchedulerOptions options, std::vector<ScheduledCollector> collectors,
                     Clock& clock, CollectorReport report)
    : state_(std::make_shared<State>(options, clock, std::move(report))) {
  state_->slots.resize(collectors.size());
  for (std::size_t i = 0; i < collectors.size(); ++i) {
    Slot& slot = state_->slots[i];
    slot.info = collectors[i].info;
    slot.collector = std::move(collectors[i].collector);
    slot.lane = slot.info->lane;
    slot.status = collectors[i].status;
    slot.status.interval_ns = collectors[i].interval_ns;
    slot.recorded_status = slot.status;
    slot.recorded = std::move(collectors[i].recorded);
    slot.newest = std::move(collectors[i].newest);
    slot.predecessor_running = std::move(collectors[i].still_running);
    slot.run_start_boottime_ns = collectors[i].run_start_boottime_ns;
  }
}

Scheduler::~Scheduler() { stop(); }

void Scheduler::on_snapshot(std::function<void(const SnapshotPtr&)> consumer) {
  state_->consumers.push_back(std::move(consumer));
}

void Scheduler::on_publish(std::function<void()> callback) {
  state_->publish_callbacks.push_back(std::move(callback));
}

SnapshotPtr Scheduler::collect_once(std::int64_t wait_ns) {
  State& state = *state_;
  ReadBuffer buffer;
  std::unique_lock lock(state.mutex);
  state.tick(state.generation, buffer, lock);
  wait_for_workers(lock, wait_ns);
  return state.recorded;
}

// Real time on purpose: workers answer in real time even when a test owns the clock.
void Scheduler::wait_for_workers(std::unique_lock<std::mutex>& lock, std::int64_t wait_ns) {
  State& state = *state_;
  const auto idle = [&] {
    return std::none_of(state.slots.begin(), state.slots.end(),
                        [](const Slot& slot) { return slot.running || slot.requested; });
  };
  state.done.wait_for(lock, std::chrono::nanoseconds(wait_ns), idle);
  state.build_snapshots(state.recorded->realtime_ns, state.recorded->boottime_ns, true);
}

void Scheduler::start(std::int64_t wait_ns) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  state.start_tick_thread(state.clock.boottime_ns());
  if (state.done.wait_for(lock, kFirstTickWait, [&] { return state.recorded != nullptr; })) {
    wait_for_workers(lock, wait_ns);
  }
}

SnapshotPtr Scheduler::latest() const {
  const std::lock_guard lock(state_->mutex);
  return state_->newest;
}

SnapshotPtr Scheduler::latest_tick() const {
  const std::lock_guard lock(state_->mutex);
  return state_->recorded;
}

bool Scheduler::is_stale(const std::vector<bool>& selected) const {
  const State& state = *state_;
  const std::lock_guard lock(state.mutex);
  const std::int64_t now_ns = state.clock.boottime_ns();
  for (std::size_t i = 0; i < state.slots.size(); ++i) {
    if ((selected.empty() || selected[i]) && state.wants_refresh(state.slots[i], now_ns)) {
      return true;
    }
  }
  return false;
}

void Scheduler::request_refresh() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->refresh_requested = true;
  }
  state_->wake.notify_one();
}

void Scheduler::supervise() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (state.stopping) {
    return;
  }
  if (!state.has_tick_thread) {  // the system had no thread to give
    state.start_tick_thread(state.next_deadline_ns());
    return;
  }
  Slot* slot = state.tick_slot;
  // The same run seen twice, some time apart: the thread is stuck, not the machine asleep.
  if (slot == nullptr || state.suspected != slot ||
      state.suspected_start_ns != slot->run_start_boottime_ns) {
    state.suspected = slot;
    state.suspected_start_ns = slot != nullptr ? slot->run_start_boottime_ns : 0;
    return;
  }
  if (state.clock.boottime_ns() - slot->run_start_boottime_ns < kStuckRunNs) {
    return;
  }
  slot->lane = Lane::kWorker;
  state.tick_slot = nullptr;
  state.suspected = nullptr;
  state.start_tick_thread(state.next_deadline_ns());
  const std::string_view name = slot->info->name;
  if (state.report) {
    const Error error{ErrorKind::kTimeout, 0,
                      "does not return; the other collectors go on without it"};
    lock.unlock();
    state.report(name, &error);
  }
}

bool Scheduler::alive() const {
  const State& state = *state_;
  const std::lock_guard lock(state.mutex);
  const std::int64_t since_ns = state.clock.boottime_ns() - state.last_tick_boottime_ns;
  return since_ns < std::max(3 * state.options.tick_ns, kLeastAliveNs);
}

std::vector<ScheduledCollector> Scheduler::release() {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  std::vector<ScheduledCollector> released;
  for (Slot& slot : state.slots) {
    ScheduledCollector& out = released.emplace_back();
    out.info = slot.info;
    out.interval_ns = slot.status.interval_ns;
    out.status = slot.status;
    out.recorded = slot.recorded;
    out.newest = slot.newest;
    if (slot.running) {
      out.run_start_boottime_ns = slot.run_start_boottime_ns;
      out.still_running = [old = state_, &slot] {
        const std::lock_guard old_lock(old->mutex);
        return slot.running;
      };
    } else {
      out.run_start_boottime_ns = slot.run_start_boottime_ns;
      out.still_running = std::move(slot.predecessor_running);
      out.collector = std::move(slot.collector);
    }
  }
  return released;
}

bool Scheduler::stop() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  state.stopping = true;
  ++state.generation;
  state.wake.notify_all();
  state.worker_wake.notify_all();
  if (std::exchange(state.stop_waited, true)) {
    return state.threads == 0;
  }
  return state.done.wait_for(lock, kStopWait, [&] { return state.threads == 0; });
}

}  // namespace tidegauge
