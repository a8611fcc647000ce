// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/processes.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "collectors/core/text.h"
#include "collectors/procfs/pid_stat.h"
#include "collectors/procfs/read_guard.h"
#include "collectors/procfs/task_directory.h"

namespace tidegauge {

namespace {

// Guarded work (read_guard.h): it keeps its place in members, and counts a process when all of it has
// been read.
class Walk {
 public:
  Walk(const std::string& procfs, ReadGuard& guard)
      : procfs_(procfs),
        guard_(guard),
        root_(::open(procfs.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

  Result<ProcessCounts> run(std::int64_t& cpu_ns) {
    if (!root_.valid()) {
      return system_error(errno, procfs_);
    }
    struct statfs info {};
    real_ = ::fstatfs(root_.get(), &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
    auto listed = for_each_task(root_.get(), procfs_, [&](std::string_view name) -> Result<void> {
      const auto pid = parse_unsigned(name);
      if (!pid || *pid > UINT32_MAX) {
        return malformed(procfs_, 0, "task numbers");
      }
      pids_.push_back(static_cast<std::uint32_t>(*pid));
      return {};
    });
    if (!listed) {
      return tl::make_unexpected(listed.error());
    }
    guard_.begin_pass();
    ReadGuard::Ran ran{};
    do {
      ran = guard_.run([this] { go_on(); });
      if (ran.outcome == ReadGuard::Outcome::kStuck && !std::exchange(in_status_, false)) {
        silent_pid_ = ran.pid;
      }
    } while (ran.outcome == ReadGuard::Outcome::kStuck);
    cpu_ns = ran.cpu_ns;
    if (ran.outcome == ReadGuard::Outcome::kRefused) {
      return tl::make_unexpected(Error{
          ErrorKind::kTimeout, 0, procfs_ + ": the files of too many processes do not answer"});
    }
    if (!outcome_) {
      return tl::make_unexpected(outcome_.error());
    }
    return counts_;
  }

 private:
  void go_on() {
    if (silent_pid_ != 0) {
      count_silent(std::exchange(silent_pid_, 0));
    }
    while (next_ < pids_.size() && outcome_) {
      const std::uint32_t pid = pids_[next_++];
      if (guard_.skips(root_.get(), pid)) {
        count_silent(pid);
      } else {
        outcome_ = count_process(pid);
      }
    }
  }

  // An error whose errno says that the task left is for the caller to pass over.
  Result<PidStat> read_stat(std::uint32_t pid, int directory, std::string_view task) const {
    std::array<char, 32>
        name;  // is_task_number and the kernel's 7 digits; longer names are refused
    constexpr std::string_view kSuffix = "/stat";
    if (task.size() + kSuffix.size() >= name.size()) {
      return malformed(procfs_, 0, "task numbers");
    }
    std::memcpy(name.data(), task.data(), task.size());
    std::memcpy(name.data() + task.size(), kSuffix.data(), kSuffix.size());
    name[task.size() + kSuffix.size()] = '\0';
    // 52 fields of at most 21 bytes and a name of at most 64; one read() gives it all.
    std::array<char, 2048> text;
    const ssize_t got = read_once(pid, directory, name.data(), text);
    if (got < 0) {
      const auto error = static_cast<int>(-got);
      return task_left(error)
                 ? Result<PidStat>(tl::make_unexpected(Error{ErrorKind::kMissing, error, {}}))
                 : system_error(error, procfs_ + "/" + name.data());
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

  // The size, or an errno below 0.
  ssize_t read_once(std::uint32_t pid, int directory, const char* name,
                    std::span<char> text) const {
    return guard_.read(pid, [&]() -> ssize_t {
      const Descriptor file(
          ::openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
      const ssize_t got = file.valid() ? ::read(file.get(), text.data(), text.size()) : -1;
      return got < 0 ? -errno : got;
    });
  }

  Result<void> count_process(std::uint32_t pid) {
    const std::string name = std::to_string(pid);
    const auto stat = read_stat(pid, root_.get(), name);
    if (!stat) {
      return has_left(stat) ? Result<void>() : tl::make_unexpected(stat.error());
    }
    // The leader alone is most processes, and then its state is known: no second look, which halves
    // the walk. A fixture tree is looked through whatever its numbers say.
    if (real_ && stat->threads == 1) {
      count(counts_.thread_states, *stat);
    } else {
      TaskStates states{};
      if (auto counted = count_threads(pid, name, *stat, states); !counted) {
        return counted;
      }
      for (std::size_t i = 0; i < states.size(); ++i) {
        counts_.thread_states[i] += states[i];
      }
    }
    ++counts_.processes;
    counts_.threads += stat->threads;
    count(counts_.process_states, *stat);
    return {};
  }

  Result<void> count_threads(std::uint32_t pid, const std::string& name, const PidStat& leader,
                             TaskStates& states) const {
    const std::string path = name + "/task";
    const Descriptor tasks(::openat(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!tasks.valid()) {
      return task_left(errno) ? Result<void>() : system_error(errno, procfs_ + "/" + path);
    }
    return for_each_task(tasks.get(), path, [&](std::string_view task) -> Result<void> {
      if (task == name) {
        count(states, leader);
        return {};
      }
      const auto stat = read_stat(pid, tasks.get(), task);
      if (stat) {
        count(states, *stat);
      } else if (!has_left(stat)) {
        return tl::make_unexpected(stat.error());
      }
      return {};
    });
  }

  // Of a process whose stat does not answer, status tells the same. It is in exec and has one thread.
  void count_silent(std::uint32_t pid) {
    const std::string name = std::to_string(pid) + "/status";
    std::array<char, 4096> text;  // both stand in front of what can be long
    in_status_ = true;
    const ssize_t got = read_once(pid, root_.get(), name.c_str(), text);
    in_status_ = false;
    LineReader lines({text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
    constexpr std::string_view kState = "State:\t";
    for (std::string_view line; lines.next(line);) {
      if (line.starts_with(kState) && line.size() > kState.size()) {
        const auto letter = static_cast<unsigned char>(line[kState.size()]);
        ++counts_.processes;
        ++counts_.threads;
        ++counts_.process_states[letter % counts_.process_states.size()];
        ++counts_.thread_states[letter % counts_.thread_states.size()];
        return;
      }
    }
  }

  static void count(TaskStates& states, const PidStat& stat) {
    ++states[static_cast<unsigned char>(stat.state) % states.size()];
  }

  const std::string& procfs_;
  ReadGuard& guard_;
  Descriptor root_;
  bool real_ = false;
  std::vector<std::uint32_t> pids_;
  std::size_t next_ = 0;
  std::uint32_t silent_pid_ = 0;  // whose stat a thread was left behind with
  bool in_status_ = false;
  Result<void> outcome_;
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
    std::int64_t cpu_ns = 0;
    auto counts = Walk(procfs_, guard_).run(cpu_ns);
    context.helpers_cpu_ns += cpu_ns;
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
  ReadGuard guard_;
  KernelFile max_threads_;
  KernelFile max_processes_;
  StructTable<ProcessCounts> totals_{kTotals};
  StateTable states_{kStateFamily, kStateHelp, "state"};
  StateTable thread_states_{kThreadStateFamily, kThreadStateHelp, "thread_state"};
};

}  // namespace

Result<ProcessCounts> count_processes(const std::string& procfs, ReadGuardHooks hooks) {
  ReadGuard guard(std::move(hooks));
  std::int64_t cpu_ns = 0;
  return Walk(procfs, guard).run(cpu_ns);
}

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
