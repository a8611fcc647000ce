// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/schedstat.h"

#include "collectors/core/text.h"
#include "collectors/procfs/cpu_list.h"

namespace tidegauge {

namespace {

constexpr std::string_view kFile = "schedstat";
// Older ones have other columns and count in jiffies (Documentation/scheduler/sched-stats).
constexpr std::uint64_t kOldestVersion = 14;
// sched_yield, schedule and wake-up counts; later versions zero some but keep their places.
constexpr int kLeadingCounts = 6;

constexpr Column<CpuSchedstat> kColumns[] = {
    {"node_schedstat_running_seconds_total", "Time that tasks ran on the CPU.",
     MetricKind::kCounter, kNanoseconds, &CpuSchedstat::running_ns},
    {"node_schedstat_waiting_seconds_total",
     "Time that runnable tasks waited for the CPU, summed over the tasks.", MetricKind::kCounter,
     kNanoseconds, &CpuSchedstat::waiting_ns},
    {"node_schedstat_timeslices_total", "Timeslices run on the CPU.", MetricKind::kCounter, kUnit,
     &CpuSchedstat::timeslices},
};

class SchedstatCollector final : public Collector {
 public:
  explicit SchedstatCollector(const KernelFiles& files) : file_(files.proc_file("schedstat")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_schedstat(*text, cpus_); !parsed) {
      return parsed;
    }
    table_.begin();
    for (const CpuSchedstat& cpu : cpus_) {
      table_.add({NumberText(cpu.cpu).view()}, cpu);
    }
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  KernelFile file_;
  std::vector<CpuSchedstat> cpus_;
  StructTable<CpuSchedstat> table_{kColumns, {"cpu"}};
};

bool parse_cpu(std::string_view rest, CpuSchedstat& cpu) {
  for (int i = 0; i < kLeadingCounts; ++i) {
    if (!next_unsigned(rest)) {
      return false;
    }
  }
  for (std::uint64_t CpuSchedstat::*member :
       {&CpuSchedstat::running_ns, &CpuSchedstat::waiting_ns, &CpuSchedstat::timeslices}) {
    const auto value = next_unsigned(rest);
    if (!value) {
      return false;
    }
    cpu.*member = *value;
  }
  return true;
}

}  // namespace

// version 15
// timestamp 4321098765
// cpu0 0 0 0 0 0 0 2045936778163039 343796328169361 4767485306
// domain0 00000000,00000003 212499247 210112015 1861015 ...
Result<void> parse_schedstat(std::string_view text, std::vector<CpuSchedstat>& cpus) {
  cpus.clear();
  LineReader lines(text);
  std::string_view line;
  const bool any = lines.next(line);
  const bool has_version = any && next_field(line) == "version";
  const auto version = has_version ? next_unsigned(line) : std::nullopt;
  if (!version) {
    return malformed(kFile, 1, "version and a number");
  }
  if (*version < kOldestVersion) {
    return tl::make_unexpected(
        Error{ErrorKind::kUnsupported, 0, "schedstat version " + std::to_string(*version)});
  }
  while (lines.next(line)) {
    if (!line.starts_with("cpu")) {
      continue;  // timestamp, domainN and what is to come
    }
    line.remove_prefix(3);
    const auto number = next_unsigned(line);
    if (!number || *number >= kMaxCpus || (!cpus.empty() && *number <= cpus.back().cpu)) {
      return malformed(kFile, lines.number(), "rising CPU numbers");
    }
    CpuSchedstat cpu{.cpu = static_cast<std::uint32_t>(*number)};
    if (!parse_cpu(line, cpu)) {
      return malformed(kFile, lines.number(), "nine numbers");
    }
    cpus.push_back(cpu);
  }
  if (cpus.empty()) {
    return malformed(kFile, lines.number(), "a line of a CPU");
  }
  return {};
}

const CollectorInfo kSchedstatCollector{
    .name = "schedstat",
    .help = "Running and waiting time of tasks by CPU (/proc/schedstat).",
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<SchedstatCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<CpuSchedstat>(docs, kColumns, {"cpu"});
          return docs;
        },
};

}  // namespace tidegauge
