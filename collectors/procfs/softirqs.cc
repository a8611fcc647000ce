// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/softirqs.h"

#include <variant>

#include "collectors/core/text.h"
#include "collectors/procfs/cpu_list.h"

namespace tidegauge {

namespace {

constexpr std::string_view kFile = "softirqs";
constexpr std::string_view kName = "node_softirqs_functions_total";
constexpr std::string_view kHelp = "Softirqs handled since boot, by CPU and vector.";
constexpr MetricKind kC = MetricKind::kCounter;

// The constant label is also the line's name in the file.
constexpr Column<CpuSoftirqs> kColumns[] = {
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::hi, {"type", "HI"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::timer, {"type", "TIMER"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::net_tx, {"type", "NET_TX"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::net_rx, {"type", "NET_RX"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::block, {"type", "BLOCK"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::irq_poll, {"type", "IRQ_POLL"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::block_iopoll, {"type", "BLOCK_IOPOLL"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::tasklet, {"type", "TASKLET"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::sched, {"type", "SCHED"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::hrtimer, {"type", "HRTIMER"}},
    {kName, kHelp, kC, kUnit, &CpuSoftirqs::rcu, {"type", "RCU"}},
};

class SoftirqsCollector final : public Collector {
 public:
  explicit SoftirqsCollector(const KernelFiles& files) : file_(files.proc_file("softirqs")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_softirqs(*text, cpus_); !parsed) {
      return parsed;
    }
    table_.begin();
    for (std::size_t i = 0; i < cpus_.size(); ++i) {
      // node_exporter's label is the column's place, not the header's number. They differ only
      // where the possible CPUs have gaps.
      table_.add({NumberText(i).view()}, cpus_[i]);
    }
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  KernelFile file_;
  std::vector<CpuSoftirqs> cpus_;
  StructTable<CpuSoftirqs> table_{kColumns, {"cpu"}};
};

template <class V>
bool parse_counts(std::string_view rest, V CpuSoftirqs::*member, std::vector<CpuSoftirqs>& cpus) {
  for (CpuSoftirqs& cpu : cpus) {
    const auto count = next_unsigned(rest);
    if (!count) {
      return false;
    }
    if constexpr (std::is_same_v<V, std::uint64_t> ||
                  std::is_same_v<V, std::optional<std::uint64_t>>) {
      cpu.*member = *count;
    }
  }
  return true;
}

// CPUs named in the header; 0 when it is none.
std::size_t count_header(std::string_view line) {
  std::size_t count = 0;
  for (auto field = next_field(line); !field.empty(); field = next_field(line)) {
    if (!field.starts_with("CPU")) {
      return 0;
    }
    ++count;
  }
  return count;
}

bool is_optional(const Column<CpuSoftirqs>& column) {
  return std::holds_alternative<std::optional<std::uint64_t> CpuSoftirqs::*>(column.member);
}

}  // namespace

//                     CPU0       CPU1
//           HI:          0          0
//        TIMER:      44915      52559
//          RCU:     102997     124423
Result<void> parse_softirqs(std::string_view text, std::vector<CpuSoftirqs>& cpus) {
  cpus.clear();
  LineReader lines(text);
  std::string_view line;
  const std::size_t columns = lines.next(line) ? count_header(line) : 0;
  if (columns == 0 || columns > kMaxCpus) {
    return malformed(kFile, 1, "a header of CPUs");
  }
  cpus.resize(columns);
  unsigned seen = 0;
  while (lines.next(line)) {
    std::string_view name = next_field(line);
    if (name.empty()) {
      continue;
    }
    if (!name.ends_with(':')) {
      return malformed(kFile, lines.number(), "a name that ends with a colon");
    }
    name.remove_suffix(1);
    for (std::size_t i = 0; i < std::size(kColumns); ++i) {
      if (name != kColumns[i].label.value) {
        continue;
      }
      seen |= 1U << i;
      if (!std::visit([&](auto member) { return parse_counts(line, member, cpus); },
                      kColumns[i].member)) {
        return malformed(kFile, lines.number(), "a count for each CPU of the header");
      }
    }
  }
  for (std::size_t i = 0; i < std::size(kColumns); ++i) {
    if ((seen & (1U << i)) == 0 && !is_optional(kColumns[i])) {
      return malformed(kFile, lines.number(),
                       "a line " + std::string(kColumns[i].label.value) + " by here");
    }
  }
  return {};
}

const CollectorInfo kSoftirqsCollector{
    .name = "softirqs",
    .help = "Softirqs by CPU and vector (/proc/softirqs).",
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<SoftirqsCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<CpuSoftirqs>(docs, kColumns, {"cpu"});
          return docs;
        },
};

}  // namespace tidegauge
