// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/ebpf.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>

#include "collectors/ebpf/counting_windows.h"
#include "collectors/ebpf/kprobe_events.h"
#include "collectors/ebpf/owner_maps.h"
#include "collectors/ebpf/program_report.h"
#include "collectors/ebpf/run_time_counting.h"

namespace tidegauge {

namespace {

constexpr std::string_view kInfoHelp =
    "A BPF program that is attached or waits for its kernel module, or was given up; reason: why "
    "it "
    "does not run. Value 1.";
constexpr std::string_view kFeatureHelp =
    "What is measured with BPF and in which tier: trampoline (fentry), kprobe, tracepoint or off; "
    "reason: why in no better one. Value 1.";
constexpr std::string_view kSecondsHelp =
    "Time the program ran, on all CPUs; estimated from 5 s in every 2 minutes where "
    "collectors.ebpf.statistics is sampled. Needs CAP_SYS_ADMIN at the start or "
    "kernel.bpf_stats_enabled.";
constexpr std::string_view kRunsHelp = "Runs of the program, told in the same way.";
constexpr std::string_view kCountedHelp =
    "1 when the kernel counts the time BPF programs take, sampled or always, 0 when it may not be "
    "asked to; then the budget does not hold.";
constexpr std::string_view kShareHelp =
    "Share of the machine's CPU time that the daemon's BPF programs took when it was last counted, "
    "over some five seconds: 0 to 1.";
constexpr std::string_view kBudgetHelp =
    "Share of the machine's CPU time that they may take before the costliest feature is detached; "
    "0: "
    "any.";
constexpr std::string_view kShedHelp = "Features detached because the programs cost too much.";
constexpr std::string_view kOwnersHelp =
    "Times the kernel's table of who does things was full and was begun anew.";

// While the host sleeps no program runs.
std::int64_t awake_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

class EbpfCollector final : public Collector {
 public:
  EbpfCollector(KernelFiles files, std::int64_t budget_ppm,
                std::unique_ptr<RunTimeCounting> counting)
      : files_(std::move(files)),
        budget_ppm_(budget_ppm),
        counting_(std::move(counting)),
        budget_(budget_ppm) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    hold_runtime(context.boottime_ns);
    const std::vector<SeenProgram> programs = look_at_programs();
    sample(programs);
    fill(programs, out);
    return {};
  }

 private:
  // However often it runs: windows and the budget are of seconds.
  void sample(const std::vector<SeenProgram>& now) {
    const auto switched = read_unsigned_attribute(files_.proc("sys/kernel/bpf_stats_enabled"));
    const bool for_good =
        (switched && *switched != 0) ||
        (counting_ != nullptr && counting_->is_for_good() && counting_->set(true));
    if (windows_.is_open()) {
      look(now, for_good);
      return;
    }
    const std::int64_t asked_ns = awake_ns();
    if (!for_good && !windows_.is_due(asked_ns)) {
      return;
    }
    counted_ = for_good || (counting_ != nullptr && counting_->set(true));
    if (!counted_) {
      windows_.fail(asked_ns);
      return;
    }
    windows_.begin(awake_ns());
    before_ = now;
    // The growth of before was told.
    static_cast<void>(budget_.update(costs_.by_feature(), 0));
  }

  // In an open window.
  void look(const std::vector<SeenProgram>& now, bool for_good) {
    const std::int64_t now_ns = awake_ns();
    if (!for_good && (counting_ == nullptr || !counting_->is_on())) {
      counted_ = false;  // the administrator's switch went off
      windows_.fail(now_ns);
      return;
    }
    if (!windows_.wants_look(now_ns)) {
      return;
    }
    const CountingWindows::Growth growth = windows_.look(now_ns);
    costs_.add(before_, now, 1);
    shown_.add(before_, now, for_good ? 1 : growth.times);
    before_ = now;
    keep_budget(growth.elapsed_ns);
    if (for_good || budget_.is_deciding()) {
      return;
    }
    windows_.end();
    counted_ = counting_->set(false);
  }

  // Its table of owners is tended here; it lives while others need it.
  void hold_runtime(std::int64_t now_ns) {
    constexpr std::int64_t kRetryNs = 60'000'000'000;
    if (runtime_ == nullptr && now_ns >= next_try_ns_) {
      next_try_ns_ = now_ns + kRetryNs;
      auto runtime = shared_ebpf_runtime(files_);
      if (runtime) {
        runtime_ = std::move(*runtime);
        refused_.clear();
      } else {
        refused_ = runtime.error().message();
      }
      ProgramSources::all().refuse(refused_);
    }
    if (runtime_ != nullptr) {
      evictions_ += runtime_->make_room() ? 1U : 0U;
    }
  }

  void keep_budget(std::int64_t elapsed_ns) {
    const long cpus = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
    const auto cpu_ns = static_cast<std::uint64_t>(elapsed_ns) * static_cast<std::uint64_t>(cpus);
    const std::vector<FeatureCost> features = costs_.by_feature();
    const auto victim = budget_.update(features, cpu_ns);
    if (!victim) {
      return;
    }
    ++shed_;
    ProgramSources::all().for_each([&](ProgramSource& source) {
      if (source.object() == features[*victim].object) {
        source.shed(features[*victim].feature, "over the budget of BPF programs");
      }
    });
  }

  void fill(const std::vector<SeenProgram>& programs, Section& out) {
    for (auto* table : {&info_, &feature_, &seconds_, &runs_, &counted_table_, &share_,
                        &budget_table_, &shed_table_, &owners_}) {
      table->begin();
    }
    for (const SeenProgram& seen : programs) {
      const ProgramStatus& status = seen.status;
      const bool shown = status.fd >= 0 || status.state == ProgramState::kShed;
      if (!shown) {
        continue;
      }
      info_.add({status.name, tier_name(status.tier), status.feature, state_name(status.state),
                 status.reason},
                1);
      if (counted_ && status.fd >= 0) {
        seconds_.add({status.name, status.feature}, shown_.of(seen).run_ns);
        runs_.add({status.name, status.feature}, shown_.of(seen).runs);
      }
    }
    for (const SeenFeature& feature : features_of(programs)) {
      feature_.add({feature.feature, tier_name(feature.tier), feature.reason}, 1);
    }
    if (!refused_.empty()) {
      feature_.add({"all", tier_name(Tier::kOff), refused_}, 1);
    }
    counted_table_.add({}, counted_ ? 1 : 0);
    if (counted_ && budget_.used_ppm()) {
      share_.add({}, *budget_.used_ppm());
    }
    budget_table_.add({}, static_cast<std::uint64_t>(budget_ppm_));
    shed_table_.add({}, shed_);
    owners_.add({}, evictions_);
    for (auto* table : {&info_, &feature_, &seconds_, &runs_, &counted_table_, &share_,
                        &budget_table_, &shed_table_, &owners_}) {
      out.tables.push_back(table->take());
    }
  }

  static constexpr Scale kMillionths{1, 1'000'000};

  KernelFiles files_;
  std::int64_t budget_ppm_;
  std::unique_ptr<RunTimeCounting> counting_;
  CountingWindows windows_;
  ProgramCosts costs_;               // as counted
  ProgramCosts shown_;               // with what was not counted
  std::vector<SeenProgram> before_;  // at the last look of the window
  EbpfBudget budget_;
  bool counted_ = false;
  std::shared_ptr<EbpfRuntime> runtime_;
  std::string refused_;
  std::int64_t next_try_ns_ = 0;
  std::uint64_t shed_ = 0;
  std::uint64_t evictions_ = 0;
  ValueTable info_{"tidegauge_ebpf_program_info",
                   std::string(kInfoHelp),
                   MetricKind::kGauge,
                   {"program", "tier", "feature", "state", "reason"}};
  ValueTable feature_{"tidegauge_ebpf_feature_info",
                      std::string(kFeatureHelp),
                      MetricKind::kGauge,
                      {"feature", "tier", "reason"}};
  ValueTable seconds_{"tidegauge_ebpf_program_run_seconds_total",
                      std::string(kSecondsHelp),
                      MetricKind::kCounter,
                      {"program", "feature"},
                      kNanoseconds};
  ValueTable runs_{"tidegauge_ebpf_program_runs_total",
                   std::string(kRunsHelp),
                   MetricKind::kCounter,
                   {"program", "feature"}};
  ValueTable counted_table_{
      "tidegauge_ebpf_run_time_counted", std::string(kCountedHelp), MetricKind::kGauge, {}};
  ValueTable share_{
      "tidegauge_ebpf_cpu_ratio", std::string(kShareHelp), MetricKind::kGauge, {}, kMillionths};
  ValueTable budget_table_{"tidegauge_ebpf_cpu_budget_ratio",
                           std::string(kBudgetHelp),
                           MetricKind::kGauge,
                           {},
                           kMillionths};
  ValueTable shed_table_{
      "tidegauge_ebpf_shed_features_total", std::string(kShedHelp), MetricKind::kCounter, {}};
  ValueTable owners_{"tidegauge_ebpf_owner_table_resets_total",
                     std::string(kOwnersHelp),
                     MetricKind::kCounter,
                     {}};
};

constexpr std::string_view kTierWords[] = {"trampoline", "kprobe", "tracepoint", "off"};
constexpr std::string_view kStatisticsWords[] = {"sampled", "always", "off"};

constexpr OptionSpec kOptions[] = {
    {.key = "budget_ppm",
     .flag = "budget-ppm",
     .type = OptionType::kInteger,
     .default_text = "30000",
     .help =
         "Share of the machine's CPU time that the BPF programs may take, in millionths (30000: "
         "3%; at 100 000 requests a second to a disk two CPUs spend 2%). Above it for three runs, "
         "the feature that costs most is detached until the next "
         "start. 0: any.",
     .min = 0,
     .max = 1'000'000},
    {.key = "statistics",
     .flag = "statistics",
     .type = OptionType::kChoice,
     .default_text = "sampled",
     .help = "When the kernel counts what BPF programs cost, which takes some 35 ns more for each "
             "run of any BPF program of the host. sampled: in windows of one run of this collector "
             "every 2 minutes, longer while the budget is exceeded; a small child process keeps "
             "CAP_SYS_ADMIN for that. always: all the time. off: never; the budget then only holds "
             "where kernel.bpf_stats_enabled is 1. Takes CAP_SYS_ADMIN at the start, and a change "
             "a restart.",
     .words = kStatisticsWords},
    {.key = "highest_tier",
     .flag = "highest-tier",
     .type = OptionType::kChoice,
     .default_text = "trampoline",
     .help = "The best form of BPF programs to try: each measurement, of all collectors, has the "
             "first that the kernel allows from here on. trampoline (fentry), kprobe, tracepoint; "
             "off: no programs, and processes are read from /proc. A change takes a restart.",
     .words = kTierWords},
};

Result<std::unique_ptr<Collector>> make_ebpf(const KernelFiles& files, const Options& options) {
  const std::string& statistics = options.text("statistics");
  for (const Tier tier : {Tier::kTrampoline, Tier::kKprobe, Tier::kTracepoint, Tier::kOff}) {
    if (tier_name(tier) == options.text("highest_tier")) {
      set_highest_tier(tier);
    }
  }
  retry_kprobes(files);  // of collectors that were made before
  // Now, while the daemon still has the capability.
  return std::make_unique<EbpfCollector>(
      files, options.integer("budget_ppm"),
      RunTimeCounting::make(statistics == "always" ? CountingChoice::kAlways
                            : statistics == "off"  ? CountingChoice::kOff
                                                   : CountingChoice::kSampled));
}

std::vector<MetricDoc> ebpf_metrics() {
  const auto doc = [](const char* name, MetricKind kind, std::vector<std::string> labels,
                      std::string_view help) {
    return MetricDoc{name, kind, std::move(labels), std::string(help)};
  };
  return {
      doc("tidegauge_ebpf_program_info", MetricKind::kGauge,
          {"program", "tier", "feature", "state", "reason"}, kInfoHelp),
      doc("tidegauge_ebpf_feature_info", MetricKind::kGauge, {"feature", "tier", "reason"},
          kFeatureHelp),
      doc("tidegauge_ebpf_program_run_seconds_total", MetricKind::kCounter, {"program", "feature"},
          kSecondsHelp),
      doc("tidegauge_ebpf_program_runs_total", MetricKind::kCounter, {"program", "feature"},
          kRunsHelp),
      doc("tidegauge_ebpf_run_time_counted", MetricKind::kGauge, {}, kCountedHelp),
      doc("tidegauge_ebpf_cpu_ratio", MetricKind::kGauge, {}, kShareHelp),
      doc("tidegauge_ebpf_cpu_budget_ratio", MetricKind::kGauge, {}, kBudgetHelp),
      doc("tidegauge_ebpf_shed_features_total", MetricKind::kCounter, {}, kShedHelp),
      doc("tidegauge_ebpf_owner_table_resets_total", MetricKind::kCounter, {}, kOwnersHelp),
  };
}

}  // namespace

std::optional<std::size_t> EbpfBudget::update(const std::vector<FeatureCost>& costs,
                                              std::uint64_t cpu_ns) {
  std::uint64_t total_ns = 0;
  std::uint64_t most_ns = 0;
  std::optional<std::size_t> costliest;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    const auto before = std::find_if(last_.begin(), last_.end(), [&](const FeatureCost& cost) {
      return cost.object == costs[i].object && cost.feature == costs[i].feature;
    });
    // One that was reloaded begins at 0.
    const std::uint64_t base =
        before == last_.end() || before->run_ns > costs[i].run_ns ? 0 : before->run_ns;
    const std::uint64_t grown_ns = costs[i].run_ns - base;
    total_ns += grown_ns;
    if (grown_ns > most_ns && costs[i].can_be_shed) {
      most_ns = grown_ns;
      costliest = i;
    }
  }
  const bool is_first = !std::exchange(has_last_, true);
  last_ = costs;
  if (is_first || cpu_ns == 0) {
    return std::nullopt;
  }
  used_ppm_ =
      static_cast<std::uint64_t>(static_cast<double>(total_ns) / static_cast<double>(cpu_ns) * 1e6);
  over_ = limit_ppm_ != 0 && *used_ppm_ > static_cast<std::uint64_t>(limit_ppm_) ? over_ + 1 : 0;
  if (over_ < kPatience) {
    return std::nullopt;
  }
  over_ = 0;
  return costliest;
}

const CollectorInfo kEbpfCollector{
    .name = "ebpf",
    .help = "The daemon's BPF programs: in which tier each runs and why, and what it costs.",
    .interval_ms = 5'000,
    .lane = Lane::kWorker,
    .refresh = false,
    .options = kOptions,
    .make = make_ebpf,
    .metrics = ebpf_metrics,
};

}  // namespace tidegauge
