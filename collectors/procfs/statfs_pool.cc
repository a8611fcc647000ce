// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/statfs_pool.h"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <unordered_set>

namespace tidegauge {

namespace {

// A local file system answers in microseconds. After this long another thread goes on with the
// rest, while the slow call keeps its time-out.
constexpr std::chrono::nanoseconds kPatience = std::chrono::milliseconds(40);
constexpr std::size_t kStackBytes = 256U * 1024;

}  // namespace

// What outlives the pool as long as a thread is stuck.
struct StatfsPool::Shared {
  explicit Shared(StatfsFunction function_in) : function(std::move(function_in)) {}

  const StatfsFunction function;
  std::mutex mutex;
  int threads = 0;                          // guarded by mutex
  std::unordered_set<std::uint64_t> stuck;  // guarded by mutex

  static int limit(const StatfsJob& job) { return job.local ? kMaxThreads : kMaxStuckThreads; }
};

struct StatfsPool::Task {
  enum class State : std::uint8_t { kPending, kRunning, kFinished };
  StatfsJob job;
  State state = State::kPending;
  std::int64_t slices = 0;  // waited for while running
};

// One run's work; guarded by Shared::mutex. A deque, because threads keep pointers to its tasks.
struct StatfsPool::Batch {
  std::condition_variable changed;
  std::deque<Task> tasks;
  std::size_t next = 0;  // the first pending task
  std::size_t unfinished = 0;
  int working = 0;  // threads that still serve this batch

  void finish(Task& task, StatfsJob::Outcome outcome) {
    task.state = Task::State::kFinished;
    task.job.outcome = outcome;
    --unfinished;
  }
};

namespace {

struct Start {
  std::shared_ptr<void> shared;
  std::shared_ptr<void> batch;
};

}  // namespace

StatfsPool::StatfsPool(std::chrono::nanoseconds timeout, StatfsFunction function)
    : timeout_(timeout), shared_(std::make_shared<Shared>(std::move(function))) {}

std::size_t StatfsPool::stuck() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->stuck.size();
}

void* StatfsPool::work(void* argument) {
  const std::unique_ptr<Start> start(static_cast<Start*>(argument));
  const auto shared = std::static_pointer_cast<Shared>(start->shared);
  const auto batch = std::static_pointer_cast<Batch>(start->batch);
  std::unique_lock lock(shared->mutex);
  while (batch->next < batch->tasks.size() &&
         shared->threads <= Shared::limit(batch->tasks[batch->next].job)) {
    Task& task = batch->tasks[batch->next++];
    task.state = Task::State::kRunning;
    lock.unlock();
    struct statfs result {};
    const int error = shared->function(task.job.path.c_str(), &result) == 0 ? 0 : errno;
    lock.lock();
    if (task.state == Task::State::kFinished) {  // given up on; another thread went on
      shared->stuck.erase(task.job.id);
      --shared->threads;
      return nullptr;
    }
    task.job.error = error;
    task.job.result = result;
    batch->finish(task, StatfsJob::Outcome::kAnswered);
  }
  --shared->threads;
  --batch->working;
  batch->changed.notify_all();
  return nullptr;
}

// Requires Shared::mutex. False when the system has no thread to give.
bool StatfsPool::start_worker(const std::shared_ptr<Shared>& shared,
                              const std::shared_ptr<Batch>& batch) {
  pthread_attr_t attributes;
  if (::pthread_attr_init(&attributes) != 0) {
    return false;
  }
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  ::pthread_attr_setstacksize(&attributes, kStackBytes);
  // Signals are for threads that can act on them.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  auto start = std::make_unique<Start>(Start{shared, batch});
  pthread_t thread{};
  const bool started = ::pthread_create(&thread, &attributes, work, start.get()) == 0;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  if (started) {
    static_cast<void>(start.release());
    ++shared->threads;
    ++batch->working;
  }
  return started;
}

void StatfsPool::run(std::vector<StatfsJob>& jobs) {
  const auto batch = std::make_shared<Batch>();
  std::vector<std::size_t> order;  // of jobs, local ones first
  for (const bool local : {true, false}) {
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (jobs[i].local == local) {
        order.push_back(i);
      }
    }
  }
  {
    const std::lock_guard lock(shared_->mutex);
    for (std::size_t i : order) {
      StatfsJob& job = jobs[i];
      job.outcome = StatfsJob::Outcome::kStuck;
      if (!shared_->stuck.contains(job.id)) {
        batch->tasks.push_back(Task{job, Task::State::kPending, 0});
      }
    }
    batch->unfinished = batch->tasks.size();
  }
  wait(batch);
  const std::lock_guard lock(shared_->mutex);
  auto task = batch->tasks.begin();
  for (std::size_t i : order) {
    if (task != batch->tasks.end() && task->job.id == jobs[i].id &&
        task->job.path == jobs[i].path) {
      jobs[i].outcome = task->job.outcome;
      jobs[i].error = task->job.error;
      jobs[i].result = task->job.result;
      ++task;
    }
  }
}

// Requires Shared::mutex; called after each slice of waiting.
void StatfsPool::give_up_late(Batch& batch, std::chrono::nanoseconds slice) {
  for (Task& task : batch.tasks) {
    if (task.state == Task::State::kRunning && ++task.slices * slice > timeout_) {
      batch.finish(task, StatfsJob::Outcome::kStuck);
      shared_->stuck.insert(task.job.id);
      --batch.working;
    }
  }
}

// Requires Shared::mutex; called when the time of the whole run is over.
void StatfsPool::give_up_running(Batch& batch) {
  for (Task& task : batch.tasks) {
    if (task.state == Task::State::kRunning) {
      batch.finish(task, StatfsJob::Outcome::kStuck);
      shared_->stuck.insert(task.job.id);
      --batch.working;
    }
  }
}

void StatfsPool::wait(const std::shared_ptr<Batch>& batch) {
  const auto slice = std::max<std::chrono::nanoseconds>(std::min(kPatience, timeout_),
                                                        std::chrono::milliseconds(1));
  const auto pending = [&] { return batch->next < batch->tasks.size(); };
  const auto start = [&] {
    return shared_->threads < Shared::limit(batch->tasks[batch->next].job) &&
           start_worker(shared_, batch);
  };
  std::unique_lock lock(shared_->mutex);
  bool stalled = false;
  // Each hanging mount costs up to two slices before the next one has its thread.
  const std::int64_t most_slices = timeout_ / slice + 2 * kMaxThreads;
  std::int64_t slices = 0;
  while (batch->unfinished != 0 && slices <= most_slices) {
    if (pending() && (stalled || batch->working == 0) && !start() && batch->working == 0) {
      break;
    }
    // Whole slices of waiting are the clock.
    const std::size_t next_before = batch->next;
    const bool done = batch->changed.wait_for(
        lock, slice, [&] { return batch->unfinished == 0 || (batch->working == 0 && pending()); });
    stalled = !done && next_before == batch->next;
    if (!done) {
      ++slices;
      give_up_late(*batch, slice);
    }
  }
  give_up_running(*batch);
  // What is left has no thread to run on.
  batch->next = batch->tasks.size();
  for (Task& task : batch->tasks) {
    if (task.state != Task::State::kFinished) {
      batch->finish(task, StatfsJob::Outcome::kExhausted);
    }
  }
}

}  // namespace tidegauge
