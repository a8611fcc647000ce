// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include <algorithm>
#include <chrono>

#include "daemon/scheduler/scheduler_state.h"
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

}  // namespace

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
  plan_intervals(boottime_ns);
  for (Slot& slot : slots) {
    const bool regular = is_time(slot, realtime_ns, boottime_ns);
    if (regular) {
      slot.early_requested = false;  // served by this run
    } else if (!take_early(slot, boottime_ns)) {
      continue;
    }
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
  if (derive && !derive_section(mine, realtime_ns, boottime_ns, lock)) {
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
  const bool stretched = status.effective_interval_ns > status.interval_ns;
  return slot.info->refresh && !stretched && !slot.running && !slot.requested &&
         !slot.predecessor_running && status.ran && status.duration_ns <= kCheapRunNs &&
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

std::shared_ptr<Snapshot> Scheduler::State::make_snapshot(std::int64_t realtime_ns,
                                                          std::int64_t boottime_ns,
                                                          bool is_tick) const {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->sequence = sequence;
  snapshot->realtime_ns = realtime_ns;
  snapshot->boottime_ns = boottime_ns;
  snapshot->ticks = ticks;
  snapshot->ticks_skipped = ticks_skipped;
  snapshot->entries.reserve(slots.size() + 1);
  for (const Slot& slot : slots) {
    snapshot->entries.push_back({slot.info->name, is_tick ? slot.recorded : slot.newest,
                                 is_tick ? slot.recorded_status : slot.status});
    CollectorStatus& shown = snapshot->entries.back().status;
    shown.skipped = slot.status.skipped;
    shown.early_runs = slot.status.early_runs;
    shown.effective_interval_ns = slot.status.effective_interval_ns;
  }
  return snapshot;
}

// False when this thread was replaced meanwhile.
bool Scheduler::State::derive_section(std::uint64_t mine, std::int64_t realtime_ns,
                                      std::int64_t boottime_ns,
                                      std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<const Snapshot> draft = make_snapshot(realtime_ns, boottime_ns, true);
  lock.unlock();
  const std::int64_t begin_ns = clock.boottime_ns();
  const std::int64_t begin_cpu_ns = clock.thread_cpu_ns();
  auto section = derive(*draft);
  const std::int64_t cpu_ns = clock.thread_cpu_ns() - begin_cpu_ns;
  const std::int64_t end_ns = clock.boottime_ns();
  lock.lock();
  if (generation != mine) {
    return false;
  }
  derived.section = std::move(section);
  CollectorStatus& status = derived.status;
  status.ran = true;
  status.success = derived.section != nullptr;
  status.duration_ns = end_ns - begin_ns;
  status.cpu_ns += cpu_ns;
  status.last_success_realtime_ns = realtime_ns;
  status.last_run_boottime_ns = boottime_ns;
  ++status.runs;
  return true;
}

void Scheduler::State::build_snapshots(std::int64_t realtime_ns, std::int64_t boottime_ns,
                                       bool is_tick) {
  auto make = [&](bool of_tick) {
    ++sequence;
    auto snapshot = make_snapshot(realtime_ns, boottime_ns, of_tick);
    if (derive) {
      snapshot->entries.push_back(derived);
    }
    return snapshot;
  };
  if (is_tick) {
    recorded = make(true);
    const bool same = std::all_of(slots.begin(), slots.end(), [](const Slot& slot) {
      return slot.recorded == slot.newest && slot.recorded_status.runs == slot.status.runs;
    });
    newest = same ? recorded : make(false);
  } else {
    newest = make(false);
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

}  // namespace tidegauge
