// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/reap_ledger.h"

#include <algorithm>
#include <utility>

namespace tidegauge {

namespace {

constexpr int kMaxAncestors = 64;  // a tree this deep is no tree
constexpr std::uint32_t kInit = 1;

// Ends that hide nothing: a zombie's counters are final, a kernel thread has nobody to wait for it.
bool nothing_unseen(const ProcessEntry& process) {
  return process.sample.kernel_thread || (process.sample.state == 'Z' && process.threads() <= 1);
}

}  // namespace

void ReapLedger::depart(std::unique_ptr<ProcessEntry> process, bool unsure) {
  // What it reaped and has not shown yet shows at its reaper.
  if (process->in_debt) {
    for (const Debt& debt : debts_) {
      if (debt.pid == process->pid()) {
        for (const IoField& field : kIoFields) {
          process->raw_io.*field.member += debt.io.*field.member;
        }
      }
    }
  }
  const bool final = nothing_unseen(*process);
  process->sample.alive = false;
  process->sample.gauges = {};
  departed_.push_back(Departed{.process = std::move(process), .unsure = unsure, .final = final});
}

void ReapLedger::settle_debt(ProcessEntry& process, PidIo& growth) {
  if (!process.in_debt) {
    return;
  }
  process.in_debt = false;
  const auto debt =
      std::lower_bound(debts_.begin(), debts_.end(), process.pid(),
                       [](const Debt& one, std::uint32_t pid) { return one.pid < pid; });
  if (debt == debts_.end() || debt->pid != process.pid()) {
    return;
  }
  for (const IoField& field : kIoFields) {
    growth.*field.member -= std::min(growth.*field.member, debt->io.*field.member);
  }
}

void ReapLedger::take_off(Reaper& reaper, const ProcessEntry& child) {
  TaskCounters& published = reaper.process->sample.counters;
  PidIo rest;
  bool owes = false;
  for (const IoField& field : kIoFields) {
    const std::uint64_t wanted = child.raw_io.*field.member;
    const std::uint64_t taken = std::min(reaper.io.*field.member, wanted);
    reaper.io.*field.member -= taken;
    published.values[static_cast<std::size_t>(field.counter)] -= taken;
    rest.*field.member = wanted - taken;
    owes = owes || taken < wanted;
  }
  if (!owes) {
    return;
  }
  if (!std::exchange(reaper.process->in_debt, true)) {
    new_debts_.push_back({reaper.process->pid(), rest});
    return;
  }
  const auto debt = std::find_if(new_debts_.begin(), new_debts_.end(),
                                 [&](const Debt& one) { return one.pid == reaper.process->pid(); });
  if (debt != new_debts_.end()) {
    for (const IoField& field : kIoFields) {
      debt->io.*field.member += rest.*field.member;
    }
  }
}

bool ReapLedger::claim(ProcessEntry& ancestor, const ProcessEntry& child) {
  const auto reaper = std::lower_bound(
      reapers_.begin(), reapers_.end(), ancestor.pid(),
      [](const Reaper& one, std::uint32_t pid) { return one.process->pid() < pid; });
  if (reaper == reapers_.end() || reaper->process != &ancestor) {
    return false;
  }
  const TaskCounters& seen = child.sample.counters;
  const std::uint64_t minor = seen[TaskCounter::kMinorFaults] + child.child_minor_faults;
  const std::uint64_t major = seen[TaskCounter::kMajorFaults] + child.child_major_faults;
  const std::uint64_t ticks =
      (seen[TaskCounter::kUserNs] + seen[TaskCounter::kSystemNs]) / kNsPerTick + child.child_ticks;
  if (reaper->minor_faults < minor || reaper->major_faults < major ||
      (reaper->minor_faults | reaper->major_faults | reaper->ticks) == 0) {
    return false;
  }
  reaper->minor_faults -= minor;
  reaper->major_faults -= major;
  reaper->ticks -= std::min(reaper->ticks, ticks);
  take_off(*reaper, child);
  return true;
}

const ReapLedger::Departed* ReapLedger::find_departed(const Departed& child) const {
  auto at = std::lower_bound(
      departed_.begin(), departed_.end(), child.at,
      [](const Departed& one, std::uint32_t pid) { return one.process->pid() < pid; });
  for (; at != departed_.end() && at->process->pid() == child.at; ++at) {
    if (&*at != &child && at->process->sample.key.start_ns <= child.born_by) {
      return &*at;
    }
  }
  return nullptr;
}

void ReapLedger::step(Departed& departed, const LiveProcesses& live) {
  ProcessEntry* const living = find_process(live, departed.at);
  if (living != nullptr && living->sample.key.start_ns <= departed.born_by) {
    if (departed.living_ancestor == 0) {
      departed.living_ancestor = living->pid();
    }
    departed.claimed = claim(*living, *departed.process);
    departed.done = departed.claimed || living->pid() == kInit;
    departed.at = living->sample.parent_pid;
    departed.born_by = living->sample.key.start_ns;
    return;
  }
  if (const Departed* const gone = find_departed(departed)) {
    // It may have been read in this pass before it left. If not, its own reaper's growth may show in
    // the next pass only, and this one's with it.
    departed.unsure = departed.unsure || gone->unsure;
    departed.claimed = claim(*gone->process, *departed.process);
    departed.done = departed.claimed;
    departed.at = gone->process->sample.parent_pid;
    departed.born_by = gone->process->sample.key.start_ns;
    return;
  }
  departed.done = departed.at == kInit || departed.process->sample.parent_pid == 0;
  departed.at = kInit;
}

void ReapLedger::settle(const LiveProcesses& live) {
  std::stable_sort(departed_.begin(), departed_.end(), [](const Departed& a, const Departed& b) {
    return a.process->pid() < b.process->pid();
  });
  std::vector<Departed*> open;
  for (Departed& departed : departed_) {
    departed.at = departed.process->sample.parent_pid;
    departed.born_by = departed.process->sample.key.start_ns;
    departed.living_ancestor = 0;
    departed.done = departed.at == 0;
    open.push_back(&departed);
  }
  // Those who must show in this pass come before those who may show in the next.
  std::stable_partition(open.begin(), open.end(), [](const Departed* one) { return !one->unsure; });
  // Step by step up for all of them: children of a reaper before grandchildren it may have inherited.
  for (int depth = 0; depth < kMaxAncestors && !open.empty(); ++depth) {
    for (Departed* const departed : open) {
      if (!departed->done) {
        step(*departed, live);
      }
    }
    std::erase_if(open, [](const Departed* one) { return one->done; });
  }
}

void ReapLedger::finish(std::vector<ProcessSample>& out) {
  for (Departed& departed : departed_) {
    if (!std::exchange(departed.reported, true)) {
      out.push_back(departed.process->sample);
    }
  }
  std::sort(new_debts_.begin(), new_debts_.end(),
            [](const Debt& a, const Debt& b) { return a.pid < b.pid; });
  debts_.swap(new_debts_);
  new_debts_.clear();
  std::erase_if(departed_, [&](Departed& departed) {
    if (departed.claimed) {
      return true;
    }
    if (departed.unsure && departed.living_ancestor != 0) {
      departed.unsure = false;
      departed.process->sample.parent_pid = departed.living_ancestor;
      return false;
    }
    if (!departed.final) {
      ++lost_;
    }
    return true;
  });
}

}  // namespace tidegauge
