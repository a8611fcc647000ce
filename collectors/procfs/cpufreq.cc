// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cpufreq.h"

#include <algorithm>
#include <bit>
#include <string>

#include "collectors/core/text.h"
#include "collectors/procfs/cpu_list.h"
#include "collectors/procfs/cpuinfo.h"

namespace tidegauge {

namespace {

constexpr MetricKind kG = MetricKind::kGauge;
constexpr std::string_view kCurrentName = "node_cpu_frequency_hertz";
constexpr std::string_view kCurrentHelp = "Clock rate at which the CPU runs.";
constexpr std::string_view kGovernorName = "node_cpu_scaling_governor";
constexpr std::string_view kGovernorHelp =
    "One for each governor that the CPU could have: 1 for the one it has, 0 for the others.";

constexpr Column<CpuFrequency> kCurrentColumns[] = {
    {kCurrentName, kCurrentHelp, kG, kKilohertz, &CpuFrequency::current_khz},
};
constexpr Column<CpuFrequency> kColumns[] = {
    {"node_cpu_frequency_avg_hertz", "Clock rate of the CPU averaged over the last moments.", kG,
     kKilohertz, &CpuFrequency::average_khz},
    {"node_cpu_frequency_min_hertz", "Lowest clock rate the CPU can have.", kG, kKilohertz,
     &CpuFrequency::min_khz},
    {"node_cpu_frequency_max_hertz", "Highest clock rate the CPU can have.", kG, kKilohertz,
     &CpuFrequency::max_khz},
    {"node_cpu_scaling_frequency_hertz", "Clock rate that the kernel believes the CPU has.", kG,
     kKilohertz, &CpuFrequency::scaling_khz},
    {"node_cpu_scaling_frequency_min_hertz", "Lowest clock rate the governor may choose.", kG,
     kKilohertz, &CpuFrequency::scaling_min_khz},
    {"node_cpu_scaling_frequency_max_hertz", "Highest clock rate the governor may choose.", kG,
     kKilohertz, &CpuFrequency::scaling_max_khz},
};

struct Attribute {
  std::string_view file;
  std::optional<std::uint64_t> CpuFrequency::*member;
};
constexpr Attribute kAttributes[] = {
    {"cpuinfo_cur_freq", &CpuFrequency::current_khz},
    {"cpuinfo_avg_freq", &CpuFrequency::average_khz},
    {"cpuinfo_min_freq", &CpuFrequency::min_khz},
    {"cpuinfo_max_freq", &CpuFrequency::max_khz},
    {"scaling_cur_freq", &CpuFrequency::scaling_khz},
    {"scaling_min_freq", &CpuFrequency::scaling_min_khz},
    {"scaling_max_freq", &CpuFrequency::scaling_max_khz},
};

// What reading an attribute may fail with on a sound machine: it is not there, not for this user,
// the CPU is going offline, or the driver has no answer at this moment (show_cpuinfo_avg_freq says
// EINVAL or EAGAIN for an idle CPU).
bool is_no_answer(const Error& error) {
  constexpr int kNoAnswer[] = {EINVAL, EAGAIN, EBUSY, EOPNOTSUPP, ENODATA, ENXIO, EIO, ETIMEDOUT};
  return error.kind == ErrorKind::kMissing || error.kind == ErrorKind::kDenied ||
         std::find(std::begin(kNoAnswer), std::end(kNoAnswer), error.errno_value) !=
             std::end(kNoAnswer);
}

class CpufreqCollector final : public Collector {
 public:
  explicit CpufreqCollector(const KernelFiles& files)
      : files_(files),
        directory_(files.sys("devices/system/cpu")),
        cpuinfo_file_(files.proc_file("cpuinfo")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    if (auto done = find_cpus(*context.buffer); !done) {
      return done;
    }
    current_.begin();
    from_cpuinfo_.begin();
    table_.begin();
    governors_.begin();
    for (const std::string& cpu : cpus_) {
      if (auto done = read_cpu(cpu, *context.buffer); !done) {
        return done;
      }
    }
    if (auto done = read_cpuinfo(*context.buffer); !done) {
      return done;
    }
    out.tables.push_back(current_.take());
    out.tables.push_back(from_cpuinfo_.take());  // the same family: next to each other
    out.tables.push_back(table_.take());
    out.tables.push_back(governors_.take());
    return {};
  }

 private:
  // Online CPUs. Of an offline one the policy stays behind with its last values.
  Result<void> find_cpus(ReadBuffer& buffer) {
    auto cpus = list_cpu_directories(directory_);
    if (!cpus) {
      return tl::make_unexpected(cpus.error());
    }
    cpus_ = std::move(*cpus);
    const auto text = read_file(directory_ + "/offline", buffer);
    if (!text) {
      if (text.error().kind == ErrorKind::kMissing) {
        return {};
      }
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_cpu_list("cpu/offline", *text, offline_); !parsed) {
      return parsed;
    }
    std::erase_if(cpus_, [this](const std::string& cpu) {
      const auto number = parse_unsigned(cpu);
      return std::find(offline_.begin(), offline_.end(), *number) != offline_.end();
    });
    return {};
  }

  Result<void> read_cpu(const std::string& cpu, ReadBuffer& buffer) {
    path_.assign(directory_).append("/cpu").append(cpu).append("/cpufreq/");
    const std::size_t base = path_.size();
    CpuFrequency frequency;
    bool any = false;
    for (const Attribute& attribute : kAttributes) {
      path_.resize(base);
      path_.append(attribute.file);
      const auto text = read_file(path_, buffer);
      if (!text) {
        if (is_no_answer(text.error())) {
          continue;
        }
        return tl::make_unexpected(text.error());
      }
      const auto khz = parse_khz(path_, *text);
      if (!khz) {
        return tl::make_unexpected(khz.error());
      }
      frequency.*attribute.member = *khz;
      any = true;
    }
    if (!any) {
      return {};  // no driver for this CPU
    }
    current_.add({cpu}, frequency);
    table_.add({cpu}, frequency);
    return read_governors(cpu, base);
  }

  Result<void> read_governors(const std::string& cpu, std::size_t base) {
    path_.resize(base);
    const auto governor = read_attribute(path_ + "scaling_governor");
    const auto available = read_attribute(path_ + "scaling_available_governors");
    for (const auto* text : {&governor, &available}) {
      if (!*text) {
        if (is_no_answer(text->error())) {
          return {};
        }
        return tl::make_unexpected(text->error());
      }
    }
    if (!governor->empty()) {
      for (const std::string_view name : parse_governors(*available)) {
        governors_.add({cpu, name}, name == *governor ? 1 : 0);
      }
    }
    return {};
  }

  // As node_exporter does when both cpufreq and cpu.info are on.
  Result<void> read_cpuinfo(ReadBuffer& buffer) {
    if (!is_cpu_info_wanted(files_)) {
      return {};
    }
    const auto text = cpuinfo_file_.read(buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_cpuinfo(*text, cpuinfo_); !parsed) {
      return parsed;
    }
    for (const CpuInfo& cpu : cpuinfo_) {
      if (cpu.frequency_mhz) {
        from_cpuinfo_.add_real({cpu.package, cpu.core, NumberText(cpu.cpu).view()},
                               *cpu.frequency_mhz * 1e6);
      }
    }
    return {};
  }

  KernelFiles files_;
  std::string directory_;
  KernelFile cpuinfo_file_;
  std::string path_;
  std::vector<std::string> cpus_;
  std::vector<std::uint32_t> offline_;
  std::vector<CpuInfo> cpuinfo_;
  StructTable<CpuFrequency> current_{kCurrentColumns, {"cpu"}};
  ValueTable from_cpuinfo_{
      std::string(kCurrentName), std::string(kCurrentHelp), kG, {"package", "core", "cpu"}, kUnit,
      NumberType::kReal};
  StructTable<CpuFrequency> table_{kColumns, {"cpu"}};
  ValueTable governors_{
      std::string(kGovernorName), std::string(kGovernorHelp), kG, {"cpu", "governor"}};
};

}  // namespace

// 1699981
Result<std::optional<std::uint64_t>> parse_khz(std::string_view file, std::string_view text) {
  const std::string_view value = trim(text);
  if (value == "<unknown>") {
    return std::nullopt;
  }
  const auto khz = parse_unsigned(value);
  if (!khz) {
    return malformed(file, 1, "a clock rate in kHz");
  }
  return khz;
}

// conservative ondemand userspace powersave performance schedutil
std::vector<std::string_view> parse_governors(std::string_view text) {
  std::vector<std::string_view> governors;
  for (auto name = next_field(text); !name.empty(); name = next_field(text)) {
    if (std::find(governors.begin(), governors.end(), name) == governors.end()) {
      governors.push_back(name);
    }
  }
  return governors;
}

const CollectorInfo kCpufreqCollector{
    .name = "cpufreq",
    .help = "Clock rates and governors of the CPUs (/sys/devices/system/cpu/cpuN/cpufreq).",
    .lane = Lane::kWorker,  // asking the hardware can sleep 10 ms for each CPU
    .refresh = false,       // old kernels sleep 10 ms per CPU for it
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<CpufreqCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<CpuFrequency>(docs, kCurrentColumns, {"cpu"});
          document<CpuFrequency>(docs, kColumns, {"cpu"});
          docs.push_back(
              {std::string(kGovernorName), kG, {"cpu", "governor"}, std::string(kGovernorHelp)});
          return docs;
        },
};

}  // namespace tidegauge
