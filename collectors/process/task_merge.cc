// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_merge.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

namespace tidegauge {

namespace {

// include/linux/sched.h. The letters' bits have kept their values since 4.14.
constexpr std::uint32_t kUninterruptible = 0x2;
constexpr std::uint32_t kReported = 0x7F;
constexpr std::uint32_t kNoLoad = 0x400;
constexpr std::uint32_t kLockWaitOrFrozen = 0x9000;  // shown as D; unused before 5.15

// A process that is in neither place ended during the pass. After so many passes its end was lost.
constexpr std::uint64_t kLingerPasses = 5;

constexpr std::size_t kMaxEndedLeaders = 4096;

void add(tg_task_counters& to, const tg_task_counters& from) {
  static_assert(sizeof(tg_task_counters) % sizeof(__u64) == 0);
  auto* target = reinterpret_cast<__u64*>(&to);
  const auto* source = reinterpret_cast<const __u64*>(&from);
  for (std::size_t i = 0; i < sizeof(tg_task_counters) / sizeof(__u64); ++i) {
    target[i] += source[i];
  }
}

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

// Run time is added up by the timer tick and when a task leaves its CPU, which an ended one does too late for
// us: of short lives next to nothing is in the exact sum. What the tick has sampled is true over many of
// them, and nobody has run for more than a tick since.
tg_task_counters with_last_slice(const tg_exit& ended) {
  constexpr std::uint64_t kLongestTickNs = 10'000'000;
  tg_task_counters sum = ended.sum;
  sum.exec_ns = std::clamp(sum.utime_ns + sum.stime_ns, sum.exec_ns,
                           sum.exec_ns + ended.tasks * kLongestTickNs);
  return sum;
}

void raise(TaskCounters& counters, TaskCounter field, std::uint64_t value) {
  counters.set(field, std::max(counters[field], value));
}

// The exact time, split as the sampled times say and so that neither part falls
// (kernel/sched/cputime.c, cputime_adjust).
void set_cpu_time(TaskCounters& counters, const tg_task_counters& sum) {
  const std::uint64_t exact = std::max<std::uint64_t>(
      sum.exec_ns, counters[TaskCounter::kUserNs] + counters[TaskCounter::kSystemNs]);
  const double sampled = static_cast<double>(sum.utime_ns) + static_cast<double>(sum.stime_ns);
  std::uint64_t system = 0;
  if (sampled > 0) {
    const double part = static_cast<double>(exact) * (static_cast<double>(sum.stime_ns) / sampled);
    system = part < static_cast<double>(exact) ? static_cast<std::uint64_t>(part) : exact;
  }
  system = std::max(system, counters[TaskCounter::kSystemNs]);
  std::uint64_t user = exact - std::min(system, exact);
  user = std::max(user, counters[TaskCounter::kUserNs]);
  counters.set(TaskCounter::kUserNs, user);
  counters.set(TaskCounter::kSystemNs, exact - user);
}

void publish(TaskCounters& counters, const tg_task_counters& sum, std::uint32_t features,
             bool delays) {
  set_cpu_time(counters, sum);
  raise(counters, TaskCounter::kMinorFaults, sum.min_flt);
  raise(counters, TaskCounter::kMajorFaults, sum.maj_flt);
  raise(counters, TaskCounter::kVoluntarySwitches, sum.nvcsw);
  raise(counters, TaskCounter::kInvoluntarySwitches, sum.nivcsw);
  if ((features & TG_FEATURE_STORAGE) != 0) {
    raise(counters, TaskCounter::kStorageReadBytes, sum.read_bytes);
    raise(counters, TaskCounter::kStorageWriteBytes, sum.write_bytes);
    raise(counters, TaskCounter::kStorageCancelledBytes, sum.cancelled_write_bytes);
  }
  if ((features & TG_FEATURE_SYSCALLS) != 0) {
    raise(counters, TaskCounter::kSyscallReadBytes, sum.rchar);
    raise(counters, TaskCounter::kSyscallWriteBytes, sum.wchar);
    raise(counters, TaskCounter::kReadSyscalls, sum.syscr);
    raise(counters, TaskCounter::kWriteSyscalls, sum.syscw);
  }
  if ((features & TG_FEATURE_RUN_DELAY) != 0) {
    raise(counters, TaskCounter::kRunDelayNs, sum.run_delay_ns);
  }
  if ((features & TG_FEATURE_SYNC) != 0) {
    raise(counters, TaskCounter::kSyncCalls, sum.sync_calls);
    raise(counters, TaskCounter::kSyncNs, sum.sync_ns);
  }
  if (delays && (features & TG_FEATURE_DELAYS) != 0) {
    raise(counters, TaskCounter::kBlockDelayNs, sum.blkio_delay_ns);
  }
}

}  // namespace

char task_state_letter(std::uint32_t state) {
  constexpr std::string_view kLetters = "RSDTtXZP";
  if ((state & (kUninterruptible | kNoLoad)) == (kUninterruptible | kNoLoad)) {
    return 'I';
  }
  if ((state & kLockWaitOrFrozen) != 0) {
    return 'D';
  }
  return kLetters[static_cast<std::size_t>(std::bit_width(state & kReported))];
}

void TaskMerge::begin() {
  ++pass_;
  std::swap(tasks_, last_tasks_);
  tasks_.clear();
  std::swap(owns_, last_owns_);
  owns_.clear();
  last_task_ = 0;
  expected_ = 0;
  replaced_.clear();
  ended_leaders_.clear();
  stuck_.clear();
  stuck_threads_ = 0;
  threads_ = 0;
  unlisted_zombies_ = 0;
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
      add_full(record, leads, has_base ? &base : nullptr);
    }
    records = records.subspan(bytes);
  }
  return {};
}

bool TaskMerge::add_same(const tg_same_record& record) {
  while (last_task_ < last_tasks_.size() && last_tasks_[last_task_].tid < record.tid) {
    ++last_task_;
  }
  if (last_task_ == last_tasks_.size() || last_tasks_[last_task_].tid != record.tid) {
    return false;
  }
  const Remembered& task = last_tasks_[last_task_];
  Process& process = find_or_add(task.process);
  if ((record.flags & TG_LEADER) != 0) {
    if (!process.known) {
      return false;
    }
    process.seen_pass = pass_;
  }
  const bool was_alone = process.live_pass + 1 == pass_ && process.live_tasks == 1;
  const tg_task_counters* own = task.own != kAlone ? &last_owns_[task.own] : nullptr;
  if (own == nullptr && !was_alone) {
    return false;
  }
  if (task_state_letter(record.state) == 'D') {
    add_stuck(task.process, task.tid, own != nullptr ? *own : process.live);
  }
  if ((task.flags & TG_ACCOUNTED) == 0) {
    if (was_alone) {
      process.live_pass = pass_;  // all there was
    } else {
      add_live(process, *own);
    }
  }
  keep(task.process, task.tid, task.flags, own);
  return true;
}

void TaskMerge::add_full(const tg_leader_record& record, bool leads, const tg_task_counters* base) {
  const tg_thread_record& thread = record.thread;
  // A zombie that nobody saw alive has been told among the ended ones.
  if ((thread.flags & TG_ACCOUNTED) != 0 && base == nullptr && !is_known(thread.process)) {
    unlisted_zombies_ += leads ? 1 : 0;
    ++threads_;
    if (leads && record.threads > 1 && ended_leaders_.size() < kMaxEndedLeaders) {
      ended_leaders_.push_back(record);
    }
    return;
  }
  Process& process = find_or_add(thread.process);
  if (leads) {
    add_leader(process, record, base);
  }
  process.delays |= thread.flags & TG_DELAYS;
  process.has_news = true;
  if ((thread.flags & TG_ACCOUNTED) == 0) {
    add_live(process, thread.own);
  }
  if (task_state_letter(thread.state) == 'D') {
    add_stuck(thread.process, thread.tid, thread.own);
  }
  const bool alone = leads && record.threads == 1 && (thread.flags & TG_ACCOUNTED) == 0;
  keep(thread.process, thread.tid, thread.flags, alone ? nullptr : &thread.own);
}

void TaskMerge::add_live(Process& process, const tg_task_counters& own) {
  if (std::exchange(process.live_pass, pass_) != pass_) {
    process.live = own;
    process.live_tasks = 1;
    return;
  }
  add(process.live, own);
  ++process.live_tasks;
}

void TaskMerge::keep(const tg_process_key& process, std::uint32_t tid, std::uint32_t flags,
                     const tg_task_counters* own) {
  ++threads_;
  std::uint32_t at = kAlone;
  if (own != nullptr) {
    at = static_cast<std::uint32_t>(owns_.size());
    owns_.push_back(*own);
  }
  tasks_.push_back({process, tid, flags, at});
}

bool TaskMerge::is_expected(const tg_process_key& key) const {
  return expected_ < processes_.size() && KeyEqual()(processes_[expected_].key, key);
}

bool TaskMerge::is_known(const tg_process_key& key) const {
  if (is_expected(key)) {
    return processes_[expected_].known;
  }
  const auto at = index_.find(key);
  return at != index_.end() && processes_[at->second].known;
}

// Passes meet processes in the same order, so that the next one is nearly always behind the last.
TaskMerge::Process& TaskMerge::find_or_add(const tg_process_key& key) {
  std::size_t place = expected_;
  if (!is_expected(key)) {
    const auto [at, inserted] =
        index_.try_emplace(key, static_cast<std::uint32_t>(processes_.size()));
    if (inserted) {
      Process& process = processes_.emplace_back();
      process.key = key;
      process.seen_pass = pass_ - 1;  // a leader that was just missed has as long as any other
    }
    place = at->second;
  }
  expected_ = place + 1;
  return processes_[place];
}

tg_task_counters TaskMerge::sum_of(const Process& process) const {
  tg_task_counters sum = process.settled;
  // Of one that is gone nobody lives, even if the mark of a task that hangs on its way out was forgotten.
  if (process.live_pass == pass_ && !process.gone) {
    add(sum, process.live);
  }
  return sum;
}

// The pid has come round to the same signal_struct within a pass. What threads have shown in this one
// is the successor's.
void TaskMerge::replace(Process& process) {
  Process successor;
  successor.key = process.key;
  successor.live = process.live;
  successor.live_tasks = process.live_tasks;
  successor.live_pass = std::exchange(process.live_pass, 0);
  replaced_.push_back(std::exchange(process, successor));
}

void TaskMerge::add_base(Process& process, const tg_leader_record& record,
                         const tg_task_counters& base) const {
  add(process.settled, base);
  process.base_pass = pass_;
  if ((record.thread.flags & TG_ACCOUNTED) != 0) {  // before anybody was there to account for it
    add(process.settled, record.thread.own);
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
  ProcessSample& sample = process.sample;
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
    add(old->settled, ended.sum);
    old->gone = true;
    return;
  }
  const auto at = key.tgid != 0 ? index_.find(key) : index_.end();
  if (at != index_.end()) {
    Process& process = processes_[at->second];
    process.has_news = true;
    if (process.known) {
      add(process.settled, process.base_pass == pass_ ? not_in_base(ended.sum) : ended.sum);
      if (ended.processes != 0) {
        process.gone = true;
        // As it was in the end: it may have called exec since it was seen.
        std::memcpy(process.sample.comm.bytes.data(), ended.comm, sizeof(ended.comm));
        process.sample.comm.bytes.back() = '\0';
        process.sample.uid = ended.uid;
        process.sample.cgroup_key = ended.cgroup_key;
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
    const Process& process = processes_[index_.find(stuck.process)->second];
    if (!process.known) {
      continue;
    }
    StuckThread& thread = out.stuck.emplace_back(stuck.thread);
    const ProcessSample& sample = process.sample;
    thread.process = sample.key;
    if (thread.tid == sample.key.pid) {
      thread.comm = sample.comm;
    }
  }
  out.stuck_threads = stuck_threads_;
}

// The last one takes its place.
void TaskMerge::erase(std::size_t at) {
  index_.erase(processes_[at].key);
  if (at + 1 != processes_.size()) {
    processes_[at] = processes_.back();
    index_[processes_[at].key] = static_cast<std::uint32_t>(at);
  }
  processes_.pop_back();
}

void TaskMerge::publish_end(Process& process, TaskPass& out) {
  if (!process.known) {
    return;
  }
  publish(process.sample.counters, sum_of(process), features_, process.delays != 0);
  process.sample.alive = false;
  process.sample.gauges = {};
  out.processes.push_back(process.sample);
  lost_exits_ += process.gone ? 0 : 1;
}

// A process whose main thread has left lives on in the others (pthread_exit).
void TaskMerge::adopt_leaderless() {
  for (const tg_leader_record& record : ended_leaders_) {
    const auto at = index_.find(record.thread.process);
    if (at == index_.end()) {
      continue;
    }
    Process& process = processes_[at->second];
    if (!process.known && process.live_pass == pass_) {
      add_leader(process, record, nullptr);
      --unlisted_zombies_;
    }
  }
}

void TaskMerge::publish_one(Process& process, TaskPass& out) {
  const bool has_delays = process.delays != 0 && (features_ & TG_FEATURE_DELAYS) != 0;
  without_delays_ += has_delays ? 0 : 1;
  if (out.idle_by_key && !process.has_news && has_delays == process.has_delays) {
    out.idle.push_back({.pid = process.pid, .start_ns = process.start_ns});
    return;
  }
  if (process.has_news || has_delays) {
    publish(process.sample.counters, sum_of(process), features_, has_delays);
  }
  if (!has_delays) {
    process.sample.counters.has &= ~(1U << static_cast<unsigned>(TaskCounter::kBlockDelayNs));
  }
  process.has_news = false;
  process.has_delays = has_delays;
  process.sample.alive = true;
  out.processes.push_back(process.sample);
}

void TaskMerge::finish(TaskPass& out) {
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
      publish_end(process, out);
      erase(i);
      continue;
    }
    if (seen) {
      publish_one(process, out);
    }
    ++i;
  }
  out.lost_exits = lost_exits_;
}

}  // namespace tidegauge
