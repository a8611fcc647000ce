// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/interrupts.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "collectors/core/filter.h"
#include "collectors/core/text.h"
#include "collectors/procfs/cpu_list.h"

namespace tidegauge {

namespace {

// On a machine with hundreds of CPUs nearly all counts are zero and stay so, and they would make most
// of the exposition: beyond this many series they are left out.
constexpr std::size_t kMaxSeriesWithZeros = 50'000;
// A line of 1 152 CPUs has 12.7 kB; NVMe machines have thousands of lines.
constexpr std::size_t kMaxInterruptsBytes = 64U * 1024 * 1024;

constexpr std::string_view kFile = "interrupts";
constexpr std::string_view kName = "node_interrupts_total";
constexpr std::string_view kHelp = "Interrupts served since boot, by CPU and source.";

// One column per CPU: with 1 152 CPUs a row per series would hold each name 1 152 times.
std::vector<ColumnInfo> cpu_columns(std::size_t cpus) {
  std::vector<ColumnInfo> columns(cpus);
  for (std::size_t i = 0; i < cpus; ++i) {
    columns[i].family = kName;
    columns[i].help = kHelp;
    columns[i].kind = MetricKind::kCounter;
    // node_exporter's label is the column's place, not the header's number. They differ while a CPU
    // is offline.
    columns[i].labels.push_back({"cpu", std::to_string(i)});
  }
  return columns;
}

bool is_number(std::string_view name) { return parse_signed(name).has_value(); }

class InterruptsCollector final : public Collector {
 public:
  InterruptsCollector(const KernelFiles& files, NameFilter filter, bool include_zeros)
      : file_(files.proc_file("interrupts")),
        filter_(std::move(filter)),
        include_zeros_(include_zeros) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer, kMaxInterruptsBytes);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_interrupts(*text, interrupts_); !parsed) {
      return parsed;
    }
    if (!table_ || table_->columns().size() != interrupts_.cpus) {
      table_.emplace(std::vector<std::string>{"type", "info", "devices"},
                     cpu_columns(interrupts_.cpus));
    }
    if (!is_planned()) {
      plan();
    }
    table_->begin();
    for (std::size_t i = 0; i < plan_.size(); ++i) {
      if (plan_[i].shown) {
        add_row(i);
      }
    }
    out.tables.push_back(table_->take());
    return {};
  }

 private:
  struct PlannedLine {
    std::string name;
    std::string details;
    InterruptLabels labels;
    bool shown = true;
  };

  // Whether the lines are those of the last run: labels and filters are worked out only when not.
  [[nodiscard]] bool is_planned() const {
    if (plan_.size() != interrupts_.lines.size()) {
      return false;
    }
    for (std::size_t i = 0; i < plan_.size(); ++i) {
      if (plan_[i].name != interrupts_.lines[i].name ||
          plan_[i].details != interrupts_.lines[i].details) {
        return false;
      }
    }
    return true;
  }

  void plan() {
    plan_.clear();
    std::unordered_map<std::string_view, std::size_t> last_of_name;
    for (const Interrupt& line : interrupts_.lines) {
      PlannedLine planned{std::string(line.name), std::string(line.details), interrupt_labels(line),
                          true};
      planned.shown =
          !filter_.ignores(planned.name + ";" + planned.labels.info + ";" + planned.labels.devices);
      const auto [at, is_new] = last_of_name.try_emplace(line.name, plan_.size());
      if (!is_new) {
        plan_[at->second].shown = false;  // as with node_exporter the last one of a name counts
        at->second = plan_.size();
      }
      plan_.push_back(std::move(planned));
    }
  }

  void add_row(std::size_t line) {
    const PlannedLine& planned = plan_[line];
    table_->row({planned.name, planned.labels.info, planned.labels.devices});
    const std::uint64_t* counts = interrupts_.counts.data() + line * interrupts_.cpus;
    const bool zeros = include_zeros_ && interrupts_.cpus * plan_.size() <= kMaxSeriesWithZeros;
    for (std::size_t cpu = 0; cpu < interrupts_.cpus; ++cpu) {
      if (zeros || counts[cpu] != 0) {
        table_->set(cpu, counts[cpu]);
      }
    }
  }

  KernelFile file_;
  NameFilter filter_;
  bool include_zeros_;
  Interrupts interrupts_;
  std::vector<PlannedLine> plan_;
  std::optional<RowTable> table_;
};

constexpr OptionSpec kOptions[] = {
    {"name_include", "name-include", OptionType::kRegex, "",
     "Interrupts to show, matched against name;info;devices."},
    {"name_exclude", "name-exclude", OptionType::kRegex, "",
     "Interrupts to leave out, matched against name;info;devices."},
    {"include_zeros", "include-zeros", OptionType::kBool, "true",
     "Show interrupts that a CPU never served, unless that makes more than 50 000 series."},
};

// CPUs named in the header; 0 when it is none.
std::size_t count_header(std::string_view line) {
  std::size_t count = 0;
  for (auto field = next_field(line); !field.empty(); field = next_field(line)) {
    if (!field.starts_with("CPU") || !is_number(field.substr(3))) {
      return 0;
    }
    ++count;
  }
  return count;
}

// Appends the leading numbers of `rest`, at most `most`, and takes them off. The file reaches
// megabytes, hence a loop of its own. Stops before what is no number.
std::size_t take_counts(std::string_view& rest, std::size_t most,
                        std::vector<std::uint64_t>& counts) {
  const char* at = rest.data();
  const char* const end = at + rest.size();
  std::size_t taken = 0;
  while (taken < most) {
    const char* field = at;
    while (field != end && is_blank(*field)) {
      ++field;
    }
    const char* digit = field;
    std::uint64_t value = 0;
    bool fits = true;
    while (digit != end && *digit >= '0' && *digit <= '9') {
      fits = fits && !__builtin_mul_overflow(value, std::uint64_t{10}, &value) &&
             !__builtin_add_overflow(value, static_cast<std::uint64_t>(*digit - '0'), &value);
      ++digit;
    }
    if (digit == field || !fits || (digit != end && !is_blank(*digit))) {
      break;
    }
    counts.push_back(value);
    ++taken;
    at = digit;
  }
  rest = {at, static_cast<std::size_t>(end - at)};
  return taken;
}

std::size_t count_fields(std::string_view rest) {
  std::size_t count = 0;
  while (!next_field(rest).empty()) {
    ++count;
  }
  return count;
}

// Whether a line with fewer counts than CPUs is one that the kernel writes: ERR and MIS have a
// single number, arm's FIQ a name. Anything else was cut or is garbage.
bool may_lack_counts(std::string_view name, std::size_t counts, std::string_view rest,
                     std::size_t cpus) {
  return !is_number(name) && counts < 2 && counts + count_fields(rest) <= cpus;
}

}  // namespace

//            CPU0       CPU1
//  24:          1          0  IO-APIC   5-edge      ACPI:Ged
// LOC:     330857     350685   Local timer interrupts
// ERR:          0
Result<void> parse_interrupts(std::string_view text, Interrupts& out) {
  out.lines.clear();
  out.counts.clear();
  LineReader lines(text);
  std::string_view line;
  out.cpus = lines.next(line) ? count_header(line) : 0;
  if (out.cpus == 0 || out.cpus > kMaxCpus) {
    return malformed(kFile, 1, "a header of CPUs");
  }
  while (lines.next(line)) {
    // No blank need stand between the colon and a count (arm64).
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) {
      continue;
    }
    std::string_view name = line.substr(0, colon);
    name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
    std::string_view rest = line.substr(colon + 1);
    const std::size_t begin = out.counts.size();
    const std::size_t counts = take_counts(rest, out.cpus, out.counts);
    rest = trim(rest);
    if (counts < out.cpus && !may_lack_counts(name, counts, rest, out.cpus)) {
      return malformed(kFile, lines.number(), "a count for each CPU of the header");
    }
    if (counts < out.cpus || rest.empty()) {
      out.counts.resize(begin);
      continue;
    }
    out.lines.push_back({name, rest});
  }
  if (out.lines.empty()) {
    return malformed(kFile, lines.number(), "a line per interrupt");
  }
  return {};
}

InterruptLabels interrupt_labels(const Interrupt& interrupt) {
  InterruptLabels labels;
  std::string_view rest = interrupt.details;
  const bool numbered = is_number(interrupt.name);
  if (numbered) {
    labels.info = next_field(rest);
  }
  std::string& words = numbered ? labels.devices : labels.info;
  for (auto word = next_field(rest); !word.empty(); word = next_field(rest)) {
    words.append(words.empty() ? "" : " ").append(word);
  }
  return labels;
}

const CollectorInfo kInterruptsCollector{
    .name = "interrupts",
    .help = "Interrupts by CPU and source (/proc/interrupts).",
    .lane = Lane::kWorker,  // with 1 152 CPUs the kernel takes tens of milliseconds to print it
    .options = kOptions,
    .make = [](const KernelFiles& files,
               const Options& options) -> Result<std::unique_ptr<Collector>> {
      auto filter =
          NameFilter::make(options.text("name_include"), options.text("name_exclude"), "name_");
      if (!filter) {
        return tl::make_unexpected(filter.error());
      }
      return std::make_unique<InterruptsCollector>(files, std::move(*filter),
                                                   options.boolean("include_zeros"));
    },
    .metrics =
        [] {
          return std::vector<MetricDoc>{{std::string(kName),
                                         MetricKind::kCounter,
                                         {"type", "info", "devices", "cpu"},
                                         std::string(kHelp)}};
        },
};

}  // namespace tidegauge
