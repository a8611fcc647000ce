// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/thread_walk.h"

#include <fcntl.h>

#include <array>
#include <string>

#include "collectors/process/pid_schedstat.h"
#include "collectors/process/pid_status.h"
#include "collectors/process/task_files.h"
#include "collectors/procfs/pid_stat.h"
#include "collectors/procfs/task_directory.h"

namespace tidegauge {

namespace {

using StatusBuffer = std::array<char, 16384>;  // all groups of a user stand in it

std::uint64_t& sum(ThreadSums& sums, ThreadSum which) {
  return sums[static_cast<std::size_t>(which)];
}

}  // namespace

// False when the thread left meanwhile, or what it shows is broken.
bool ThreadWalk::add_thread(int directory, std::uint32_t pid, std::uint32_t tid, Look& look) const {
  StatusBuffer buffer;
  const TaskFile file = read_task_file(guard_, pid, directory, tid, "status", buffer);
  if (file.state != TaskFileState::kText) {
    return file.state == TaskFileState::kGone;
  }
  const auto status = parse_pid_status(file.text);
  if (!status || !status->voluntary_switches || !status->involuntary_switches) {
    return false;
  }
  ++look.summed;
  sum(look.sums, ThreadSum::kVoluntarySwitches) += *status->voluntary_switches;
  sum(look.sums, ThreadSum::kInvoluntarySwitches) += *status->involuntary_switches;
  const TaskFile sched = read_task_file(guard_, pid, directory, tid, "schedstat", buffer);
  if (sched.state != TaskFileState::kText) {
    look.no_schedstat = true;
    return true;
  }
  const auto schedstat = parse_pid_schedstat(sched.text);
  if (!schedstat) {
    return false;
  }
  sum(look.sums, ThreadSum::kRunDelayNs) += schedstat->run_delay_ns;
  return true;
}

void ThreadWalk::add_stuck(int directory, const ProcessKey& process, std::uint32_t tid,
                           const TaskName& comm, TaskPass& out) const {
  ++out.stuck_threads;
  if (out.stuck.size() >= kMaxStuckThreads) {
    return;
  }
  StatusBuffer buffer;
  const TaskFile file = read_task_file(guard_, process.pid, directory, tid, "status", buffer);
  if (file.state != TaskFileState::kText) {
    return;
  }
  const auto status = parse_pid_status(file.text);
  if (!status || !status->voluntary_switches || !status->involuntary_switches) {
    return;
  }
  out.stuck.push_back(
      {process, tid, comm, *status->voluntary_switches + *status->involuntary_switches});
}

std::optional<ThreadWalk::Look> ThreadWalk::run(const ProcessSample& process,
                                                std::size_t max_threads, bool sums,
                                                TaskPass& out) const {
  const std::uint32_t pid = process.key.pid;
  const std::string path = std::to_string(pid) + "/task";
  const Descriptor tasks(
      ::openat(procfs_, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  if (!tasks.valid()) {
    return std::nullopt;
  }
  Look look;
  const auto walked = for_each_task(tasks.get(), path, [&](std::string_view name) -> Result<void> {
    if (look.threads == max_threads) {
      look.cut = true;
      return tl::make_unexpected(Error{ErrorKind::kTooLarge, 0, {}});
    }
    const std::uint32_t tid = parse_pid(name);
    std::array<char, 2048> buffer;
    const TaskFile file = read_task_file(guard_, pid, tasks.get(), tid, "stat", buffer);
    if (file.state == TaskFileState::kGone) {
      return {};
    }
    const auto stat = parse_pid_stat(file.text);
    if (!stat) {
      look.broken = true;
      return {};
    }
    ++look.threads;
    sum(look.sums, ThreadSum::kBlockDelayTicks) += stat->block_delay_ticks;
    if (sums && !add_thread(tasks.get(), pid, tid, look)) {
      look.broken = true;
    }
    if (stat->state == 'D' && tid != pid) {
      look.stuck = true;
      add_stuck(tasks.get(), process.key, tid, stat->comm, out);
    }
    return {};
  });
  look.broken = look.broken || (!walked && !look.cut);
  return look;
}

}  // namespace tidegauge
