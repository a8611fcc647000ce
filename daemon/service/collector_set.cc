// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/collector_set.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "daemon/heuristics/assess.h"

namespace tidegauge {

ConfigResult<std::vector<ScheduledCollector>> make_collectors(
    const Config& config, const std::vector<std::string>& names) {
  const KernelFiles files(config.roots);
  std::vector<ScheduledCollector> out;
  for (const CollectorConfig& collector : config.collectors) {
    const bool wanted =
        names.empty() ? collector.enabled
                      : std::find(names.begin(), names.end(), collector.info->name) != names.end();
    if (!wanted) {
      continue;
    }
    auto made = collector.info->make(files, collector.options);
    if (!made) {
      return tl::make_unexpected(collector_error(collector, made.error()));
    }
    out.push_back({collector.info, collector.interval_ns, std::move(*made), {}});
  }
  return out;
}

std::vector<ExportedCollector> exported(const std::vector<ScheduledCollector>& collectors) {
  std::vector<ExportedCollector> out;
  out.reserve(collectors.size());
  for (const ScheduledCollector& collector : collectors) {
    out.push_back({collector.info->name, collector.info->help, collector.info->metrics()});
  }
  return out;
}

ExportedCollector verdicts_as_collector() {
  return {heuristics::Heuristics::kName, heuristics::kHelp, heuristics::heuristics_metrics()};
}

SchedulerOptions scheduler_options(const Config& config) {
  SchedulerOptions options;
  options.tick_ns = config.tick_ns;
  options.freshness_ns = config.freshness_ns;
  options.collector_timeout_ns = config.collector_timeout_ns;
  options.cpu_budget_ppm = config.cpu_budget_ppm;
  return options;
}

std::string check_roots(const KernelRoots& roots) {
  struct stat info {};
  if (::stat(roots.procfs.c_str(), &info) != 0) {
    return "procfs root " + roots.procfs + ": " + std::generic_category().message(errno) +
           " (--path.procfs; in a container, mount the host's /proc there)";
  }
  if (!S_ISDIR(info.st_mode)) {
    return "procfs root " + roots.procfs + ": not a directory (--path.procfs)";
  }
  return "";
}

std::string check_privacy(const KernelRoots& roots) {
  const KernelFiles files(roots);
  if (files.privacy().privacy() == roots.privacy) {
    return "";
  }
  return "privacy: hash needs " + files.root("/etc/machine-id") +
         ", which cannot be read or holds no machine id: names are dropped instead";
}

}  // namespace tidegauge
