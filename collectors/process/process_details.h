// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the busiest processes are made of: CPU time by thread name, open descriptors, the CPUs they may
// run on. Read from /proc a few at a time, because each thread is a file and each descriptor an entry.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/process/pid_smaps_rollup.h"
#include "collectors/process/process_tracker.h"
#include "collectors/process/timed_reader.h"
#include "collectors/procfs/read_guard.h"

namespace tidegauge {

struct ThreadGroupTime {
  std::string name;             // as the threads call themselves; valid UTF-8
  std::uint64_t cpu_ticks = 0;  // since the process was first looked at
  bool is_shown = false;        // among the busiest, once: its series stay
};

struct ThreadTicks {
  std::uint32_t tid = 0;
  std::uint64_t ticks = 0;
};

struct ProcessDetail {
  ProcessKey key;
  TaskName comm;
  std::optional<std::uint64_t> open_descriptors;
  std::string allowed_cpus;  // "0-3,8"; empty: unknown
  std::optional<std::uint64_t> allowed_cpu_count;
  std::vector<ThreadGroupTime> threads;  // of processes with several, at most kMaxThreadNames
  std::optional<PidSmapsRollup> mappings;

  // Threads are looked at in rounds of several passes: what was seen in the last whole round, and in this
  // one so far. By rising tid.
  std::vector<ThreadTicks> last_round;
  std::vector<ThreadTicks> round;
  std::uint64_t first_look_ns = 0;  // boot time: threads that started later are new
  // At the last look that was begun.
  std::optional<std::int64_t> looked_ns;
  std::uint64_t looked_cpu_ns = 0;
  bool listed = false;  // scratch
  bool is_due = false;  // scratch: to be looked at in this pass
};

inline constexpr std::size_t kMaxThreadNames = 16;   // kept; further names count for "other"
inline constexpr std::size_t kShownThreadNames = 5;  // so many busiest get series

// Not thread-safe. In the ordinary run of things it reads nothing that takes the target's mmap lock.
class ProcessDetails {
 public:
  explicit ProcessDetails(KernelFiles files) : files_(std::move(files)) {}

  // Looks at a few of `processes`, in turn, seldom at those that hardly run; forgets those that are not among them any more. Returns the
  // CPU time it used on another thread, because stat of a thread may not answer.
  std::int64_t update(const std::vector<const TrackedProcess*>& processes, std::int64_t now_ns);
  // Reads the mappings of the one of `processes` that is suspected (0: none), or else whose memory grows most, if
  // any's does: for when somebody asks who is to blame. Once a minute at most and not of the largest, because the
  // target's page faults wait meanwhile.
  void look_at_mappings(const std::vector<const TrackedProcess*>& processes,
                        std::uint32_t suspect_pid, std::int64_t now_ns);

  [[nodiscard]] const std::vector<ProcessDetail>& all() const { return details_; }

 private:
  void look_at_some(const std::vector<const TrackedProcess*>& processes, std::int64_t now_ns);
  void look(ProcessDetail& detail, bool has_threads);
  void look_at_threads(ProcessDetail& detail);

  KernelFiles files_;
  ReadGuard guard_;
  std::size_t looks_left_ = 0;
  std::vector<ProcessDetail> details_;
  std::size_t next_ = 0;
  std::size_t reads_left_ = 0;
  TimedReader timed_;
  std::optional<std::int64_t> mappings_read_ns_;
};

// Of a kernel's CPU list ("0-3,8,10-11"); nothing for what is none.
std::optional<std::uint64_t> count_cpus(std::string_view list);

}  // namespace tidegauge
