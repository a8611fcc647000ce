// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cpuinfo.h"

#include <algorithm>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/procfs/cpu_list.h"
#include "collectors/procfs/shared_by_path.h"

namespace tidegauge {

namespace {

constexpr std::string_view kFile = "cpuinfo";

struct Line {
  std::string_view key;
  std::string_view value;
};

// "model name	: AMD EPYC" -> {"model name", "AMD EPYC"}. The value keeps its trailing blanks,
// which are part of node_exporter's labels.
std::optional<Line> split_line(std::string_view line) {
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view value = line.substr(colon + 1);
  if (value.starts_with(' ')) {
    value.remove_prefix(1);
  }
  return Line{trim(line.substr(0, colon)), value};
}

struct TextKey {
  std::string_view key;
  std::string_view CpuInfo::*member;
};

// Keys whose meaning no two architectures dispute. `model` is apart: powerpc ends its file with one
// for the whole machine.
constexpr TextKey kTextKeys[] = {
    {"vendor_id", &CpuInfo::vendor},
    {"vendor", &CpuInfo::vendor},
    {"cpu", &CpuInfo::vendor},  // powerpc
    {"cpu family", &CpuInfo::family},
    {"CPU Family", &CpuInfo::family},  // loongarch
    {"model name", &CpuInfo::model_name},
    {"Model Name", &CpuInfo::model_name},  // loongarch
    {"cpu model", &CpuInfo::model_name},   // mips
    {"isa", &CpuInfo::model_name},         // riscv
    {"stepping", &CpuInfo::stepping},
    {"microcode", &CpuInfo::microcode},
    {"cache size", &CpuInfo::cache_size},
    {"physical id", &CpuInfo::package},
    {"core id", &CpuInfo::core},
    {"hart", &CpuInfo::core},  // riscv
    {"flags", &CpuInfo::flags},
    {"bugs", &CpuInfo::bugs},
};

// Several keys for one thing: s390 says dynamic, powerpc "3425.000000MHz", loongarch writes
// capitals, recent x86 kernels "Unknown" for a rate they cannot tell.
bool is_frequency(std::string_view key) {
  return key == "cpu MHz" || key == "cpu MHz dynamic" || key == "CPU MHz" || key == "clock";
}

class CpuInfoParser {
 public:
  explicit CpuInfoParser(std::vector<CpuInfo>& cpus) : cpus_(cpus) {}

  Result<void> parse(std::string_view text) {
    cpus_.clear();
    LineReader lines(text);
    std::string_view raw;
    while (lines.next(raw)) {
      const auto line = split_line(raw);
      if (!line) {
        continue;
      }
      if (first_ && !is_known_beginning(*line)) {
        break;
      }
      first_ = false;
      if (auto done = take(*line, lines.number()); !done) {
        return done;
      }
    }
    if (cpus_.empty()) {
      return malformed(kFile, lines.number(), "a line processor");
    }
    for (CpuInfo& cpu : cpus_) {
      if (cpu.flags.empty()) {
        cpu.flags = common_.flags;
      }
    }
    return {};
  }

 private:
  static bool is_known_beginning(const Line& line) {
    return line.key.starts_with("processor") || line.key == "Processor" ||
           line.key == "system type" || line.key == "vendor_id";
  }

  Result<void> take(const Line& line, std::size_t number) {
    if (line.key == "processor") {
      return begin_cpu(line.value, number);
    }
    if (line.key.starts_with("processor ")) {  // s390: "processor 0: version = FF, ..."
      return begin_cpu(line.key.substr(10), number);
    }
    if (line.key == "cpu number") {  // s390: the details follow in blocks of their own
      return choose_cpu(line.value, number);
    }
    if (line.key == "Processor") {  // arm before 3.8, arm64 before 3.19: one line for all
      common_.model_name = line.value;
    } else if (line.key == "system type") {  // mips, loongarch: one line for all
      common_.vendor = line.value;
    } else if (line.key == "Features" || line.key == "features") {  // arm; s390
      common_.flags = line.value;
    } else if (is_frequency(line.key)) {
      return take_frequency(line.value, number);
    } else {
      take_text(line);
    }
    return {};
  }

  Result<void> begin_cpu(std::string_view text, std::size_t number) {
    const auto cpu = parse_unsigned(trim(text));
    if (!cpu || *cpu >= kMaxCpus || (!cpus_.empty() && *cpu <= cpus_.back().cpu)) {
      return malformed(kFile, number, "rising CPU numbers");
    }
    cpus_.push_back(common_);
    cpus_.back().cpu = static_cast<std::uint32_t>(*cpu);
    current_ = cpus_.size() - 1;
    return {};
  }

  Result<void> choose_cpu(std::string_view text, std::size_t number) {
    const auto cpu = parse_unsigned(trim(text));
    const auto at = std::find_if(cpus_.begin(), cpus_.end(),
                                 [&](const CpuInfo& info) { return cpu && info.cpu == *cpu; });
    if (at == cpus_.end()) {
      return malformed(kFile, number, "the number of a processor named above");
    }
    current_ = static_cast<std::size_t>(at - cpus_.begin());
    return {};
  }

  Result<void> take_frequency(std::string_view text, std::size_t number) {
    if (text.ends_with("MHz")) {
      text.remove_suffix(3);
    }
    const auto mhz = parse_real(trim(text));
    if (!mhz && trim(text) != "Unknown") {
      return malformed(kFile, number, "a clock rate in MHz");
    }
    if (!cpus_.empty()) {
      cpus_[current_].frequency_mhz = mhz;
    }
    return {};
  }

  void take_text(const Line& line) {
    is_powerpc_ = is_powerpc_ || line.key == "cpu";
    CpuInfo& cpu = cpus_.empty() ? common_ : cpus_[current_];
    if (line.key == "model") {
      if (!is_powerpc_) {
        cpu.model = line.value;
      }
      return;
    }
    for (const TextKey& known : kTextKeys) {
      if (line.key == known.key) {
        cpu.*known.member = line.value;
        return;
      }
    }
  }

  std::vector<CpuInfo>& cpus_;
  CpuInfo common_;
  std::size_t current_ = 0;
  bool first_ = true;
  bool is_powerpc_ = false;
};

constexpr std::string_view kInfoName = "node_cpu_info";
constexpr std::string_view kInfoHelp = "Always 1, with what the kernel says of the CPU's make.";
constexpr std::string_view kFlagName = "node_cpu_flag_info";
constexpr std::string_view kFlagHelp = "Always 1, one for each chosen feature of the first CPU.";
constexpr std::string_view kBugName = "node_cpu_bug_info";
constexpr std::string_view kBugHelp = "Always 1, one for each chosen defect of the first CPU.";

std::vector<std::string> info_labels() {
  return {"package", "core",       "cpu",       "vendor",   "family",
          "model",   "model_name", "microcode", "stepping", "cachesize"};
}

void add_words(std::string_view list, const std::optional<NameFilter>& filter, ValueTable& table) {
  table.begin();
  if (!filter) {
    return;
  }
  std::vector<std::string_view> words;
  for (auto word = next_field(list); !word.empty(); word = next_field(list)) {
    if (!filter->ignores(word)) {
      words.push_back(word);
    }
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  for (const std::string_view word : words) {
    table.add({word}, 1);
  }
}

SharedByPath<CpuInfoWanted>& wanted_cpu_infos() {
  // Leaked on purpose: the scheduler's detached threads may outlive static destruction.
  static auto& wanted = *new SharedByPath<CpuInfoWanted>;
  return wanted;
}

}  // namespace

// processor	: 0
// vendor_id	: AuthenticAMD
// cpu family	: 26
// model name	: AMD EPYC
// cpu MHz		: 2596.124
// physical id	: 0
Result<void> parse_cpuinfo(std::string_view text, std::vector<CpuInfo>& cpus) {
  return CpuInfoParser(cpus).parse(text);
}

CpuInfoTables::CpuInfoTables(const KernelFiles& files, std::optional<NameFilter> flags,
                             std::optional<NameFilter> bugs)
    : file_(files.proc_file("cpuinfo")),
      flags_filter_(std::move(flags)),
      bugs_filter_(std::move(bugs)),
      info_(std::string(kInfoName), std::string(kInfoHelp), MetricKind::kGauge, info_labels()),
      flags_(std::string(kFlagName), std::string(kFlagHelp), MetricKind::kGauge, {"flag"}),
      bugs_(std::string(kBugName), std::string(kBugHelp), MetricKind::kGauge, {"bug"}) {}

Result<void> CpuInfoTables::refresh(ReadBuffer& buffer) {
  const auto text = file_.read(buffer);
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  if (auto parsed = parse_cpuinfo(*text, cpus_); !parsed) {
    return parsed;
  }
  info_.begin();
  for (const CpuInfo& cpu : cpus_) {
    info_.add({cpu.package, cpu.core, NumberText(cpu.cpu).view(), cpu.vendor, cpu.family, cpu.model,
               cpu.model_name, cpu.microcode, cpu.stepping, cpu.cache_size},
              1);
  }
  add_words(cpus_.front().flags, flags_filter_, flags_);
  add_words(cpus_.front().bugs, bugs_filter_, bugs_);
  tables_.clear();
  tables_.push_back(info_.take());
  tables_.push_back(flags_.take());
  tables_.push_back(bugs_.take());
  return {};
}

Result<void> CpuInfoTables::collect(CollectContext& context, bool cpus_changed, Section& out) {
  if (timer_.due(context.boottime_ns) || cpus_changed) {
    if (auto refreshed = refresh(*context.buffer); !refreshed) {
      timer_.expire();
      return refreshed;
    }
  }
  out.tables.insert(out.tables.end(), tables_.begin(), tables_.end());
  return {};
}

void CpuInfoTables::describe(std::vector<MetricDoc>& docs) {
  constexpr MetricKind kG = MetricKind::kGauge;
  docs.push_back({std::string(kInfoName), kG, info_labels(), std::string(kInfoHelp)});
  docs.push_back({std::string(kFlagName), kG, {"flag"}, std::string(kFlagHelp)});
  docs.push_back({std::string(kBugName), kG, {"bug"}, std::string(kBugHelp)});
}

std::shared_ptr<CpuInfoWanted> want_cpu_info(const KernelFiles& files) {
  return wanted_cpu_infos().get(files.proc("cpuinfo"));
}

bool is_cpu_info_wanted(const KernelFiles& files) {
  return wanted_cpu_infos().find(files.proc("cpuinfo")) != nullptr;
}

}  // namespace tidegauge
