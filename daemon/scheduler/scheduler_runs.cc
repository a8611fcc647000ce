// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include <system_error>
#include <thread>

#include "daemon/scheduler/scheduler_state.h"

namespace tidegauge {

// Runs a collector on the calling thread; the lock is released meanwhile.
void Scheduler::State::run(Slot& slot, bool refreshing, ReadBuffer& buffer,
                           std::unique_lock<std::mutex>& lock) {
  slot.running = true;
  slot.refreshing = refreshing;
  slot.run_start_boottime_ns = clock.boottime_ns();
  CollectContext context{.realtime_ns = clock.realtime_ns(),
                         .boottime_ns = slot.run_start_boottime_ns,
                         .buffer = &buffer};
  if (!refreshing) {
    context.culprit_wanted = std::exchange(slot.culprit_wanted, false);
    context.suspect_pid = std::exchange(slot.suspect_pid, 0);
  }
  auto section = std::make_shared<Section>();
  section->read_start_boottime_ns = slot.run_start_boottime_ns;
  lock.unlock();
  const std::int64_t cpu_start_ns = clock.thread_cpu_ns();
  Result<void> outcome;
  try {
    outcome = slot.collector->collect(context, *section);
  } catch (const std::exception& e) {
    // Collectors return errors; what still throws (bad_alloc, a library) costs one run.
    outcome = tl::make_unexpected(Error{ErrorKind::kIo, 0, std::string("exception: ") + e.what()});
  }
  buffer.shrink();
  const std::int64_t cpu_ns = clock.thread_cpu_ns() - cpu_start_ns + context.helpers_cpu_ns;
  const std::int64_t end_ns = clock.boottime_ns();
  section->read_end_boottime_ns = end_ns;
  const Error error = outcome ? Error{} : outcome.error();
  const bool failed = !outcome;
  lock.lock();
  const bool was_failing = finish(slot, end_ns, cpu_ns, std::move(outcome), std::move(section));
  if (report && (failed || was_failing)) {
    lock.unlock();
    report(slot.info->name, failed ? &error : nullptr);
    lock.lock();
  }
}

// Files the result of a run. Returns whether the previous run had failed.
bool Scheduler::State::finish(Slot& slot, std::int64_t end_ns, std::int64_t cpu_ns,
                              Result<void>&& outcome, std::shared_ptr<Section> section) {
  CollectorStatus& status = slot.status;
  const bool was_failing = status.ran && !status.success;
  const bool was_stuck = status.stuck;
  status.ran = true;
  status.stuck = false;
  status.success = outcome.has_value();
  status.duration_ns = end_ns - slot.run_start_boottime_ns;
  status.last_run_boottime_ns = slot.run_start_boottime_ns;
  status.cpu_ns += cpu_ns;
  slot.cost = observe(slot.cost, slot.run_start_boottime_ns, cpu_ns);
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
  slot.worker_wake->notify_one();
  return true;
}

void Scheduler::State::worker_main(Slot& slot) {
  ::pthread_setname_np(::pthread_self(),
                       ("c:" + std::string(slot.info->name)).substr(0, 15).c_str());
  ReadBuffer buffer;
  std::unique_lock lock(mutex);
  while (!stopping) {
    if (!slot.requested) {
      slot.worker_wake->wait(lock);
      continue;
    }
    slot.requested = false;
    run(slot, slot.requested_refresh, buffer, lock);
    done.notify_all();
  }
  --threads;
  done.notify_all();
}

}  // namespace tidegauge
