// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_details.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "collectors/process/pid_schedstat.h"
#include "collectors/process/pid_status.h"
#include "collectors/process/task_files.h"
#include "collectors/process/thread_walk.h"

namespace tidegauge {

namespace {

using StatusBuffer = std::array<char, 16384>;

struct Published {
  TaskCounter counter;
  std::uint64_t scale;
};
constexpr Published kThreadSums[] = {
    {TaskCounter::kVoluntarySwitches, 1},
    {TaskCounter::kInvoluntarySwitches, 1},
    {TaskCounter::kRunDelayNs, 1},
    {TaskCounter::kBlockDelayNs, kNsPerTick},
};

void clear(TaskGauges& gauges, TaskGauge which) {
  gauges.values[static_cast<std::size_t>(which)] = 0;
  gauges.has &= ~(1U << static_cast<unsigned>(which));
}

void set_kib(TaskGauges& gauges, TaskGauge which, std::optional<std::uint64_t> kib) {
  if (kib) {
    gauges.set(which, *kib * 1024);
  } else {
    clear(gauges, which);
  }
}

void apply_memory(ProcessEntry& process, const PidStatus& status) {
  TaskGauges& gauges = process.sample.gauges;
  set_kib(gauges, TaskGauge::kAnonBytes, status.anon_kib);
  set_kib(gauges, TaskGauge::kFileBytes, status.file_kib);
  set_kib(gauges, TaskGauge::kShmemBytes, status.shmem_kib);
  set_kib(gauges, TaskGauge::kSwapBytes, status.swap_kib);
  process.no_memory_split = status.resident_kib && !status.anon_kib;
}

void withdraw_thread_sums(ProcessEntry& process, DetailState why) {
  process.detail = why;
  for (const Published& sum : kThreadSums) {
    if (sum.counter == TaskCounter::kBlockDelayNs && process.threads() <= 1) {
      continue;  // stat has told it
    }
    process.sample.counters.has &= ~(1U << static_cast<unsigned>(sum.counter));
  }
}

// The kernel's walk over threads can step over one that lives (proc_task_readdir counts its way back in
// after each portion), and it ends at our limit. Such sums fall, and rise by that thread's whole life
// once it is seen again: nothing is taken from them. When two walks running find as many, they are
// all there are.
bool is_whole(ProcessEntry& process, const ThreadWalk::Look& look) {
  const auto summed = static_cast<std::uint32_t>(look.summed);
  const bool whole =
      !look.cut && (summed >= process.threads() || summed == process.short_of_threads);
  process.short_of_threads = whole ? 0 : summed;
  return whole;
}

}  // namespace

void grow_thread_sum(ProcessEntry& process, ThreadSum which, std::uint64_t now) {
  const auto at = static_cast<std::size_t>(which);
  const Published& sum = kThreadSums[at];
  const std::uint64_t grown = growth(process.thread_sums[at], now) * sum.scale;
  process.thread_sums[at] = now;
  process.sample.counters.set(sum.counter, process.sample.counters[sum.counter] + grown);
}

void TaskDetails::read_status(ProcessEntry& process) const {
  StatusBuffer buffer;
  const TaskFile file = read_file_of(process.pid(), "status", buffer);
  if (file.state == TaskFileState::kGone) {
    return;  // the next pass sees it gone
  }
  const auto status = parse_pid_status(file.text);
  if (!status) {
    withdraw_thread_sums(process, DetailState::kUnreadable);
    return;
  }
  process.sample.uid = status->uid;
  apply_memory(process, *status);
  if (process.threads() > 1) {
    return;
  }
  if (!status->voluntary_switches || !status->involuntary_switches) {
    withdraw_thread_sums(process, DetailState::kUnreadable);
    return;
  }
  process.detail = DetailState::kRead;
  grow_thread_sum(process, ThreadSum::kVoluntarySwitches, *status->voluntary_switches);
  grow_thread_sum(process, ThreadSum::kInvoluntarySwitches, *status->involuntary_switches);
}

void TaskDetails::read_schedstat(ProcessEntry& process) const {
  std::array<char, 256> buffer;
  const TaskFile file = read_file_of(process.pid(), "schedstat", buffer);
  const auto schedstat = parse_pid_schedstat(file.text);
  // All 0 for what has run: the kernel has the file and no figures (no delay accounting).
  process.no_schedstat = !schedstat || (schedstat->run_ns == 0 && schedstat->slices == 0 &&
                                        process.sample.counters[TaskCounter::kUserNs] +
                                                process.sample.counters[TaskCounter::kSystemNs] !=
                                            0);
  if (!process.no_schedstat) {
    grow_thread_sum(process, ThreadSum::kRunDelayNs, schedstat->run_delay_ns);
  }
}

void TaskDetails::read_one(ProcessEntry& process) {
  read_status(process);
  if (process.threads() > 1) {
    return;  // still to be walked
  }
  process.dirty = false;
  process.detail_pass = pass_;
  process.short_of_threads = 0;
  read_schedstat(process);
}

std::size_t TaskDetails::read_threads(ProcessEntry& process, TaskPass& out) {
  process.dirty = false;
  process.detail_pass = pass_;
  read_status(process);
  if (process.threads() > limits_.threads) {
    withdraw_thread_sums(process, DetailState::kTooManyThreads);
    return 1;
  }
  const auto look = ThreadWalk(guard_, procfs_).run(process.sample, limits_.threads, true, out);
  if (!look) {
    return 1;
  }
  process.walked_pass = pass_;
  process.stuck_thread = look->stuck;
  if (look->broken || look->summed == 0) {  // a sum of nothing is not 0
    withdraw_thread_sums(process, DetailState::kUnreadable);
    return look->threads + 1;
  }
  if (!is_whole(process, *look)) {
    process.dirty = true;
    return look->threads + 1;
  }
  process.detail = DetailState::kRead;
  process.no_schedstat = look->no_schedstat;
  for (std::size_t i = 0; i < look->sums.size(); ++i) {
    if (static_cast<ThreadSum>(i) != ThreadSum::kRunDelayNs || !look->no_schedstat) {
      grow_thread_sum(process, static_cast<ThreadSum>(i), look->sums[i]);
    }
  }
  return look->threads + 1;
}

void TaskDetails::begin_refresh(const LiveProcesses& live) {
  due_.clear();
  for (const auto& process : live) {
    if (process->dirty && process->read) {
      due_.push_back(process.get());
    }
  }
  const auto wanted = std::min(due_.size(), limits_.details);
  const auto older = [](const ProcessEntry* a, const ProcessEntry* b) {
    return a->detail_pass != b->detail_pass ? a->detail_pass < b->detail_pass : a->pid() < b->pid();
  };
  std::partial_sort(due_.begin(), due_.begin() + static_cast<std::ptrdiff_t>(wanted), due_.end(),
                    older);
  due_.resize(wanted);
  next_ = 0;
  spent_ = 0;
}

void TaskDetails::refresh(TaskPass& out) {
  while (next_ < due_.size() && spent_ < limits_.details) {
    asked_ = due_[next_++];
    if (asked_->threads() > 1) {
      spent_ += read_threads(*asked_, out);
    } else {
      read_one(*asked_);
      ++spent_;
    }
  }
}

std::size_t TaskDetails::scan(ProcessEntry& process, TaskPass& out) {
  process.walked_pass = pass_;
  const auto look =
      ThreadWalk(guard_, procfs_).run(process.sample, limits_.scanned_of_one, false, out);
  process.stuck_thread = look && look->stuck;
  return look ? look->threads + 1 : 1;
}

void TaskDetails::begin_stuck() {
  due_.clear();
  next_ = 0;
  spent_ = 0;
  in_turn_ = false;
}

void TaskDetails::find_stuck(const LiveProcesses& live, TaskPass& out) {
  while (next_ < live.size()) {
    asked_ = live[next_++].get();
    ProcessEntry& process = *asked_;
    if (!process.read) {
      continue;
    }
    const bool leader_stuck = process.sample.state == 'D';
    if (leader_stuck) {
      ThreadWalk(guard_, procfs_)
          .add_stuck(procfs_, process.sample.key, process.pid(), process.sample.comm, out);
    }
    if (process.threads() <= 1 || process.walked_pass == pass_) {
      continue;
    }
    if ((leader_stuck || process.stuck_thread) && spent_ < limits_.scanned) {
      spent_ += scan(process, out);
    } else {
      due_.push_back(&process);
    }
  }
  scan_turn(out);
}

// The rest in turn, behind whom the last pass ended with.
void TaskDetails::scan_turn(TaskPass& out) {
  if (!std::exchange(in_turn_, true)) {
    turn_ = 0;
    first_ = static_cast<std::size_t>(
        std::upper_bound(
            due_.begin(), due_.end(), scanned_pid_,
            [](std::uint32_t pid, const ProcessEntry* process) { return pid < process->pid(); }) -
        due_.begin());
  }
  while (turn_ < due_.size() && spent_ < limits_.scanned) {
    asked_ = due_[(first_ + turn_++) % due_.size()];
    scanned_pid_ = asked_->pid();
    spent_ += scan(*asked_, out);
  }
}

}  // namespace tidegauge
