// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_merge.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "collectors/core/spare_memory.h"
#include "collectors/process/task_counters.h"

namespace tidegauge {

namespace {

// A process that is in neither place ended during the pass. After so many passes its end was lost.
constexpr std::uint64_t kLingerPasses = 5;

constexpr std::size_t kMaxEndedLeaders = 4096;

// What ended before the base was read is in it, or is a zombie that was told with it; but for what
// signal_struct does not sum up.
tg_task_counters not_in_base(const tg_task_counters& ended) {
  tg_task_counters rest{};
  rest.blkio_delay_ns = ended.blkio_delay_ns;
  rest.run_delay_ns = ended.run_delay_ns;
  rest.sync_calls = ended.sync_calls;
  rest.sync_ns = ended.sync_ns;
  return rest;
}

}  // namespace

void TaskMerge::begin() {
  if (!finished_) {
    forget_tasks();
  }
  finished_ = false;
  ++pass_;
  std::swap(tasks_, last_tasks_);
  clear_for_as_many(tasks_);
  last_task_ = 0;
  expected_ = 0;
  replaced_.clear();
  ended_leaders_.clear();
  stuck_.clear();
  stuck_threads_ = 0;
  threads_ = 0;
  unlisted_zombies_ = 0;
}

// The last pass broke off: the next one tells all in full.
void TaskMerge::forget_tasks() {
  for (Process& process : processes_) {
    process.details->lives = {};
    process.lone = false;
    if (process.details->base_pass == pass_) {
      ++process.details->base_pass;  // is asked for once
    }
  }
  tasks_.clear();
  owns_.clear();
  free_owns_.clear();
}

Result<void> TaskMerge::add_records(std::span<const char> records) {
  static_assert(offsetof(tg_thread_record, process) == sizeof(tg_same_record));
  while (!records.empty()) {
    tg_leader_record record{};
    if (records.size() < sizeof(tg_same_record)) {
      return malformed("iter/task", 0, "whole records");
    }
    std::memcpy(&record.thread, records.data(), sizeof(tg_same_record));
    const std::uint32_t flags = record.thread.flags;
    const bool leads = (flags & TG_LEADER) != 0;
    const bool has_base = (flags & TG_HAS_BASE) != 0;
    const std::size_t bytes = (flags & TG_SAME) != 0
                                  ? sizeof(tg_same_record)
                                  : (leads ? sizeof(tg_leader_record) : sizeof(tg_thread_record)) +
                                        (has_base ? sizeof(tg_task_counters) : 0);
    if (record.thread.bytes != bytes || records.size() < bytes) {
      return malformed("iter/task", 0, "records of known sizes");
    }
    if ((flags & TG_SAME) != 0) {
      tg_same_record same{};
      std::memcpy(&same, records.data(), sizeof(same));
      if (!add_same(same)) {
        return malformed("iter/task", 0, "a task that was seen before");
      }
    } else {
      std::memcpy(&record, records.data(), leads ? sizeof(record) : sizeof(record.thread));
      tg_task_counters base{};
      if (has_base) {
        std::memcpy(&base, records.data() + bytes - sizeof(base), sizeof(base));
      }
      if (!add_full(record, leads, has_base ? &base : nullptr)) {
        return malformed("iter/task", 0, "rising task numbers");
      }
    }
    records = records.subspan(bytes);
  }
  return {};
}

// What the last pass said of this task. Those with lower numbers, which this pass does not show, have left.
std::optional<TaskMerge::Remembered> TaskMerge::take(std::uint32_t tid) {
  while (last_task_ < last_tasks_.size() && last_tasks_[last_task_].tid < tid) {
    drop(last_tasks_[last_task_++]);
  }
  if (last_task_ == last_tasks_.size() || last_tasks_[last_task_].tid != tid) {
    return std::nullopt;
  }
  return last_tasks_[last_task_++];
}

bool TaskMerge::add_same(const tg_same_record& record) {
  std::optional<Remembered> task = take(record.tid);
  if (!task || (task->flags & TG_ACCOUNTED) != 0) {
    return false;
  }
  if ((record.flags & TG_LEADER) != 0) {
    Process& process = find_or_add(task->process);
    if (!process.known) {
      return false;
    }
    process.seen_pass = pass_;
    settle_own(process, *task);
  }
  if (task_state_letter(record.state) == 'D') {
    const Process& process = find_or_add(task->process);
    add_stuck(task->process, task->tid,
              task->own != kLone ? owns_[task->own] : process.details->lives.sum);
  }
  ++threads_;
  tasks_.push_back(*task);
  return true;
}

bool TaskMerge::add_full(const tg_leader_record& record, bool leads, const tg_task_counters* base) {
  const tg_thread_record& thread = record.thread;
  if (!tasks_.empty() && tasks_.back().tid >= thread.tid) {
    // One that called exec has taken its leader's number: met twice, or early, ahead of others.
    return std::ranges::binary_search(tasks_, thread.tid, {}, &Remembered::tid);
  }
  std::optional<Remembered> old = take(thread.tid);
  if (old && !KeyEqual()(old->process, thread.process)) {
    drop(*std::exchange(old, std::nullopt));
  }
  // A zombie that nobody saw alive has been told among the ended ones.
  const bool accounted = (thread.flags & TG_ACCOUNTED) != 0;
  if (accounted && base == nullptr && !is_known(thread.process)) {
    if (old) {
      drop(*old);
    }
    unlisted_zombies_ += leads ? 1 : 0;
    ++threads_;
    if (leads && record.threads > 1 && ended_leaders_.size() < kMaxEndedLeaders) {
      ended_leaders_.push_back(record);
    }
    return true;
  }
  Process& process = find_or_add(thread.process);
  if (leads) {
    add_leader(process, record, base);
  }
  process.delays = process.delays || (thread.flags & TG_DELAYS) != 0;
  process.has_news = true;
  if (task_state_letter(thread.state) == 'D') {
    add_stuck(thread.process, thread.tid, thread.own);
  }
  Remembered task{
      .process = thread.process, .tid = thread.tid, .flags = thread.flags, .own = kLone};
  if (old && (old->flags & TG_ACCOUNTED) == 0) {
    settle_own(process, *old);
    task.own = old->own;
    if (accounted) {
      remove_live(process, task.own);
      task.own = kLone;
    } else {
      change_live(process, task.own, thread.own);
    }
  } else if (!accounted) {
    task.own = add_live(process, thread.own, leads);
  }
  ++threads_;
  tasks_.push_back(task);
  return true;
}

// A process's only task, if that is its leader, has no counters beside those of its process. They are set
// apart when another joins it; here it learns their place.
void TaskMerge::settle_own(Process& process, Remembered& task) {
  if (task.own == kLone && !process.lone) {
    task.own = std::exchange(process.details->lives.apart, kLone);
  }
}

std::uint32_t TaskMerge::new_own(const tg_task_counters& own) {
  if (free_owns_.empty()) {
    owns_.push_back(own);
    return static_cast<std::uint32_t>(owns_.size() - 1);
  }
  const std::uint32_t place = free_owns_.back();
  free_owns_.pop_back();
  owns_[place] = own;
  return place;
}

std::uint32_t TaskMerge::add_live(Process& process, const tg_task_counters& own, bool leads) {
  Lives& lives = process.details->lives;
  if (lives.tasks++ == 0 && leads) {
    lives.sum = own;
    process.lone = true;
    return kLone;
  }
  if (process.lone) {
    process.lone = false;
    lives.apart = new_own(lives.sum);
  }
  add(lives.sum, own);
  return new_own(own);
}

void TaskMerge::change_live(Process& process, std::uint32_t place, const tg_task_counters& own) {
  if (place == kLone) {
    process.details->lives.sum = own;
    return;
  }
  subtract(process.details->lives.sum, owns_[place]);
  add(process.details->lives.sum, own);
  owns_[place] = own;
}

void TaskMerge::remove_live(Process& process, std::uint32_t place) {
  if (place == kLone) {
    process.details->lives = {};
    process.lone = false;
    return;
  }
  --process.details->lives.tasks;
  subtract(process.details->lives.sum, owns_[place]);
  free_owns_.push_back(place);
}

void TaskMerge::drop(Remembered task) {
  if ((task.flags & TG_ACCOUNTED) != 0) {
    return;
  }
  Process& process = processes_[place_of(task.process)];
  settle_own(process, task);
  remove_live(process, task.own);
}

bool TaskMerge::is_expected(const tg_process_key& key) const {
  return expected_ < processes_.size() && KeyEqual()(processes_[expected_].key, key);
}

bool TaskMerge::is_known(const tg_process_key& key) const {
  if (is_expected(key)) {
    return processes_[expected_].known;
  }
  const std::uint32_t place = place_of(key);
  return place != PlaceIndex::kNone && processes_[place].known;
}

std::uint32_t TaskMerge::place_of(const tg_process_key& key) const {
  return index_.find(KeyHash()(key),
                     [&](std::uint32_t place) { return KeyEqual()(processes_[place].key, key); });
}

// Passes meet processes in the same order, so that the next one is nearly always behind the last.
TaskMerge::Process& TaskMerge::find_or_add(const tg_process_key& key) {
  std::size_t place = expected_;
  if (!is_expected(key)) {
    place = place_of(key);
    if (place == PlaceIndex::kNone) {
      place = processes_.size();
      index_.insert(KeyHash()(key), static_cast<std::uint32_t>(place));
      Process& process = processes_.emplace_back();
      process.key = key;
      process.seen_pass = pass_ - 1;  // a leader that was just missed has as long as any other
    }
  }
  expected_ = place + 1;
  return processes_[place];
}

tg_task_counters TaskMerge::sum_of(const Process& process) const {
  tg_task_counters sum =
      process.details->settled != nullptr ? *process.details->settled : tg_task_counters{};
  // Of one that is gone nobody lives, even if the mark of a task that hangs on its way out was forgotten.
  if (!process.gone) {
    add(sum, process.details->lives.sum);
  }
  return sum;
}

// Its threads, if any are still shown, belong to nobody or to a successor.
TaskMerge::Process TaskMerge::detach(Process& process) {
  Process successor;
  successor.key = process.key;
  successor.seen_pass = process.seen_pass;
  successor.details->lives = std::exchange(process.details->lives, {});
  successor.lone = std::exchange(process.lone, false);
  return std::exchange(process, std::move(successor));
}

void TaskMerge::settle(Process& process, const tg_task_counters& ended) {
  constexpr tg_task_counters kNothing{};
  if (process.details->settled != nullptr) {
    add(*process.details->settled, ended);
  } else if (std::memcmp(&ended, &kNothing, sizeof(ended)) != 0) {
    process.details->settled = std::make_unique<tg_task_counters>(ended);
  }
}

// The pid has come round to the same signal_struct within a pass.
void TaskMerge::replace(Process& process) { replaced_.push_back(detach(process)); }

void TaskMerge::add_base(Process& process, const tg_leader_record& record,
                         const tg_task_counters& base) const {
  settle(process, base);
  process.details->base_pass = pass_;
  if ((record.thread.flags & TG_ACCOUNTED) != 0) {  // before anybody was there to account for it
    settle(process, record.thread.own);
    process.gone = record.threads <= 1;
  }
}

void TaskMerge::add_leader(Process& process, const tg_leader_record& record,
                           const tg_task_counters* base) {
  if (process.known && process.start_ns != record.start_ns) {
    replace(process);
  }
  if (base != nullptr && !process.known) {
    add_base(process, record, *base);
  }
  ProcessSample& sample = process.details->sample;
  process.seen_pass = pass_;
  process.known = true;
  sample.key = {.pid = record.thread.tid, .start_ns = record.start_ns};
  process.pid = record.thread.tid;
  process.start_ns = record.start_ns;
  sample.parent_pid = record.parent;
  sample.uid = record.uid;
  sample.cgroup_key = record.cgroup_key;
  std::memcpy(sample.comm.bytes.data(), record.comm, sizeof(record.comm));
  sample.comm.bytes.back() = '\0';
  sample.state = task_state_letter(record.thread.state);
  sample.kernel_thread = (record.thread.flags & TG_KERNEL_THREAD) != 0;
  sample.gauges = {};
  sample.gauges.set(TaskGauge::kThreads, record.threads);
  if ((record.thread.flags & TG_HAS_MM) != 0) {
    static const auto kPage = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    sample.gauges.set(TaskGauge::kAnonBytes, record.anon_pages * kPage);
    sample.gauges.set(TaskGauge::kFileBytes, record.file_pages * kPage);
    sample.gauges.set(TaskGauge::kShmemBytes, record.shmem_pages * kPage);
    sample.gauges.set(TaskGauge::kSwapBytes, record.swap_pages * kPage);
  }
}

void TaskMerge::add_stuck(const tg_process_key& process, std::uint32_t tid,
                          const tg_task_counters& own) {
  ++stuck_threads_;
  if (stuck_.size() >= kMaxStuckThreads) {
    return;
  }
  Stuck& stuck = stuck_.emplace_back();
  stuck.process = process;
  stuck.thread.tid = tid;
  stuck.thread.switches = own.nvcsw + own.nivcsw;
}

void TaskMerge::add_exit(const tg_process_key& key, const tg_exit& told, TaskPass& out) {
  tg_exit ended = told;
  ended.sum = with_last_slice(told);
  const auto old = std::find_if(replaced_.begin(), replaced_.end(), [&](const Process& process) {
    return KeyEqual()(process.key, key) && !process.gone && ended.processes != 0;
  });
  if (old != replaced_.end()) {
    settle(*old, ended.sum);
    old->gone = true;
    return;
  }
  const std::uint32_t place = key.tgid != 0 ? place_of(key) : PlaceIndex::kNone;
  if (place != PlaceIndex::kNone) {
    Process& process = processes_[place];
    process.has_news = true;
    if (process.known) {
      settle(process, process.details->base_pass == pass_ ? not_in_base(ended.sum) : ended.sum);
      if (ended.processes != 0) {
        process.gone = true;
        // As it was in the end: it may have called exec since it was seen.
        std::memcpy(process.details->sample.comm.bytes.data(), ended.comm, sizeof(ended.comm));
        process.details->sample.comm.bytes.back() = '\0';
        process.details->sample.uid = ended.uid;
        process.details->sample.cgroup_key = ended.cgroup_key;
      }
      return;
    }
    // Its leader was never seen: nobody else will speak for it.
  }
  ExitedSample& exited = out.exited.emplace_back();
  std::memcpy(exited.comm.bytes.data(), ended.comm, sizeof(ended.comm));
  exited.comm.bytes.back() = '\0';
  exited.uid = ended.uid;
  exited.cgroup_key = ended.cgroup_key;
  exited.processes = ended.processes;
  exited.kernel_thread = (ended.flags & TG_KERNEL_THREAD) != 0;
  publish(exited.counters, ended.sum, features_, ended.delays != 0);
}

void TaskMerge::publish_stuck(TaskPass& out) const {
  for (const Stuck& stuck : stuck_) {
    const Process& process = processes_[place_of(stuck.process)];
    if (!process.known) {
      continue;
    }
    StuckThread& thread = out.stuck.emplace_back(stuck.thread);
    const ProcessSample& sample = process.details->sample;
    thread.process = sample.key;
    if (thread.tid == sample.key.pid) {
      thread.comm = sample.comm;
    }
  }
  out.stuck_threads = stuck_threads_;
}

// The last one takes its place.
void TaskMerge::erase(std::size_t at) {
  const std::size_t last = processes_.size() - 1;
  index_.erase(KeyHash()(processes_[at].key), static_cast<std::uint32_t>(at));
  if (at != last) {
    index_.move(KeyHash()(processes_[last].key), static_cast<std::uint32_t>(last),
                static_cast<std::uint32_t>(at));
    processes_[at] = std::move(processes_[last]);
  }
  processes_.pop_back();
}

void TaskMerge::publish_end(Process& process, TaskPass& out) {
  if (!process.known) {
    return;
  }
  publish(process.details->sample.counters, sum_of(process), features_, process.delays);
  process.details->sample.alive = false;
  process.details->sample.gauges = {};
  out.processes.push_back(process.details->sample);
  lost_exits_ += process.gone ? 0 : 1;
}

// A process whose main thread has left lives on in the others (pthread_exit).
void TaskMerge::adopt_leaderless() {
  for (const tg_leader_record& record : ended_leaders_) {
    const std::uint32_t place = place_of(record.thread.process);
    if (place == PlaceIndex::kNone) {
      continue;
    }
    Process& process = processes_[place];
    if (!process.known && process.details->lives.tasks != 0) {
      add_leader(process, record, nullptr);
      --unlisted_zombies_;
    }
  }
}

void TaskMerge::publish_one(Process& process, TaskPass& out) {
  const bool has_delays = process.delays && (features_ & TG_FEATURE_DELAYS) != 0;
  without_delays_ += has_delays ? 0 : 1;
  if (out.idle_by_key && !process.has_news && has_delays == process.has_delays) {
    out.idle.push_back({.pid = process.pid, .start_ns = process.start_ns});
    return;
  }
  if (process.has_news || has_delays) {
    publish(process.details->sample.counters, sum_of(process), features_, has_delays);
  }
  if (!has_delays) {
    process.details->sample.counters.has &=
        ~(1U << static_cast<unsigned>(TaskCounter::kBlockDelayNs));
  }
  process.has_news = false;
  process.has_delays = has_delays;
  process.details->sample.alive = true;
  out.processes.push_back(process.details->sample);
}

// After a crowd of threads has left.
void TaskMerge::trim_owns() {
  constexpr std::size_t kWorthIt = 1024;
  if (owns_.size() < kWorthIt || free_owns_.size() * 4 < owns_.size() * 3) {
    return;
  }
  std::vector<tg_task_counters> kept;
  kept.reserve(owns_.size() - free_owns_.size());
  const auto move = [&](std::uint32_t& place) {
    if (place != kLone) {
      kept.push_back(owns_[place]);
      place = static_cast<std::uint32_t>(kept.size() - 1);
    }
  };
  for (Remembered& task : tasks_) {
    move(task.own);
  }
  for (Process& process : processes_) {
    move(process.details->lives.apart);
  }
  owns_ = std::move(kept);
  free_owns_ = std::vector<std::uint32_t>();  // {} would keep the memory
}

void TaskMerge::finish(TaskPass& out) {
  while (last_task_ < last_tasks_.size()) {
    drop(last_tasks_[last_task_++]);
  }
  without_delays_ = 0;
  adopt_leaderless();
  publish_stuck(out);
  out.threads = threads_;
  out.unlisted_zombies = unlisted_zombies_;
  for (Process& process : replaced_) {
    publish_end(process, out);
  }
  for (std::size_t i = 0; i < processes_.size();) {
    Process& process = processes_[i];
    const bool seen = process.seen_pass == pass_;
    if (!seen && (process.gone || process.seen_pass + kLingerPasses <= pass_)) {
      if (process.details->lives.tasks == 0) {
        publish_end(process, out);
        erase(i);
        continue;
      }
      Process ended = detach(process);
      publish_end(ended, out);
    }
    if (seen) {
      publish_one(process, out);
    }
    ++i;
  }
  trim_owns();
  if (give_back_spare(processes_)) {
    index_.trim();
  }
  finished_ = true;
  out.lost_exits = lost_exits_;
}

}  // namespace tidegauge
