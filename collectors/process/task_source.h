// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where passes over the tasks come from. Two implementations, chosen by make_task_source():
//   task_iterator.h  BPF iter/task and an exit tracepoint: milliseconds for ten thousand processes,
//                    short-lived ones complete
//   proc_tasks.h     /proc/PID/{stat,io,status,...}: everywhere, even unprivileged, with what that
//                    lets it see

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include "collectors/core/collector.h"
#include "collectors/core/kernel_files.h"
#include "collectors/core/result.h"
#include "collectors/process/task_sample.h"

namespace tidegauge {

// How far a pass has come, for who asked (CollectContext::boottime_clock).
class PassTime {
 public:
  PassTime() = default;
  explicit PassTime(const CollectContext& context)
      : clock_(context.boottime_clock), begin_ns_(context.boottime_ns) {}

  [[nodiscard]] std::uint32_t after_us() const {
    if (clock_ == nullptr) {
      return 0;
    }
    constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
    return static_cast<std::uint32_t>(
        std::clamp<std::int64_t>((clock_() - begin_ns_) / 1000, 0, kMost));
  }

 private:
  std::int64_t (*clock_)() = nullptr;
  std::int64_t begin_ns_ = 0;
};

// Not thread-safe; used by one collector's thread.
class TaskSource {
 public:
  TaskSource() = default;
  TaskSource(const TaskSource&) = delete;
  TaskSource& operator=(const TaskSource&) = delete;
  virtual ~TaskSource() = default;

  // "iterator" or "procfs".
  [[nodiscard]] virtual std::string_view name() const = 0;

  // Fills `out` (cleared by the caller). A process that leaves meanwhile is not an error; what one
  // process hides is absent in its sample and counted in `out.missing`.
  virtual Result<void> pass(CollectContext& context, TaskPass& out) = 0;
};

enum class SourceChoice : std::uint8_t { kAuto, kIterator, kProcfs };

struct ChosenSource {
  std::unique_ptr<TaskSource> source;
  std::string reason;  // one clause, for a metric and the log
};

// kAuto: the iterator where it can be had. kIterator: an error where it cannot.
Result<ChosenSource> make_task_source(const KernelFiles& files, SourceChoice choice);

}  // namespace tidegauge
