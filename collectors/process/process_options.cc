// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_options.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace tidegauge {

namespace {

// In the order of SourceChoice.
constexpr std::string_view kSources[] = {"auto", "iterator", "procfs"};

constexpr OptionSpec kGroupFields[] = {
    {.key = "name",
     .flag = "",
     .type = OptionType::kString,
     .default_text = "",
     .help = "The group's name; {comm}, {exe}, {user}, {unit}, {container}, {pod}, {cgroup} and "
             "named groups of this rule's expressions, such as (?P<port>\\d+), are filled in."},
    {.key = "comm",
     .flag = "",
     .type = OptionType::kStringList,
     .default_text = "",
     .help = "Task names, exactly.",
     .min = 1},
    {.key = "comm_regex",
     .flag = "",
     .type = OptionType::kRegex,
     .default_text = "",
     .help = "Task names by expression."},
    {.key = "exe",
     .flag = "",
     .type = OptionType::kStringList,
     .default_text = "",
     .help = "Executables: a path, or a file name without '/'.",
     .min = 1},
    {.key = "cmdline",
     .flag = "",
     .type = OptionType::kRegex,
     .default_text = "",
     .help = "Command lines by expression, arguments separated by blanks. They are only read when "
             "a rule asks for them."},
    {.key = "user",
     .flag = "",
     .type = OptionType::kStringList,
     .default_text = "",
     .help = "User names of the host's /etc/passwd, or numbers.",
     .min = 1},
    {.key = "cgroup",
     .flag = "",
     .type = OptionType::kRegex,
     .default_text = "",
     .help = "Cgroup paths by expression."},
    {.key = "unit",
     .flag = "",
     .type = OptionType::kStringList,
     .default_text = "",
     .help = "systemd units, exactly.",
     .min = 1},
    {.key = "container",
     .flag = "",
     .type = OptionType::kStringList,
     .default_text = "",
     .help = "Container ids or their beginnings; '*' for any container.",
     .min = 1},
};

constexpr OptionSpec kOptions[] = {
    {.key = "source",
     .flag = "source",
     .type = OptionType::kChoice,
     .default_text = "auto",
     .help = "Where passes come from; auto is the BPF iterator where the kernel and the privileges "
             "allow it, else procfs.",
     .words = kSources},
    {.key = "groups",
     .flag = "",
     .type = OptionType::kRecords,
     .default_text = "",
     .help = "Rules that put processes into groups. Of a rule every condition must hold, the first "
             "rule that matches wins. Without a match the group is the container, the systemd "
             "service, or the task's name.",
     .max = 200,
     .fields = kGroupFields},
    {.key = "max_groups",
     .flag = "max-groups",
     .type = OptionType::kInteger,
     .default_text = "200",
     .help = "Groups with series of their own; further ones count for the group \"other\".",
     .min = 1,
     .max = 10'000},
    {.key = "top",
     .flag = "top",
     .type = OptionType::kInteger,
     .default_text = "10",
     .help = "Processes with series of their own by each of: bytes read, bytes written, syncs, CPU "
             "time, major faults, memory growth. Twice as many at most while some are on their way "
             "out.",
     .min = 0,
     .max = 100},
    {.key = "details",
     .flag = "details",
     .type = OptionType::kBool,
     .default_text = "true",
     .help = "Of the busiest processes also the busiest threads, open descriptors and CPU "
             "affinity."},
};

}  // namespace

std::span<const OptionSpec> process_options() { return kOptions; }

Result<ProcessSettings> process_settings(const Options& options) {
  ProcessSettings settings;
  const auto* at = std::find(std::begin(kSources), std::end(kSources), options.text("source"));
  if (at == std::end(kSources)) {
    return invalid_option("source", "expected " + join_choices(kSources));
  }
  settings.source = static_cast<SourceChoice>(at - std::begin(kSources));
  settings.max_groups = static_cast<std::size_t>(options.integer("max_groups"));
  settings.top = static_cast<std::size_t>(options.integer("top"));
  settings.details = options.boolean("details");
  return settings;
}

namespace {

std::mutex configured_mutex;
std::vector<GroupRuleSpec> configured_specs;

std::vector<GroupRuleSpec> group_specs(const Options& options) {
  std::vector<GroupRuleSpec> specs;
  for (const OptionRecord& record : options.records("groups")) {
    GroupRuleSpec& spec = specs.emplace_back();
    spec.name = record.text("name");
    spec.comm = record.list("comm");
    spec.comm_regex = record.text("comm_regex");
    spec.executable = record.list("exe");
    spec.command_line_regex = record.text("cmdline");
    spec.user = record.list("user");
    spec.cgroup_regex = record.text("cgroup");
    spec.unit = record.list("unit");
    spec.container = record.list("container");
  }
  return specs;
}

}  // namespace

Result<GroupRules> group_rules(const Options& options) {
  return GroupRules::compile(group_specs(options));
}

void configure_group_rules(const Options& options) {
  const std::lock_guard lock(configured_mutex);
  configured_specs = group_specs(options);
}

GroupRules configured_group_rules() {
  const std::lock_guard lock(configured_mutex);
  auto rules = GroupRules::compile(configured_specs);
  return rules ? std::move(*rules) : *GroupRules::compile({});
}

}  // namespace tidegauge
