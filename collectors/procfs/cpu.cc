// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cpu.h"

#include <algorithm>

#include "collectors/core/filter.h"
#include "collectors/procfs/cpu_sysfs.h"
#include "collectors/procfs/cpuinfo.h"

namespace tidegauge {

namespace {

constexpr std::uint64_t kHotplugTicks = 300;  // 3 s in USER_HZ
constexpr MetricKind kC = MetricKind::kCounter;
constexpr std::string_view kName = "node_cpu_seconds_total";
constexpr std::string_view kHelp = "Time the CPU spent in each mode; user and nice include guests.";
constexpr std::string_view kGuestName = "node_cpu_guest_seconds_total";
constexpr std::string_view kGuestHelp =
    "Time the CPU ran virtual machines, which the modes user and nice include.";

constexpr Column<CpuTimes> kColumns[] = {
    {kName, kHelp, kC, kTicks, &CpuTimes::user_ticks, {"mode", "user"}},
    {kName, kHelp, kC, kTicks, &CpuTimes::nice_ticks, {"mode", "nice"}},
    {kName, kHelp, kC, kTicks, &CpuTimes::system_ticks, {"mode", "system"}},
    {kName, kHelp, kC, kTicks, &CpuTimes::idle_ticks, {"mode", "idle"}},
    {kName, kHelp, kC, kTicks, &CpuTimes::iowait_ticks, {"mode", "iowait"}},
    {kName, kHelp, kC, kTicks, &CpuTimes::irq_ticks, {"mode", "irq"}},
    {kName, kHelp, kC, kTicks, &CpuTimes::softirq_ticks, {"mode", "softirq"}},
    {kName, kHelp, kC, kTicks, &CpuTimes::steal_ticks, {"mode", "steal"}},
    {kGuestName, kGuestHelp, kC, kTicks, &CpuTimes::guest_ticks, {"mode", "user"}},
    {kGuestName, kGuestHelp, kC, kTicks, &CpuTimes::guest_nice_ticks, {"mode", "nice"}},
};
constexpr std::size_t kGuestColumns = 2;

std::span<const Column<CpuTimes>> columns(bool guest) {
  return std::span(kColumns).first(std::size(kColumns) - (guest ? 0 : kGuestColumns));
}

// One CPU's step.
void hold(const CpuTimes& now, CpuTimes& held) {
  if (held.idle_ticks >= now.idle_ticks && held.idle_ticks - now.idle_ticks >= kHotplugTicks) {
    held = now;
    return;
  }
  for (const auto member : {&CpuTimes::user_ticks, &CpuTimes::nice_ticks, &CpuTimes::system_ticks,
                            &CpuTimes::idle_ticks, &CpuTimes::iowait_ticks, &CpuTimes::irq_ticks,
                            &CpuTimes::softirq_ticks, &CpuTimes::steal_ticks,
                            &CpuTimes::guest_ticks, &CpuTimes::guest_nice_ticks}) {
    held.*member = std::max(held.*member, now.*member);
  }
}

class CpuCollector final : public Collector {
 public:
  CpuCollector(const KernelFiles& files, bool guest)
      : reader_(shared_proc_stat(files)), table_(columns(guest), {"cpu"}), sysfs_(files) {}

  void show_info(const KernelFiles& files, std::optional<NameFilter> flags,
                 std::optional<NameFilter> bugs) {
    info_.emplace(files, std::move(flags), std::move(bugs));
    wanted_ = want_cpu_info(files);
  }

  Result<void> collect(CollectContext& context, Section& out) override {
    auto read = reader_->with(context, [this](const ProcStat& stat) -> Result<void> {
      // Remembered until acted upon: a failed run must not lose it.
      cpus_changed_ = hold_cpu_times(stat.cpus, held_) || cpus_changed_;
      return {};
    });
    if (!read) {
      return read;
    }
    table_.begin();
    for (const HeldCpuTimes& cpu : held_) {
      table_.add({cpu.number}, cpu.times);
    }
    out.tables.push_back(table_.take());
    // A file of sysfs that cannot be read is not worth losing the times for; one that says nonsense is
    // an error like any other.
    const std::size_t tables = out.tables.size();
    if (auto done = sysfs_.collect(context, cpus_changed_, out); !done) {
      if (done.error().kind == ErrorKind::kMalformed) {
        return done;
      }
      out.tables.resize(tables);
    }
    if (info_) {
      if (auto done = info_->collect(context, cpus_changed_, out); !done) {
        return done;
      }
    }
    cpus_changed_ = false;
    return {};
  }

 private:
  std::shared_ptr<ProcStatReader> reader_;
  StructTable<CpuTimes> table_;
  std::vector<HeldCpuTimes> held_;
  bool cpus_changed_ = false;
  CpuSysfs sysfs_;
  std::optional<CpuInfoTables> info_;
  std::shared_ptr<CpuInfoWanted> wanted_;
};

constexpr OptionSpec kOptions[] = {
    {"guest", "guest", OptionType::kBool, "true", "Show the time spent in virtual machines."},
    {"info", "info", OptionType::kBool, "false",
     "Show make and model of each CPU and, with the collector cpufreq, its clock rate, from "
     "/proc/cpuinfo."},
    {"info_flags_include", "info.flags-include", OptionType::kRegex, "",
     "Features of the CPU to show; switches info on."},
    {"info_bugs_include", "info.bugs-include", OptionType::kRegex, "",
     "Defects of the CPU to show; switches info on."},
};

// None when the option is empty.
Result<std::optional<NameFilter>> include_filter(const Options& options, std::string_view stem) {
  const std::string& expression = options.text(std::string(stem) + "include");
  if (expression.empty()) {
    return std::nullopt;
  }
  auto filter = NameFilter::make(expression, "", stem);
  if (!filter) {
    return tl::make_unexpected(filter.error());
  }
  return std::move(*filter);
}

Result<std::unique_ptr<Collector>> make_cpu(const KernelFiles& files, const Options& options) {
  auto flags = include_filter(options, "info_flags_");
  if (!flags) {
    return tl::make_unexpected(flags.error());
  }
  auto bugs = include_filter(options, "info_bugs_");
  if (!bugs) {
    return tl::make_unexpected(bugs.error());
  }
  auto collector = std::make_unique<CpuCollector>(files, options.boolean("guest"));
  if (options.boolean("info") || *flags || *bugs) {
    collector->show_info(files, std::move(*flags), std::move(*bugs));
  }
  return collector;
}

}  // namespace

bool hold_cpu_times(std::span<const NumberedCpuTimes> now, std::vector<HeldCpuTimes>& held) {
  const bool changed = !std::equal(
      now.begin(), now.end(), held.begin(), held.end(),
      [](const NumberedCpuTimes& a, const HeldCpuTimes& b) { return a.number == b.number; });
  if (changed) {
    std::vector<HeldCpuTimes> next;
    next.reserve(now.size());
    for (const NumberedCpuTimes& cpu : now) {
      const auto old = std::find_if(held.begin(), held.end(), [&](const HeldCpuTimes& before) {
        return before.number == cpu.number;
      });
      next.push_back({std::string(cpu.number), old == held.end() ? cpu.times : old->times});
    }
    held = std::move(next);
  }
  for (std::size_t i = 0; i < held.size(); ++i) {
    hold(now[i].times, held[i].times);
  }
  return changed;
}

const CollectorInfo kCpuCollector{
    .name = "cpu",
    .help = "Time of each CPU by mode, throttling, isolation and make (/proc/stat, sysfs).",
    .interval_ms = 1000,
    .options = kOptions,
    .make = make_cpu,
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<CpuTimes>(docs, kColumns, {"cpu"});
          CpuSysfs::describe(docs);
          CpuInfoTables::describe(docs);
          return docs;
        },
};

}  // namespace tidegauge
