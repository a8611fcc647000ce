// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_counters.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <string_view>

namespace tidegauge {

namespace {

// include/linux/sched.h. The letters' bits have kept their values since 4.14.
constexpr std::uint32_t kUninterruptible = 0x2;
constexpr std::uint32_t kReported = 0x7F;
constexpr std::uint32_t kNoLoad = 0x400;
constexpr std::uint32_t kLockWaitOrFrozen = 0x9000;  // shown as D; unused before 5.15

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

}  // namespace

void add(tg_task_counters& to, const tg_task_counters& from) {
  static_assert(sizeof(tg_task_counters) % sizeof(__u64) == 0);
  auto* target = reinterpret_cast<__u64*>(&to);
  const auto* source = reinterpret_cast<const __u64*>(&from);
  for (std::size_t i = 0; i < sizeof(tg_task_counters) / sizeof(__u64); ++i) {
    target[i] += source[i];
  }
}

void subtract(tg_task_counters& from, const tg_task_counters& what) {
  auto* target = reinterpret_cast<__u64*>(&from);
  const auto* source = reinterpret_cast<const __u64*>(&what);
  for (std::size_t i = 0; i < sizeof(tg_task_counters) / sizeof(__u64); ++i) {
    target[i] -= source[i];
  }
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

}  // namespace tidegauge
