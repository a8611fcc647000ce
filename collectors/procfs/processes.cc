// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/processes.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/procfs/pid_stat.h"
#include "collectors/procfs/task_directory.h"

namespace tidegauge {

namespace {

class Walk {
 public:
  explicit Walk(const std::string& procfs)
      : procfs_(procfs), root_(::open(procfs.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

  Result<ProcessCounts> run() {
    if (!root_.valid()) {
      return system_error(errno, procfs_);
    }
    struct statfs info {};
    real_ = ::fstatfs(root_.get(), &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
    auto done = for_each_task(root_.get(), procfs_,
                              [&](std::string_view pid) { return count_process(pid); });
    if (!done) {
      return tl::make_unexpected(done.error());
    }
    return counts_;
  }

 private:
  // An error whose errno says that the task left is for the caller to pass over.
  Result<PidStat> read_stat(int directory, std::string_view task) const {
    std::array<char, 32>
        name;  // is_task_number and the kernel's 7 digits; longer names are refused
    constexpr std::string_view kSuffix = "/stat";
    if (task.size() + kSuffix.size() >= name.size()) {
      return malformed(procfs_, 0, "task numbers");
    }
    std::memcpy(name.data(), task.data(), task.size());
    std::memcpy(name.data() + task.size(), kSuffix.data(), kSuffix.size());
    name[task.size() + kSuffix.size()] = '\0';
    const Descriptor file(
        ::openat(directory, name.data(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    // 52 fields of at most 21 bytes and a name of at most 64; one read() gives it all.
    std::array<char, 2048> text;
    const ssize_t got = file.valid() ? ::read(file.get(), text.data(), text.size()) : -1;
    if (got < 0) {
      return task_left(errno)
                 ? Result<PidStat>(tl::make_unexpected(Error{ErrorKind::kMissing, errno, {}}))
                 : system_error(errno, procfs_ + "/" + name.data());
    }
    const auto size = static_cast<std::size_t>(got);
    auto stat = size < text.size() ? parse_pid_stat({text.data(), size})
                                   : malformed(kPidStatFile, 1, "a shorter line");
    if (!stat) {
      std::string& where = stat.error().where;
      where.replace(0, kPidStatFile.size(), procfs_ + "/" + name.data());
    }
    return stat;
  }

  static bool has_left(const Result<PidStat>& stat) {
    return !stat && task_left(stat.error().errno_value);
  }

  Result<void> count_process(std::string_view pid) {
    const auto stat = read_stat(root_.get(), pid);
    if (!stat) {
      return has_left(stat) ? Result<void>() : tl::make_unexpected(stat.error());
    }
    ++counts_.processes;
    counts_.threads += stat->threads;
    count(counts_.process_states, *stat);
    // The leader alone is most processes, and then its state is known: no second look, which halves
    // the walk. A fixture tree is looked through whatever its numbers say.
    if (real_ && stat->threads == 1) {
      count(counts_.thread_states, *stat);
      return {};
    }
    return count_threads(pid, *stat);
  }

  Result<void> count_threads(std::string_view pid, const PidStat& leader) {
    const std::string path = std::string(pid) + "/task";
    const Descriptor tasks(::openat(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!tasks.valid()) {
      return task_left(errno) ? Result<void>() : system_error(errno, procfs_ + "/" + path);
    }
    return for_each_task(tasks.get(), path, [&](std::string_view task) -> Result<void> {
      if (task == pid) {
        count(counts_.thread_states, leader);
        return {};
      }
      const auto stat = read_stat(tasks.get(), task);
      if (stat) {
        count(counts_.thread_states, *stat);
      } else if (!has_left(stat)) {
        return tl::make_unexpected(stat.error());
      }
      return {};
    });
  }

  static void count(TaskStates& states, const PidStat& stat) {
    ++states[static_cast<unsigned char>(stat.state) % states.size()];
  }

  const std::string& procfs_;
  Descriptor root_;
  bool real_ = false;
  ProcessCounts counts_;
};

constexpr Column<ProcessCounts> kTotals[] = {
    {"node_processes_threads", "Threads that exist.", MetricKind::kGauge, kUnit,
     &ProcessCounts::threads},
    {"node_processes_max_threads", "Threads that may exist (kernel.threads-max).",
     MetricKind::kGauge, kUnit, &ProcessCounts::max_threads},
    {"node_processes_pids", "Processes that exist.", MetricKind::kGauge, kUnit,
     &ProcessCounts::processes},
    {"node_processes_max_processes", "Where process numbers wrap around (kernel.pid_max).",
     MetricKind::kGauge, kUnit, &ProcessCounts::max_processes},
};

constexpr std::string_view kStateFamily = "node_processes_state";
constexpr std::string_view kStateHelp = "Processes in a state, by the letter the kernel gives it.";
constexpr std::string_view kThreadStateFamily = "node_processes_threads_state";
constexpr std::string_view kThreadStateHelp =
    "Threads in a state, by the letter the kernel gives it.";

// One row per state. A state that was seen once keeps its row for good, absent while no task is in
// it, so that a process that touches the disk for a moment does not change the table's shape.
class StateTable {
 public:
  StateTable(std::string_view family, std::string_view help, std::string label)
      : table_({std::move(label)}, {ColumnInfo{std::string(family),
                                               {},
                                               std::string(help),
                                               MetricKind::kGauge,
                                               NumberType::kUnsigned,
                                               kUnit,
                                               {}}}) {}

  Table fill(const TaskStates& states) {
    table_.begin();
    for (std::size_t i = 0; i < states.size(); ++i) {
      seen_[i] = seen_[i] || states[i] != 0;
      if (seen_[i]) {
        const char letter = static_cast<char>(i);
        table_.row({std::string_view(&letter, 1)});
        if (states[i] != 0) {
          table_.set(0, states[i]);
        }
      }
    }
    return table_.take();
  }

 private:
  RowTable table_;
  std::array<bool, std::tuple_size_v<TaskStates>> seen_{};
};

Result<std::uint64_t> read_limit(KernelFile& file, ReadBuffer& buffer) {
  const auto text = file.read(buffer);
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  const auto value = parse_unsigned(trim(*text));
  if (!value) {
    return malformed(file.path(), 1, "a number");
  }
  return *value;
}

class ProcessesCollector final : public Collector {
 public:
  explicit ProcessesCollector(const KernelFiles& files)
      : procfs_(files.roots().procfs),
        max_threads_(files.proc_file("sys/kernel/threads-max")),
        max_processes_(files.proc_file("sys/kernel/pid_max")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto max_threads = read_limit(max_threads_, *context.buffer);
    if (!max_threads) {
      return tl::make_unexpected(max_threads.error());
    }
    const auto max_processes = read_limit(max_processes_, *context.buffer);
    if (!max_processes) {
      return tl::make_unexpected(max_processes.error());
    }
    auto counts = count_processes(procfs_);
    if (!counts) {
      return tl::make_unexpected(counts.error());
    }
    totals_.begin();
    counts->max_threads = *max_threads;
    counts->max_processes = *max_processes;
    totals_.add({}, *counts);
    out.tables.push_back(totals_.take());
    out.tables.push_back(states_.fill(counts->process_states));
    out.tables.push_back(thread_states_.fill(counts->thread_states));
    return {};
  }

 private:
  std::string procfs_;
  KernelFile max_threads_;
  KernelFile max_processes_;
  StructTable<ProcessCounts> totals_{kTotals};
  StateTable states_{kStateFamily, kStateHelp, "state"};
  StateTable thread_states_{kThreadStateFamily, kThreadStateHelp, "thread_state"};
};

}  // namespace

Result<ProcessCounts> count_processes(const std::string& procfs) { return Walk(procfs).run(); }

const CollectorInfo kProcessesCollector{
    .name = "processes",
    .help = "Processes and threads by state, and their limits (/proc/PID/stat).",
    .interval_ms = 15'000,
    // 6 us a process: with ten thousand of them not for the tick thread.
    .lane = Lane::kWorker,
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<ProcessesCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<ProcessCounts>(docs, kTotals, {});
          docs.push_back(
              {std::string(kStateFamily), MetricKind::kGauge, {"state"}, std::string(kStateHelp)});
          docs.push_back({std::string(kThreadStateFamily),
                          MetricKind::kGauge,
                          {"thread_state"},
                          std::string(kThreadStateHelp)});
          return docs;
        },
};

}  // namespace tidegauge
