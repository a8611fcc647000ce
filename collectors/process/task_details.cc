// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_details.h"

#include <algorithm>
#include <array>
#include <optional>

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
  const TaskFile file = read_task_file(procfs_, process.pid(), "status", buffer);
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
  const TaskFile file = read_task_file(procfs_, process.pid(), "schedstat", buffer);
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
  const auto look = ThreadWalk(procfs_).run(process.sample, limits_.threads, true, out);
  if (!look) {
    return 1;
  }
  process.walked_pass = pass_;
  process.stuck_thread = look->stuck;
  if (look->broken || look->summed == 0) {  // a sum of nothing is not 0
    withdraw_thread_sums(process, DetailState::kUnreadable);
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

void TaskDetails::refresh(const LiveProcesses& live, TaskPass& out) {
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
  std::size_t spent = 0;
  for (std::size_t i = 0; i < wanted && spent < limits_.details; ++i) {
    if (due_[i]->threads() > 1) {
      spent += read_threads(*due_[i], out);
    } else {
      read_one(*due_[i]);
      ++spent;
    }
  }
}

std::size_t TaskDetails::scan(ProcessEntry& process, TaskPass& out) {
  process.walked_pass = pass_;
  const auto look = ThreadWalk(procfs_).run(process.sample, limits_.scanned_of_one, false, out);
  process.stuck_thread = look && look->stuck;
  return look ? look->threads + 1 : 1;
}

void TaskDetails::find_stuck(const LiveProcesses& live, TaskPass& out) {
  std::size_t spent = 0;
  std::vector<ProcessEntry*>& several = due_;
  several.clear();
  for (const auto& process : live) {
    if (!process->read) {
      continue;
    }
    const bool leader_stuck = process->sample.state == 'D';
    if (leader_stuck) {
      ThreadWalk::add_stuck(procfs_, process->sample.key, process->pid(), process->sample.comm,
                            out);
    }
    if (process->threads() <= 1 || process->walked_pass == pass_) {
      continue;
    }
    if ((leader_stuck || process->stuck_thread) && spent < limits_.scanned) {
      spent += scan(*process, out);
    } else {
      several.push_back(process.get());
    }
  }
  auto next = std::upper_bound(
      several.begin(), several.end(), scanned_pid_,
      [](std::uint32_t pid, const ProcessEntry* process) { return pid < process->pid(); });
  for (std::size_t i = 0; i < several.size() && spent < limits_.scanned; ++i, ++next) {
    if (next == several.end()) {
      next = several.begin();
    }
    scanned_pid_ = (*next)->pid();
    spent += scan(**next, out);
  }
}

}  // namespace tidegauge
