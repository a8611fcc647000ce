// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "collectors/process/process_identifier.h"
#include "collectors/process/process_options.h"
#include "collectors/process/process_tables.h"
#include "collectors/process/process_tracker.h"
#include "collectors/process/stuck_tasks.h"
#include "collectors/process/task_iterator.h"
#include "collectors/process/task_source.h"
#include "collectors/process/wait_channels.h"
#include "collectors/procfs/proc_stat.h"

namespace tidegauge {

namespace {

// A source that fails so many passes running is given up for /proc.
constexpr int kMaxFailures = 3;

class ProcessCollector final : public Collector {
 public:
  ProcessCollector(const KernelFiles& files, const ProcessSettings& settings, GroupRules rules)
      : files_(files),
        stat_(shared_proc_stat(files)),
        settings_(settings),
        identifier_(files, std::move(rules)),
        tracker_(settings.max_groups, settings.top),
        details_(files),
        wait_channels_(files),
        tables_(files.privacy()) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    if (auto ready = pass(context); !ready) {
      return ready;
    }
    identifier_.begin_pass(*context.buffer);
    tracker_.update(
        pass_, context.boottime_ns,
        [this](const ProcessSample& sample) { return identifier_.classify(sample); },
        [this](const ExitedSample& sample) { return identifier_.classify_exited(sample); });
    wait_channels_.begin_pass();
    stuck_.update(pass_.stuck, context.boottime_ns, [this](std::uint32_t pid, std::uint32_t tid) {
      return wait_channels_.read(pid, tid);
    });
    const PassFacts facts{.source = source_.source->name(),
                          .reason = source_.reason,
                          .processes = tracker_.size(),
                          .threads = pass_.threads,
                          .stuck_threads = pass_.stuck_threads,
                          .lost_exits = lost_before_ + pass_.lost_exits,
                          .group_overflows = tracker_.overflows(),
                          .zombies = pass_.unlisted_zombies + zombies(),
                          .unseen_starts = unseen_starts(context)};
    if (settings_.details) {
      context.helpers_cpu_ns += details_.update(tracker_.top(), context.boottime_ns);
      if (context.culprit_wanted) {
        details_.look_at_mappings(tracker_.top(), context.suspect_pid, context.boottime_ns);
      }
    }
    if (const std::size_t silent = identifier_.unanswered(); silent != 0) {
      pass_.missing.push_back({"cmdline", "its command line does not answer", silent});
    }
    tables_.fill(tracker_, stuck_, facts, pass_.missing, details_.all(), context.boottime_ns,
                 boot_realtime_ns(context), out);
    return {};
  }

 private:
  // The source is made with the first pass, on the thread that will use it: a configuration is
  // checked without loading BPF programs.
  Result<void> pass(CollectContext& context) {
    if (source_.source == nullptr) {
      auto made = make_task_source(files_, settings_.source);
      if (!made) {
        return tl::make_unexpected(made.error());
      }
      source_ = std::move(*made);
    }
    pass_.clear();
    pass_.idle_by_key = !tracker_.wants_all();
    auto done = source_.source->pass(context, pass_);
    failures_ = done ? 0 : failures_ + 1;
    if (!done && failures_ >= kMaxFailures && settings_.source == SourceChoice::kAuto &&
        source_.source->name() != "procfs") {
      auto other = make_task_source(files_, SourceChoice::kProcfs);
      if (other) {
        other->reason = "the BPF iterator failed: " + done.error().message();
        source_ = std::move(*other);
        tracker_.rebase();
        lost_before_ += last_lost_;
        failures_ = 0;
      }
    }
    last_lost_ = done ? pass_.lost_exits : last_lost_;
    return done;
  }

  [[nodiscard]] std::uint64_t zombies() const {
    return static_cast<std::uint64_t>(
        std::count_if(pass_.processes.begin(), pass_.processes.end(),
                      [](const ProcessSample& s) { return s.alive && s.state == 'Z'; }));
  }

  // "processes" of /proc/stat counts every fork and clone since boot.
  std::optional<std::uint64_t> unseen_starts(const CollectContext& context) {
    if (source_.source->name() != "procfs") {
      return std::nullopt;
    }
    std::optional<std::uint64_t> forks;
    static_cast<void>(stat_->with(context, [&](const ProcStat& stat) -> Result<void> {
      forks = stat.system.forks;
      return {};
    }));
    const std::uint64_t born = tracker_.born();
    if (forks && last_forks_ && *forks - *last_forks_ > born - last_born_) {
      unseen_starts_ += *forks - *last_forks_ - (born - last_born_);
    }
    if (forks) {
      last_forks_ = forks;
      last_born_ = born;
    }
    return last_forks_ ? std::optional(unseen_starts_) : std::nullopt;
  }

  // Kept: the wall clock's small corrections must not move start times.
  std::int64_t boot_realtime_ns(const CollectContext& context) {
    constexpr std::int64_t kClockStepNs = 1'000'000'000;
    const std::int64_t now_ns = context.realtime_ns - context.boottime_ns;
    if (now_ns > boot_realtime_ns_ + kClockStepNs || now_ns < boot_realtime_ns_ - kClockStepNs) {
      boot_realtime_ns_ = now_ns;
    }
    return boot_realtime_ns_;
  }

  KernelFiles files_;
  std::shared_ptr<ProcStatReader> stat_;
  std::optional<std::uint64_t> last_forks_;
  std::uint64_t last_born_ = 0;
  std::uint64_t unseen_starts_ = 0;
  ProcessSettings settings_;
  ProcessIdentifier identifier_;
  ProcessTracker tracker_;
  ProcessDetails details_;
  WaitChannels wait_channels_;
  StuckTasks stuck_;
  ProcessTables tables_;
  ChosenSource source_;
  TaskPass pass_;
  int failures_ = 0;
  std::uint64_t last_lost_ = 0;
  std::uint64_t lost_before_ = 0;
  std::int64_t boot_realtime_ns_ = 0;
};

Result<std::unique_ptr<Collector>> make_process(const KernelFiles& files, const Options& options) {
  auto settings = process_settings(options);
  if (!settings) {
    return tl::make_unexpected(settings.error());
  }
  auto rules = group_rules(options);
  if (!rules) {
    return tl::make_unexpected(rules.error());
  }
  configure_group_rules(options);
  if (settings->source != SourceChoice::kProcfs) {
    open_task_kprobes(files);
  }
  return std::make_unique<ProcessCollector>(files, *settings, std::move(*rules));
}

}  // namespace

const CollectorInfo kProcessCollector{
    .name = "process",
    .help =
        "Processes by group and the busiest ones alone: storage and system call I/O, CPU, "
        "faults, memory, waits.",
    .interval_ms = 1'000,
    .lane = Lane::kWorker,
    .refresh = false,
    .stretch = true,
    .options = process_options(),
    .make = make_process,
    .metrics = ProcessTables::docs,
};

}  // namespace tidegauge
