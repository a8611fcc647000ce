// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/commands.h"

#include <algorithm>
#include <cstdio>

#include "daemon/config/load.h"
#include "daemon/exporter/exposition.h"
#include "daemon/exporter/own_metrics.h"
#include "daemon/exporter/text_format.h"
#include "daemon/heuristics/assess.h"
#include "daemon/service/collector_set.h"

namespace tidegauge {

namespace {

void print(std::FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
}

ConfigResult<Config> load_or_complain(const CommandLine& command_line, CollectorRegistry registry) {
  auto config = load_config(command_line, registry);
  if (!config) {
    print(stderr, config.error().message + "\n");
  }
  return config;
}

void append_docs(std::string& out, std::string_view title, std::string_view help,
                 const std::vector<MetricDoc>& docs) {
  out.append("\n## ").append(title).append("\n\n").append(help).append("\n\n");
  out.append("| metric | type | labels | meaning |\n|---|---|---|---|\n");
  for (const MetricDoc& doc : docs) {
    out.append("| `").append(doc.name).append("` | ").append(type_name(doc.kind)).append(" | ");
    for (std::size_t i = 0; i < doc.labels.size(); ++i) {
      out.append(i == 0 ? "" : ", ").append(doc.labels[i]);
    }
    out.append(" | ");
    for (const char c : doc.help) {
      out.append(c == '|' ? "\\|" : std::string(1, c));
    }
    out.append(" |\n");
  }
}

}  // namespace

int check_config(const CommandLine& command_line, CollectorRegistry registry) {
  const auto config = load_or_complain(command_line, registry);
  if (!config) {
    return 2;
  }
  const auto collectors = make_collectors(*config);
  if (!collectors) {
    print(stderr, collectors.error().message + "\n");
    return 2;
  }
  print(stdout, command_line.config_file.value_or("configuration") + ": OK, " +
                    std::to_string(collectors->size()) + " collectors\n");
  return 0;
}

int collect(const CommandLine& command_line, CollectorRegistry registry) {
  const auto config = load_or_complain(command_line, registry);
  if (!config) {
    return 2;
  }
  if (const std::string complaint = check_roots(config->roots); !complaint.empty()) {
    print(stderr, complaint + "\n");
    return 1;
  }
  if (const std::string complaint = check_privacy(config->roots); !complaint.empty()) {
    print(stderr, complaint + "\n");
  }
  auto collectors = make_collectors(*config, command_line.names);
  if (!collectors) {
    print(stderr, collectors.error().message + "\n");
    return 2;
  }
  // For the process's life: a stuck worker may outlast this function.
  static SystemClock clock;
  bool failed = false;
  const auto exports = exported(*collectors);
  ExpositionOptions options;
  options.node_families = config->node_families;
  Exposition exposition(options, exports, nullptr);
  Scheduler scheduler(scheduler_options(*config), std::move(*collectors), clock,
                      [](std::string_view collector, const Error* error) {
                        if (error != nullptr) {
                          print(stderr, std::string(collector) + ": " + error->message() + "\n");
                        }
                      });
  const SnapshotPtr snapshot = scheduler.collect_once(config->collector_timeout_ns);
  for (const SnapshotEntry& entry : snapshot->entries) {
    if (!entry.status.ran) {
      print(stderr, std::string(entry.collector) + ": did not answer in time\n");
    }
    failed = failed || !entry.section;
  }
  print(stdout, *exposition.body(snapshot, {}, false));
  std::fflush(stdout);
  if (!scheduler.stop()) {
    std::quick_exit(1);
  }
  return failed && !command_line.names.empty() ? 1 : 0;
}

std::string metrics_reference(CollectorRegistry registry) {
  std::string out =
      "# Metrics\n\n"
      "Every metric this build can emit, by collector. Made by `tidegauge metrics`; a test fails "
      "when "
      "this\nfile is behind. `<...>` stands for a name that comes from the kernel. What a kernel "
      "or a "
      "device does not\nhave is absent, never 0.\n";
  for (const CollectorInfo* info : registry) {
    std::string help(info->help);
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%g", static_cast<double>(info->interval_ms) / 1000.0);
    help.append(" Every ").append(seconds).append(" s by default");
    help.append(info->enabled ? "." : ", off by default.");
    append_docs(out, info->name, help, info->metrics());
  }
  append_docs(out, heuristics::Heuristics::kName, std::string(heuristics::kHelp) + " Every tick.",
              heuristics::heuristics_metrics());
  append_docs(out, "The daemon itself", "Always there, unless `--web.disable-exporter-metrics`.",
              own_metric_docs());
  return out;
}

}  // namespace tidegauge
