// SPDX-License-Identifier: Apache-2.0
#include "daemon/scheduler/scheduler.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "daemon/scheduler/scheduler_state.h"

namespace tidegauge {

namespace {

// How long stop() waits for threads that are in the middle of a run.
constexpr auto kStopWait = std::chrono::milliseconds(200);
// How long start() waits for the first tick. It takes milliseconds unless a collector hangs.
constexpr auto kFirstTickWait = std::chrono::milliseconds(400);
// A tick collector that runs this long is stuck rather than slow, whatever the tick.
constexpr std::int64_t kStuckRunNs = 1'000'000'000;
constexpr std::int64_t kLeastAliveNs = 10'000'000'000;

}  // namespace

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
    slot.status.effective_interval_ns = collectors[i].interval_ns;
    slot.cost = collectors[i].cost;
    // Only the budget's plan can take it back.
    slot.room_for_two = !slot.info->stretch;
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

void Scheduler::set_derived(std::string_view name, Derive derive, SnapshotEntry before) {
  state_->derive = std::move(derive);
  state_->derived = std::move(before);
  state_->derived.collector = name;
  state_->derived.status.interval_ns = state_->options.tick_ns;
  state_->derived.status.effective_interval_ns = state_->options.tick_ns;
}

SnapshotEntry Scheduler::derived() const {
  const std::lock_guard lock(state_->mutex);
  return state_->derived;
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

bool Scheduler::request_run(std::string_view collector, std::uint32_t suspect_pid) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  const auto slot = std::find_if(state.slots.begin(), state.slots.end(),
                                 [&](const Slot& each) { return each.info->name == collector; });
  if (slot == state.slots.end() || state.stopping) {
    return false;
  }
  slot->culprit_wanted = true;
  slot->suspect_pid = suspect_pid != 0 ? suspect_pid : slot->suspect_pid;
  if (!slot->early_requested) {
    slot->early_requested = state.may_run_early(*slot, state.clock.boottime_ns());
  }
  return slot->early_requested;
}

double Scheduler::background_cores() const {
  const std::lock_guard lock(state_->mutex);
  return state_->background.cores;
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
    out.cost = slot.cost;
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
  for (const Slot& slot : state.slots) {
    slot.worker_wake->notify_one();
  }
  if (std::exchange(state.stop_waited, true)) {
    return state.threads == 0;
  }
  return state.done.wait_for(lock, kStopWait, [&] { return state.threads == 0; });
}

}  // namespace tidegauge
