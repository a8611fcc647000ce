// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/stat.h"

#include "collectors/procfs/proc_stat.h"

namespace tidegauge {

namespace {

constexpr Column<SystemStat> kColumns[] = {
    {"node_intr_total", "Interrupts served.", MetricKind::kCounter, kUnit, &SystemStat::interrupts},
    {"node_context_switches_total", "Context switches.", MetricKind::kCounter, kUnit,
     &SystemStat::context_switches},
    {"node_forks_total", "Processes and threads created.", MetricKind::kCounter, kUnit,
     &SystemStat::forks},
    {"node_boot_time_seconds", "Unix time of the boot.", MetricKind::kGauge, kUnit,
     &SystemStat::boot_time_seconds},
    {"node_procs_running", "Tasks that run or wait for a CPU.", MetricKind::kGauge, kUnit,
     &SystemStat::procs_running},
    {"node_procs_blocked", "Tasks that wait for I/O.", MetricKind::kGauge, kUnit,
     &SystemStat::procs_blocked},
};

// kernel/softirq.c, under the names node_exporter gives them.
constexpr std::array<std::string_view, kSoftirqVectors> kVectors = {
    "hi",           "timer",   "net_tx", "net_rx",  "block",
    "block_iopoll", "tasklet", "sched",  "hrtimer", "rcu"};

constexpr std::string_view kSoftirqHelp = "Soft interrupts served, by vector.";

constexpr OptionSpec kOptions[] = {
    {.key = "softirq",
     .flag = "softirq",
     .type = OptionType::kBool,
     .default_text = "true",
     .help = "Export soft interrupts by vector."},
};

class StatCollector final : public Collector {
 public:
  StatCollector(const KernelFiles& files, bool softirq)
      : reader_(shared_proc_stat(files)), softirq_(softirq) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    return reader_->with(context, [&](const ProcStat& stat) -> Result<void> {
      table_.begin();
      table_.add({}, stat.system);
      out.tables.push_back(table_.take());
      if (softirq_ && stat.system.softirqs) {
        vectors_.begin();
        for (std::size_t i = 0; i < kSoftirqVectors; ++i) {
          vectors_.add({kVectors[i]}, (*stat.system.softirqs)[i]);
        }
        out.tables.push_back(vectors_.take());
      }
      return {};
    });
  }

 private:
  std::shared_ptr<ProcStatReader> reader_;
  bool softirq_;
  StructTable<SystemStat> table_{kColumns};
  ValueTable vectors_{
      "node_softirqs_total", std::string(kSoftirqHelp), MetricKind::kCounter, {"vector"}};
};

}  // namespace

const CollectorInfo kStatCollector{
    .name = "stat",
    .help = "Interrupts, context switches, forks and running tasks (/proc/stat).",
    .interval_ms = 1000,
    .options = kOptions,
    .make = [](const KernelFiles& files,
               const Options& options) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<StatCollector>(files, options.boolean("softirq"));
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<SystemStat>(docs, kColumns, {});
          docs.push_back(
              {"node_softirqs_total", MetricKind::kCounter, {"vector"}, std::string(kSoftirqHelp)});
          return docs;
        },
};

}  // namespace tidegauge
