// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/proc_tasks.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "collectors/process/delay_accounting.h"
#include "collectors/process/hidden_processes.h"
#include "collectors/process/missing_tally.h"
#include "collectors/process/pid_io.h"
#include "collectors/process/process_entry.h"
#include "collectors/process/reap_ledger.h"
#include "collectors/process/task_files.h"
#include "collectors/procfs/pid_stat.h"
#include "collectors/procfs/task_directory.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxLateChecks = 1000;
// The mount table of a container host is long, and remounts of /proc are rare.
constexpr std::uint32_t kMountPasses = 20;

constexpr std::uint32_t io_mask() {
  std::uint32_t mask = 0;
  for (const IoField& field : kIoFields) {
    mask |= 1U << static_cast<unsigned>(field.counter);
  }
  return mask;
}

void grow(TaskCounters& counters, TaskCounter which, std::uint64_t value) {
  counters.set(which, std::max(counters[which], value));
}

// "kworker/u8:3-events_unbound" is kworker/u8:3 and what it works on; "kworker/R-xfs" is one name.
void cut_worker(TaskName& comm) {
  const std::string_view name = comm.view();
  if (name.starts_with("kworker/") && !name.starts_with("kworker/R")) {
    comm.assign(std::string(name.substr(0, name.find_first_of("-+"))));
  }
}

// A zombie and a kernel thread have no memory of their own.
void clear_memory(TaskGauges& gauges) {
  const bool threads = gauges.present(TaskGauge::kThreads);
  const std::uint64_t count = gauges[TaskGauge::kThreads];
  gauges = {};
  if (threads) {
    gauges.set(TaskGauge::kThreads, count);
  }
}

// What the process got of children since the last pass, but for the I/O. No child lives without a fault.
bool apply_children(ProcessEntry& process, const PidStat& stat, ReapMarks& grown) {
  grown[0] = growth(process.child_minor_faults, stat.child_minor_faults);
  grown[1] = growth(process.child_major_faults, stat.child_major_faults);
  process.child_minor_faults = std::max(process.child_minor_faults, stat.child_minor_faults);
  process.child_major_faults = std::max(process.child_major_faults, stat.child_major_faults);
  return (grown[0] | grown[1]) != 0;
}

ProcessKey key_of(std::uint32_t pid, const PidStat& stat) {
  return {pid, stat.start_ticks * kNsPerTick};
}

// It is not in /proc any more in a moment; whether its reaper shows its figures is open.
bool is_dying(const PidStat& stat) { return stat.state == 'X' || stat.state == 'x'; }

void apply_counters(ProcessEntry& process, const PidStat& stat) {
  TaskCounters& counters = process.sample.counters;
  grow(counters, TaskCounter::kUserNs, stat.user_ticks * kNsPerTick);
  grow(counters, TaskCounter::kSystemNs, stat.system_ticks * kNsPerTick);
  grow(counters, TaskCounter::kMinorFaults, stat.minor_faults);
  grow(counters, TaskCounter::kMajorFaults, stat.major_faults);
  if (stat.threads <= 1) {
    grow_thread_sum(process, ThreadSum::kBlockDelayTicks, stat.block_delay_ticks);
  }
}

void apply_stat(ProcessEntry& process, const PidStat& stat) {
  ProcessSample& sample = process.sample;
  const std::uint64_t activity =
      stat.user_ticks + stat.system_ticks + stat.minor_faults + stat.major_faults;
  process.dirty = process.dirty || activity != process.activity ||
                  stat.resident_pages != process.resident_pages ||
                  stat.threads != process.threads();
  process.activity = activity;
  process.resident_pages = stat.resident_pages;
  sample.parent_pid = static_cast<std::uint32_t>(stat.parent_pid);
  sample.comm = stat.comm;
  sample.state = stat.state;
  sample.kernel_thread = (stat.flags & kKernelThreadFlag) != 0;
  if (sample.kernel_thread) {
    cut_worker(sample.comm);
  }
  sample.gauges.set(TaskGauge::kThreads, stat.threads);
  if (stat.virtual_bytes == 0) {
    clear_memory(sample.gauges);
  }
  apply_counters(process, stat);
}

class ProcTasks final : public TaskSource {
 public:
  ProcTasks(const KernelFiles& files, ProcTasksHooks hooks)
      : procfs_(files.roots().procfs),
        delays_(files.proc_file("sys/kernel/task_delayacct")),
        loadavg_(files.proc_file("loadavg")),
        mountinfo_(files.proc("self/mountinfo")),
        guard_(std::move(hooks.guard)),
        details_(guard_, hooks.limits),
        all_read_(std::move(hooks.all_read)) {}

  [[nodiscard]] std::string_view name() const override { return "procfs"; }

  Result<void> pass(CollectContext& context, TaskPass& out) override {
    const Descriptor root(::open(procfs_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root.valid()) {
      return system_error(errno, procfs_);
    }
    std::uint64_t unusable = 0;
    if (auto listed = list_pids(root.get(), procfs_, pids_, unusable); !listed) {
      return listed;
    }
    root_ = root.get();
    time_ = PassTime(context);
    denied_ = 0;
    silent_ = 0;
    guard_.begin_pass();
    details_.begin(root_);
    ledger_.begin(pids_);
    delays_.begin(*context.buffer);
    count_malformed(unusable);
    if (auto walked = walk(context, out); !walked) {
      return walked;
    }
    publish(out);
    check_hidden(*context.buffer, out);
    missing_.take(out.missing);
    out.missing.push_back({"syncs", "/proc does not tell; BPF does", 0});
    ++passes_;
    return {};
  }

 private:
  enum class Seen : std::uint8_t { kRead, kGone, kSkipped };

  void count_malformed(std::uint64_t processes) {
    if (processes != 0) {
      missing_.add("process", "malformed", processes);
    }
  }

  enum class Step : std::uint8_t { kRead, kLate, kRefresh, kStuck };

  // All that reads files of processes, guarded (procfs/read_guard.h).
  Result<void> walk(CollectContext& context, TaskPass& out) {
    give_up();  // what an exception may have left
    step_ = Step::kRead;
    next_.reserve(pids_.size());
    next_pid_ = 0;
    known_ = 0;
    wrapped_ = false;
    asked_ = nullptr;
    while (true) {
      const ReadGuard::Ran ran = guard_.run([this, &out] { go_on(out); });
      context.helpers_cpu_ns += ran.cpu_ns;
      if (ran.outcome == ReadGuard::Outcome::kDone) {
        return {};
      }
      if (ran.outcome == ReadGuard::Outcome::kRefused) {
        give_up();
        return tl::make_unexpected(Error{
            ErrorKind::kTimeout, 0, procfs_ + ": the files of too many processes do not answer"});
      }
      if (ProcessEntry* const asked =
              step_ == Step::kRead || step_ == Step::kLate ? asked_ : details_.asked()) {
        asked->read = false;
        asked->silent = true;
      }
      ++silent_;
    }
  }

  // From where it stands: another thread may have come so far.
  void go_on(TaskPass& out) {
    if (step_ == Step::kRead) {
      read_all();
      if (all_read_) {
        all_read_();
      }
      begin_late();
      step_ = Step::kLate;
    }
    if (step_ == Step::kLate) {
      depart_late();
      ledger_.settle(live_);
      details_.begin_refresh(live_);
      step_ = Step::kRefresh;
    }
    if (step_ == Step::kRefresh) {
      details_.refresh(out);
      details_.begin_stuck();
      step_ = Step::kStuck;
    }
    details_.find_stuck(live_, out);
  }

  // The next pass knows all that this one knew.
  void give_up() {
    if (step_ == Step::kRead) {
      keep_current();
      for (; known_ < live_.size(); ++known_) {
        next_.push_back(std::move(live_[known_]));
      }
      live_.swap(next_);
      next_.clear();
      step_ = Step::kLate;  // a second call finds nothing to do
    }
    std::erase(live_, nullptr);
  }

  void keep_current() {
    if (current_) {
      next_.push_back(std::move(current_));
    }
  }

  // Merges the sorted list of pids with the sorted processes of the last pass.
  void read_all() {
    keep_current();
    while (next_pid_ < pids_.size()) {
      const std::uint32_t pid = pids_[next_pid_++];
      for (; known_ < live_.size() && live_[known_]->pid() < pid; ++known_) {
        depart(std::move(live_[known_]), false);
      }
      if (known_ < live_.size() && live_[known_]->pid() == pid) {
        current_ = std::move(live_[known_++]);
      }
      if (read(pid, current_) == Seen::kGone) {
        depart(std::move(current_), true);
      }
      keep_current();
    }
    for (; known_ < live_.size(); ++known_) {
      depart(std::move(live_[known_]), false);
    }
    live_.swap(next_);
    next_.clear();
  }

  struct StatLook {
    TaskFileState state = TaskFileState::kBroken;
    Result<PidStat> stat;
  };

  // A leader whom another thread of its process replaces in an exec shows X as well, but not twice
  // (fs/exec.c, de_thread).
  StatLook look_at_stat(std::uint32_t pid) {
    std::array<char, 2048> text;  // 52 fields of at most 21 bytes and a name of at most 64
    StatLook look;
    for (int times = 0; times < 2; ++times) {
      const TaskFile file = read_task_file(guard_, pid, root_, pid, "stat", text);
      look = {file.state, parse_pid_stat(file.text)};
      if (!look.stat || !is_dying(*look.stat)) {
        break;
      }
    }
    return look;
  }

  // io first: what stat says of reaped children then lags behind at no time, see reap_ledger.h.
  Seen read(std::uint32_t pid, std::unique_ptr<ProcessEntry>& process) {
    asked_ = process.get();
    if (process) {
      process->read = false;
      process->silent = false;
    }
    if (guard_.skips(root_, pid)) {
      ++silent_;
      if (process) {
        process->silent = true;
      }
      return Seen::kSkipped;
    }
    const std::uint32_t read_after_us = time_.after_us();
    std::array<char, 512> io_text;
    const TaskFile io = read_task_file(guard_, pid, root_, pid, "io", io_text);
    const auto [state, stat] = look_at_stat(pid);
    if (state == TaskFileState::kGone) {
      return Seen::kGone;
    }
    if (state == TaskFileState::kDenied) {
      ++denied_;
      return Seen::kSkipped;
    }
    if (!stat || stat->parent_pid > UINT32_MAX) {
      count_malformed(1);
      return Seen::kSkipped;
    }
    const ProcessKey key = key_of(pid, *stat);
    if (process && (process->sample.key != key || is_dying(*stat))) {
      depart(std::exchange(process, nullptr), true);
    }
    if (is_dying(*stat)) {
      ledger_.dying(key);
      return Seen::kGone;
    }
    const bool is_new = !process;
    if (is_new) {
      process = std::make_unique<ProcessEntry>();
      process->sample.key = key;
      asked_ = process.get();
    }
    process->sample.read_after_us = read_after_us;
    apply(*process, *stat, io, is_new);
    return Seen::kRead;
  }

  void apply(ProcessEntry& process, const PidStat& stat, const TaskFile& io, bool is_new) {
    process.read = true;
    process.suspect = false;
    delays_.saw(stat.block_delay_ticks);
    process.before_delays = (process.before_delays || delays_.off()) && stat.block_delay_ticks == 0;
    apply_stat(process, stat);
    ReapMarks grown{};
    const bool reaped = apply_children(process, stat, grown);
    apply_io(process, io, grown);
    if (reaped || process.reaped) {
      ledger_.add(process, grown);
    }
    wrapped_ = wrapped_ || process.pid() < process.sample.parent_pid;
    if (is_new) {
      details_.read_one(process);
    }
  }

  void apply_io(ProcessEntry& process, const TaskFile& file, ReapMarks& grown) {
    TaskCounters& counters = process.sample.counters;
    counters.has &= ~io_mask();
    if (file.state != TaskFileState::kText) {
      process.io_state = file.state == TaskFileState::kGone     ? IoState::kNoAccounting
                         : file.state == TaskFileState::kDenied ? IoState::kDenied
                                                                : IoState::kMalformed;
      return;
    }
    const auto io = parse_pid_io(file.text);
    if (!io) {
      process.io_state = IoState::kMalformed;
      return;
    }
    process.io_state = IoState::kReadable;
    std::size_t mark = kFirstIoMark;
    for (const IoField& field : kIoFields) {
      grown[mark] = growth(process.raw_io.*field.member, (*io).*field.member);
      counters.set(field.counter, counters[field.counter] + grown[mark]);
      ++mark;
    }
    process.raw_io = *io;
  }

  void depart(std::unique_ptr<ProcessEntry> process, bool unsure) {
    if (process) {
      withdraw_block_delay(process->sample, *process);
      wrapped_ = wrapped_ || process->pid() < process->sample.parent_pid;
      ledger_.depart(std::move(process), unsure);
    }
  }

  // A process read before one of its ancestors may have been reaped in between: the growth of that
  // ancestor has it then, and the next pass's has not.
  void begin_late() {
    late_.clear();
    next_late_ = 0;
    const std::uint32_t highest = wrapped_ ? ledger_.highest_reaper() : 0;
    for (std::size_t i = 0; i < live_.size(); ++i) {
      ProcessEntry& process = *live_[i];
      if (!process.read) {
        ledger_.suspect(process);
      } else if (process.pid() < highest && has_later_reaper(process)) {
        late_.push_back(i);
      }
    }
    for (std::size_t i = kMaxLateChecks; i < late_.size(); ++i) {
      ledger_.suspect(*live_[late_[i]]);
    }
    late_.resize(std::min(late_.size(), kMaxLateChecks));
  }

  [[nodiscard]] bool has_later_reaper(const ProcessEntry& process) const {
    std::uint32_t at = process.sample.parent_pid;
    for (int depth = 0; depth < kMaxAncestors && at != 0; ++depth) {
      const ProcessEntry* const ancestor = find_process(live_, at);
      if (ancestor == nullptr) {
        return true;  // departed: who inherits is one of those further up
      }
      if (ancestor->pid() > process.pid() && ancestor->reaped && ancestor->reaped->grew) {
        return true;
      }
      at = ancestor->sample.parent_pid;
    }
    return false;
  }

  void depart_late() {
    while (next_late_ < late_.size()) {
      std::unique_ptr<ProcessEntry>& process = live_[late_[next_late_++]];
      asked_ = process.get();
      const ProcessKey key = process->sample.key;
      const auto [state, stat] = look_at_stat(key.pid);
      const bool dying = stat && is_dying(*stat);
      if (state == TaskFileState::kGone || dying || (stat && key_of(key.pid, *stat) != key)) {
        depart(std::move(process), true);
      }
      if (dying) {
        ledger_.dying(key);
      }
    }
    std::erase(live_, nullptr);
  }

  [[nodiscard]] bool block_delay_known(const ProcessEntry& process) const {
    return delays_.works() && !process.before_delays;
  }

  void withdraw_block_delay(ProcessSample& sample, const ProcessEntry& process) const {
    if (!block_delay_known(process)) {
      sample.counters.has &= ~(1U << static_cast<unsigned>(TaskCounter::kBlockDelayNs));
    }
  }

  void publish(TaskPass& out) {
    for (const auto& process : live_) {
      // One that is silent does nothing either: it is what it was.
      if (!process->read && !process->silent) {
        continue;
      }
      process->told = true;
      ProcessSample& sample = out.processes.emplace_back(process->sample);
      withdraw_block_delay(sample, *process);
      missing_.add_process(sample, *process,
                           block_delay_known(*process) ? std::string_view{} : delays_.reason());
      out.threads += process->threads();
    }
    if (silent_ != 0) {
      missing_.add("process", "its /proc files do not answer", silent_);
    }
    ledger_.finish(out.processes);
    out.lost_exits = ledger_.lost();
  }

  void check_hidden(ReadBuffer& buffer, TaskPass& out) {
    if (passes_ % kMountPasses == 0) {
      look_for_hidepid(buffer);
    }
    if (hidepid_.empty()) {
      if (denied_ != 0) {
        missing_.add("process", "permission denied", denied_);
      }
      return;
    }
    const auto text = loadavg_.read(buffer, kMaxSmallFileBytes);
    const std::uint64_t threads = text ? threads_of_loadavg(*text).value_or(0) : 0;
    // Some come and go between the two looks.
    const bool fewer = threads > out.threads + 4 + out.threads / 64;
    const std::uint64_t hidden = fewer ? threads - out.threads : denied_;
    if (hidden != 0) {
      out.missing.push_back({"processes",
                             "procfs is mounted with " + hidepid_ +
                                 ": needs CAP_SYS_PTRACE, or the group of its gid= option",
                             hidden});
    }
  }

  void look_for_hidepid(ReadBuffer& buffer) {
    struct stat info {};
    struct statfs type {};
    const bool real = ::fstatfs(root_, &type) == 0 && type.f_type == PROC_SUPER_MAGIC &&
                      ::fstat(root_, &info) == 0;
    const auto text = read_file(mountinfo_, buffer);
    hidepid_ = text ? std::string(hidepid_option(*text, procfs_, real ? major(info.st_dev) : 0,
                                                 real ? minor(info.st_dev) : 0))
                    : std::string();
  }

  std::string procfs_;
  DelayAccounting delays_;
  KernelFile loadavg_;
  std::string mountinfo_;
  ReadGuard guard_;
  TaskDetails details_;
  std::function<void()> all_read_;
  ReapLedger ledger_;
  MissingTally missing_;
  LiveProcesses live_;
  LiveProcesses next_;
  std::vector<std::uint32_t> pids_;
  std::string hidepid_;  // empty: not in force
  std::uint64_t denied_ = 0;
  std::uint64_t silent_ = 0;
  std::uint32_t passes_ = 0;
  int root_ = -1;  // open during a pass
  PassTime time_;

  // Where the walk stands.
  Step step_ = Step::kRead;
  std::size_t next_pid_ = 0;               // in pids_
  std::size_t known_ = 0;                  // in live_
  std::unique_ptr<ProcessEntry> current_;  // neither in live_ nor in next_
  ProcessEntry* asked_ = nullptr;          // whose files are read; null: a new one's
  std::vector<std::size_t> late_;          // in live_: to be looked at again
  std::size_t next_late_ = 0;              // in late_
  bool wrapped_ = false;                   // somebody's pid is below its parent's
};

}  // namespace

std::unique_ptr<TaskSource> make_proc_tasks(const KernelFiles& files) {
  return make_proc_tasks(files, ProcTasksHooks{});
}

std::unique_ptr<TaskSource> make_proc_tasks(const KernelFiles& files, ProcTasksHooks hooks) {
  return std::make_unique<ProcTasks>(files, std::move(hooks));
}

}  // namespace tidegauge
