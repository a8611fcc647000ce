// SPDX-License-Identifier: Apache-2.0
#pragma once

// What one pass over the tasks of the host yields, whichever source made it. The BPF iterator and the
// /proc reader fill the same structs with the same meaning:
//
// - A process is its pid and its start time. Its counters are its own: every thread that lives or has
//   lived, never a child's, also after the child was reaped.
// - Counters only grow from pass to pass for one identity. The source sees to that.
// - What a source cannot tell is absent (its bit in `has` is clear), never 0.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidegauge {

// Cumulative and additive. Bytes of `storage` are what block devices were asked for
// (Documentation/filesystems/proc.rst, /proc/PID/io: read_bytes, write_bytes), those of `syscall` what
// read() and write() moved (rchar, wchar), pipes and sockets included.
enum class TaskCounter : std::uint8_t {
  kUserNs,
  kSystemNs,
  kMinorFaults,
  kMajorFaults,
  kStorageReadBytes,
  kStorageWriteBytes,      // charged to who dirties a page, when it is dirtied
  kStorageCancelledBytes,  // dirtied, then truncated before they were written
  kSyscallReadBytes,
  kSyscallWriteBytes,
  kReadSyscalls,
  kWriteSyscalls,
  kBlockDelayNs,  // needs delay accounting (kernel.task_delayacct)
  kVoluntarySwitches,
  kInvoluntarySwitches,
  kRunDelayNs,  // runnable, waiting for a CPU
  kSyncCalls,   // fsync and its kin
  kSyncNs,      // in those that are over
};
inline constexpr std::size_t kTaskCounters = 17;

// Present state.
enum class TaskGauge : std::uint8_t {
  kThreads,
  kAnonBytes,
  kFileBytes,
  kShmemBytes,
  kSwapBytes,
};
inline constexpr std::size_t kTaskGauges = 5;

template <class Field, std::size_t Count>
struct TaskValues {
  std::array<std::uint64_t, Count> values{};
  std::uint32_t has = 0;  // bit per field

  [[nodiscard]] bool present(Field field) const {
    return ((has >> static_cast<unsigned>(field)) & 1U) != 0;
  }
  // 0 where absent: ask present() wherever the difference matters.
  [[nodiscard]] std::uint64_t operator[](Field field) const {
    return values[static_cast<std::size_t>(field)];
  }
  void set(Field field, std::uint64_t value) {
    values[static_cast<std::size_t>(field)] = value;
    has |= 1U << static_cast<unsigned>(field);
  }
  friend bool operator==(const TaskValues&, const TaskValues&) = default;
};
using TaskCounters = TaskValues<TaskCounter, kTaskCounters>;
using TaskGauges = TaskValues<TaskGauge, kTaskGauges>;

// The kernel's task name: at most 15 bytes of the process's own choice, any but NUL.
struct TaskName {
  std::array<char, 16> bytes{};

  [[nodiscard]] std::string_view view() const {
    return {bytes.data(), std::char_traits<char>::length(bytes.data())};
  }
  void assign(std::string_view name) {
    bytes.fill('\0');
    name.copy(bytes.data(), bytes.size() - 1);
  }
  friend bool operator==(const TaskName&, const TaskName&) = default;
};

struct ProcessKey {
  std::uint32_t pid = 0;  // in the pid namespace that owns --path.procfs
  // Since boot, of the group leader. The /proc reader knows it in steps of 10 ms, which is enough:
  // it never meets a key of the iterator's.
  std::uint64_t start_ns = 0;
  friend bool operator==(const ProcessKey&, const ProcessKey&) = default;
};

inline constexpr std::uint32_t kUnknownUid = 0xFFFFFFFF;

struct ProcessSample {
  ProcessKey key;
  std::uint32_t parent_pid = 0;     // 0: none in this namespace
  std::uint32_t uid = kUnknownUid;  // real user, in the initial user namespace for the iterator
  // Equal keys mean equal cgroups in every hierarchy; 0: unknown, ask /proc/PID/cgroup. Survives the
  // process, is not reused while a member lives.
  std::uint64_t cgroup_key = 0;
  TaskName comm;
  char state = '?';  // of the leader, as in /proc/PID/stat
  bool kernel_thread = false;
  // False for a process that is gone and only reported once more with its final counters.
  bool alive = true;
  // How far into the pass its counters were read: it takes its time. 0 where nobody asked.
  std::uint32_t read_after_us = 0;
  TaskCounters counters;
  TaskGauges gauges;
  friend bool operator==(const ProcessSample&, const ProcessSample&) = default;
};

// Processes that came and went between two passes and were never seen alive, summed over equal names.
struct ExitedSample {
  TaskName comm;  // last one
  std::uint32_t uid = kUnknownUid;
  std::uint64_t cgroup_key = 0;
  std::uint64_t processes = 0;
  bool kernel_thread = false;
  TaskCounters counters;
};

// A thread in uninterruptible sleep at the time of the pass.
struct StuckThread {
  ProcessKey process;
  std::uint32_t tid = 0;
  TaskName comm;  // of the thread
  // Equal in two passes: it has not run in between, so it is one and the same sleep.
  std::uint64_t switches = 0;
};

// Why a field is missing, as an operator must hear it: said once per pass and field.
struct MissingField {
  std::string field;            // "io", "block_delay", ...: stable, becomes a label
  std::string reason;           // one clause; tells the remedy where there is one
  std::uint64_t processes = 0;  // that lack it; 0: all
};

inline constexpr std::size_t kMaxStuckThreads = 256;

struct TaskPass {
  // Set by who asks for the pass: it remembers processes, and those that are alive and as the last pass showed
  // them need only be named in `idle`. Most of a host's are, and each costs a dozen cache lines to show.
  bool idle_by_key = false;
  std::vector<ProcessSample> processes;
  std::vector<ProcessKey> idle;
  std::vector<ExitedSample> exited;
  std::vector<StuckThread> stuck;   // at most kMaxStuckThreads
  std::uint64_t stuck_threads = 0;  // all of them
  std::uint64_t threads = 0;
  // Zombies that were never seen alive, told among `exited` and not in `processes`.
  std::uint64_t unlisted_zombies = 0;
  std::vector<MissingField> missing;
  // Cumulative: ends of processes whose last doings were not seen.
  std::uint64_t lost_exits = 0;

  // Keeps the memory for the next pass, unless that is much more than this one took.
  void clear();
};

}  // namespace tidegauge
