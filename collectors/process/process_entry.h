// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the /proc reader remembers of one process from pass to pass.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <vector>

#include "collectors/process/pid_io.h"
#include "collectors/process/task_sample.h"

namespace tidegauge {

inline constexpr int kMaxAncestors = 64;                 // a tree this deep is no tree
inline constexpr std::uint64_t kNsPerTick = 10'000'000;  // USER_HZ is 100 on every architecture

enum class IoState : std::uint8_t { kReadable, kDenied, kNoAccounting, kMalformed };
enum class DetailState : std::uint8_t { kPending, kRead, kTooManyThreads, kUnreadable };

// What /proc tells per thread only. Sums over the living threads: they fall when one ends.
enum class ThreadSum : std::uint8_t {
  kVoluntarySwitches,
  kInvoluntarySwitches,
  kRunDelayNs,
  kBlockDelayTicks,
};
using ThreadSums = std::array<std::uint64_t, 4>;

struct IoField {
  TaskCounter counter;
  std::uint64_t PidIo::*member;
};
inline constexpr IoField kIoFields[] = {
    {TaskCounter::kSyscallReadBytes, &PidIo::syscall_read_bytes},
    {TaskCounter::kSyscallWriteBytes, &PidIo::syscall_write_bytes},
    {TaskCounter::kReadSyscalls, &PidIo::read_syscalls},
    {TaskCounter::kWriteSyscalls, &PidIo::write_syscalls},
    {TaskCounter::kStorageReadBytes, &PidIo::storage_read_bytes},
    {TaskCounter::kStorageWriteBytes, &PidIo::storage_write_bytes},
    {TaskCounter::kStorageCancelledBytes, &PidIo::storage_cancelled_bytes},
};

// What a parent gets of a child in one step: minor faults, major faults, then I/O as in kIoFields.
inline constexpr std::size_t kFirstIoMark = 2;
using ReapMarks = std::array<std::uint64_t, kFirstIoMark + std::size(kIoFields)>;

// What a process got of children that did not claim it yet, see reap_ledger.h. The I/O with its own.
struct ReapPool {
  ReapMarks old{};        // before this pass, as far as somebody waits for it
  ReapMarks fresh{};      // since
  ReapMarks all{};        // both, and what was claimed of them
  ReapMarks wanted{};     // by those whose case is open
  ReapMarks suspected{};  // of those who may have been reaped in this pass
  bool awaited = false;   // by any of them
  bool held = false;      // the I/O that is left of old is not in the published counters
  bool grew = false;      // in this pass
};

struct ProcessEntry {
  ProcessSample sample;  // counters as published
  PidIo raw_io;          // as last read: with the children that were waited for
  // What children were waited for, as last read.
  std::uint64_t child_minor_faults = 0;
  std::uint64_t child_major_faults = 0;
  std::unique_ptr<ReapPool> reaped;  // null: nothing to claim here
  ThreadSums thread_sums{};          // as last read

  // Sum of all that grows in stat: equal means that it has hardly run.
  std::uint64_t activity = 0;
  std::uint64_t resident_pages = 0;
  std::uint32_t detail_pass = 0;  // when the details were read last
  std::uint32_t walked_pass = 0;  // when the threads were walked last
  // Found by the last walk that found fewer than there are; 0: it found all.
  std::uint32_t short_of_threads = 0;

  IoState io_state = IoState::kNoAccounting;
  DetailState detail = DetailState::kPending;
  bool told = false;          // in a pass
  bool dirty = true;          // ran since the details were read
  bool stuck_thread = false;  // a thread other than the leader was in D when last looked at
  bool no_schedstat = false;
  bool no_memory_split = false;
  bool before_delays = false;  // born while delay accounting was off
  bool suspect = false;        // see reap_ledger.h
  bool read = false;           // in this pass
  bool silent = false;         // its files did not answer in this pass, or were not asked

  [[nodiscard]] std::uint32_t pid() const { return sample.key.pid; }
  [[nodiscard]] std::uint64_t threads() const { return sample.gauges[TaskGauge::kThreads]; }
};
static_assert(sizeof(ProcessEntry) <= 400, "ten thousand of them are to stay at 4 MB");

inline std::uint64_t growth(std::uint64_t before, std::uint64_t now) {
  return now > before ? now - before : 0;
}

// Sorted by pid. The addresses of entries stay while they live.
using LiveProcesses = std::vector<std::unique_ptr<ProcessEntry>>;

inline ProcessEntry* find_process(const LiveProcesses& live, std::uint32_t pid) {
  const auto at = std::lower_bound(
      live.begin(), live.end(), pid,
      [](const auto& entry, std::uint32_t wanted) { return entry->pid() < wanted; });
  return at != live.end() && (*at)->pid() == pid ? at->get() : nullptr;
}

}  // namespace tidegauge
