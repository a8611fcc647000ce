// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cpu_sysfs.h"

#include <algorithm>
#include <set>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/procfs/cpu_list.h"

namespace tidegauge {

namespace {

constexpr std::string_view kOnlineName = "node_cpu_online";
constexpr std::string_view kOnlineHelp =
    "Whether the CPU is online, on machines whose first CPU can be taken offline.";
constexpr std::string_view kIsolatedName = "node_cpu_isolated";
constexpr std::string_view kIsolatedHelp =
    "Always 1, one for each CPU that the scheduler's load balancing leaves alone.";
constexpr std::string_view kCoreName = "node_cpu_core_throttles_total";
constexpr std::string_view kCoreHelp = "How often heat or power limits slowed the core down.";
constexpr std::string_view kPackageName = "node_cpu_package_throttles_total";
constexpr std::string_view kPackageHelp = "How often heat or power limits slowed the package down.";

ValueTable table(std::string_view name, std::string_view help, MetricKind kind,
                 std::vector<std::string> labels) {
  return {std::string(name), std::string(help), kind, std::move(labels)};
}

bool is_missing(const Error& error) { return error.kind == ErrorKind::kMissing; }

// A number that only some machines have. "-1" is the kernel's way to say it knows no package.
Result<std::optional<std::string>> read_id(const std::string& path) {
  const auto text = read_attribute(path);
  if (!text) {
    if (is_missing(text.error())) {
      return std::nullopt;
    }
    return tl::make_unexpected(text.error());
  }
  if (const auto number = parse_unsigned(*text)) {
    return std::to_string(*number);
  }
  if (parse_signed(*text)) {
    return std::nullopt;
  }
  return malformed(path, 1, "a number");
}

}  // namespace

CpuSysfs::CpuSysfs(const KernelFiles& files)
    : directory_(files.sys("devices/system/cpu")),
      online_(table(kOnlineName, kOnlineHelp, MetricKind::kGauge, {"cpu"})),
      isolated_(table(kIsolatedName, kIsolatedHelp, MetricKind::kGauge, {"cpu"})),
      core_throttles_(table(kCoreName, kCoreHelp, MetricKind::kCounter, {"package", "core"})),
      package_throttles_(table(kPackageName, kPackageHelp, MetricKind::kCounter, {"package"})) {}

// Which files there are. Kept for a minute.
Result<void> CpuSysfs::plan() {
  online_sources_.clear();
  core_sources_.clear();
  package_sources_.clear();
  const auto cpus = list_cpu_directories(directory_);
  if (!cpus) {
    if (is_missing(cpus.error())) {
      return {};
    }
    return tl::make_unexpected(cpus.error());
  }
  for (const std::string& cpu : *cpus) {
    online_sources_.push_back({directory_ + "/cpu" + cpu + "/online", {}, cpu});
  }
  return plan_throttles(*cpus);
}

// Siblings share a core and cores a package: the first CPU that has the file speaks for them, as
// with node_exporter.
Result<void> CpuSysfs::plan_throttles(const std::vector<std::string>& cpus) {
  std::set<std::pair<std::string, std::string>> cores;
  std::set<std::string> packages;
  for (const std::string& cpu : cpus) {
    const std::string base = directory_ + "/cpu" + cpu;
    // Only x86 on real hardware has counts (arch/x86/kernel/cpu/mce/therm_throt.c, later
    // drivers/thermal/intel); the topology of all others need not be read.
    const auto names = list_directory(base + "/thermal_throttle");
    if (!names) {
      if (is_missing(names.error())) {
        continue;
      }
      return tl::make_unexpected(names.error());
    }
    const auto package = read_id(base + "/topology/physical_package_id");
    if (!package) {
      return tl::make_unexpected(package.error());
    }
    const auto core = read_id(base + "/topology/core_id");
    if (!core) {
      return tl::make_unexpected(core.error());
    }
    if (!*package || !*core) {
      continue;
    }
    const auto has = [&](std::string_view name) {
      return std::find(names->begin(), names->end(), name) != names->end();
    };
    if (has("core_throttle_count") && cores.emplace(**package, **core).second) {
      core_sources_.push_back({base + "/thermal_throttle/core_throttle_count", **package, **core});
    }
    if (has("package_throttle_count") && packages.insert(**package).second) {
      package_sources_.push_back(
          {base + "/thermal_throttle/package_throttle_count", **package, {}});
    }
  }
  return {};
}

// 1
Result<void> CpuSysfs::read_online(ReadBuffer& buffer) {
  online_.begin();
  for (std::size_t i = 0; i < online_sources_.size(); ++i) {
    const Source& source = online_sources_[i];
    const auto text = read_file(source.path, buffer);
    if (!text && !is_missing(text.error())) {
      return tl::make_unexpected(text.error());
    }
    if (!text && i == 0) {
      // The first CPU cannot be taken offline, as on most x86: node_exporter then takes the whole
      // machine for one without hotplug.
      return {};
    }
    // node_exporter counts a later CPU without the file as offline.
    const std::string_view state = text ? trim(*text) : "0";
    if (state != "0" && state != "1") {
      return malformed(source.path, 1, "0 or 1");
    }
    online_.add({source.core}, state == "1" ? 1 : 0);
  }
  return {};
}

Result<void> CpuSysfs::read_isolated(ReadBuffer& buffer) {
  isolated_.begin();
  const auto text = read_file(directory_ + "/isolated", buffer);  // since 4.2
  if (!text) {
    if (is_missing(text.error())) {
      return {};
    }
    return tl::make_unexpected(text.error());
  }
  if (auto parsed = parse_cpu_list("cpu/isolated", *text, isolated_cpus_); !parsed) {
    return parsed;
  }
  for (const std::uint32_t cpu : isolated_cpus_) {
    isolated_.add({NumberText(cpu).view()}, 1);
  }
  return {};
}

Result<void> CpuSysfs::read_throttles(ReadBuffer& buffer) {
  core_throttles_.begin();
  package_throttles_.begin();
  for (const bool of_cores : {true, false}) {
    for (const Source& source : of_cores ? core_sources_ : package_sources_) {
      const auto text = read_file(source.path, buffer);
      if (!text) {
        if (is_missing(text.error())) {
          plan_timer_.expire();  // the CPU went offline; a sibling may speak for it
          continue;
        }
        return tl::make_unexpected(text.error());
      }
      const auto count = parse_unsigned(trim(*text));
      if (!count) {
        return malformed(source.path, 1, "a number");
      }
      if (of_cores) {
        core_throttles_.add({source.package, source.core}, *count);
      } else {
        package_throttles_.add({source.package}, *count);
      }
    }
  }
  return {};
}

Result<void> CpuSysfs::refresh(ReadBuffer& buffer) {
  for (const auto step :
       {&CpuSysfs::read_online, &CpuSysfs::read_isolated, &CpuSysfs::read_throttles}) {
    if (auto done = (this->*step)(buffer); !done) {
      return done;
    }
  }
  tables_.clear();
  tables_.push_back(online_.take());
  tables_.push_back(isolated_.take());
  tables_.push_back(core_throttles_.take());
  tables_.push_back(package_throttles_.take());
  return {};
}

Result<void> CpuSysfs::collect(CollectContext& context, bool cpus_changed, Section& out) {
  const bool is_all_new = cpus_changed || context.is_capture;
  if (timer_.due(context.boottime_ns) || is_all_new) {
    Result<void> done;
    if (plan_timer_.due(context.boottime_ns) || is_all_new) {
      done = plan();
    }
    if (done) {
      done = refresh(*context.buffer);
    }
    if (!done) {
      timer_.expire();
      plan_timer_.expire();
      return done;
    }
  }
  out.tables.insert(out.tables.end(), tables_.begin(), tables_.end());
  return {};
}

void CpuSysfs::describe(std::vector<MetricDoc>& docs) {
  docs.push_back({std::string(kOnlineName), MetricKind::kGauge, {"cpu"}, std::string(kOnlineHelp)});
  docs.push_back(
      {std::string(kIsolatedName), MetricKind::kGauge, {"cpu"}, std::string(kIsolatedHelp)});
  docs.push_back(
      {std::string(kCoreName), MetricKind::kCounter, {"package", "core"}, std::string(kCoreHelp)});
  docs.push_back(
      {std::string(kPackageName), MetricKind::kCounter, {"package"}, std::string(kPackageHelp)});
}

}  // namespace tidegauge
