// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/generate.h"

#include <algorithm>
#include <string_view>

#include "collectors/core/text.h"
#include "daemon/config/load.h"

namespace tidegauge {

namespace {

constexpr std::size_t kWidth = 100;

constexpr std::string_view kHeader =
    R"(# SPDX-License-Identifier: Apache-2.0
# Tidegauge: every key with its default. Made by `tidegauge config-reference`; what you leave out
# keeps its default. Flags win over this file: --web.max-requests=10 over web.max_requests.
# `tidegauge check-config FILE` checks a file; SIGHUP (systemctl reload tidegauge) reads it again.
#
# Durations have units: 500ms, 15s, 5m, 1h. Regular expressions are RE2, unanchored; '' matches
# nothing. Of a pair x_include and x_exclude, the one at its default gives way when the other is set.
)";

// Appends `text` as lines that begin with `indent` and stay within the width.
void append_wrapped(std::string& out, std::string_view indent, std::string_view text) {
  std::size_t column = 0;
  for (std::string_view word; !(word = next_field(text)).empty();) {
    if (column != 0 && column + 1 + word.size() > kWidth) {
      out.push_back('\n');
      column = 0;
    }
    out.append(column == 0 ? indent : " ").append(word);
    column += (column == 0 ? indent.size() : 1) + word.size();
  }
  out.push_back('\n');
}

// Without quotes where YAML reads the same text and nobody could take it for something else.
bool is_plain_word(std::string_view text) {
  constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
  const bool starts_well =
      text.starts_with('/') || (!text.empty() && ((text[0] >= 'a' && text[0] <= 'z')));
  constexpr std::string_view kReserved[] = {"true", "false", "null", "yes", "no",
                                            "on",   "off",   "y",    "n"};
  return starts_well && text.find_first_not_of(kSafe) == std::string_view::npos &&
         std::ranges::find(kReserved, text) == std::end(kReserved);
}

std::string yaml_text(std::string_view text) {
  if (is_plain_word(text)) {
    return std::string(text);
  }
  std::string quoted = "'";
  for (const char c : text) {
    quoted.append(c == '\'' ? 2 : 1, c);
  }
  return quoted + "'";
}

std::string yaml_default(const OptionSpec& spec) {
  switch (spec.type) {
    case OptionType::kBool:
    case OptionType::kInteger:
    case OptionType::kDuration:
      return std::string(spec.default_text);
    case OptionType::kString:
    case OptionType::kChoice:
    case OptionType::kRegex:
      return yaml_text(spec.default_text);
    case OptionType::kRecords:
      return "[]";
    case OptionType::kStringList:
      break;
  }
  std::string list = "[";
  LineReader lines(spec.default_text);
  for (std::string_view item; lines.next(item);) {
    list.append(list.size() == 1 ? "" : ", ").append(yaml_text(item));
  }
  return list + "]";
}

// Help, and what type and range alone make of it.
std::string describe(const Target& target) {
  const OptionSpec& spec = target.spec();
  std::string text(spec.help);
  if (spec.type == OptionType::kInteger) {
    text.append(" From " + std::to_string(spec.min) + " to " + std::to_string(spec.max) + ".");
  } else if (spec.type == OptionType::kDuration) {
    text.append(" From " + format_duration(spec.min) + " to " + format_duration(spec.max) + ".");
  } else if (spec.type == OptionType::kRecords) {
    text.append(" At most " + std::to_string(spec.max) + ", each with one or more of:");
  } else if (spec.type != OptionType::kBool &&
             target.accepted().find(" or ") != std::string::npos) {
    text.append(" Accepts " + target.accepted() + ".");
  }
  return text;
}

// Comments below a list of records: what each may hold.
void append_fields(std::string& out, const std::string& indent, const OptionSpec& spec) {
  for (const OptionSpec& field : spec.fields) {
    const Target target{.option = &field};
    std::string lines;
    append_wrapped(
        lines, indent + "#     ",
        std::string(field.key) + " (" + target.accepted() + "): " + std::string(field.help));
    lines[indent.size() + 4] = '-';
    out.append(lines);
  }
}

void append_key(std::string& out, const std::string& indent, const Target& target) {
  append_wrapped(out, indent + "# ", describe(target));
  append_fields(out, indent, target.spec());
  out.append(indent).append(target.spec().key).append(": ");
  out.append(yaml_default(target.spec())).append("\n");
}

void append_collector(std::string& out, const CollectorInfo& info, std::int64_t interval_ns) {
  out.append("\n");
  append_wrapped(out, "  # ", info.help);
  out.append("  ").append(info.name).append(":\n");
  out.append("    #enabled: ").append(info.enabled ? "true\n" : "false\n");
  out.append("    #interval: ").append(format_duration(interval_ns)).append("\n");
  for (const OptionSpec& spec : info.options) {
    append_key(out, "    ", Target{.option = &spec});
  }
}

constexpr std::string_view kUsage =
    R"(Host metrics for Prometheus, and why a host is slow.

Usage: tidegauge [COMMAND] [FLAG...]

Commands:
  serve                       Collect and serve metrics over HTTP; the default.
  check-config [FILE]         Check a configuration file, by default the one `serve` would read.
  collect [NAME...]           Run collectors once and print what they say.
  why                         Why the host is slow: what is wrong, since when, who causes it.
  top                         Who does it: processes or groups by I/O, CPU, memory, waits.
  process PID                 Everything about one process.
  ebpf                        Every BPF program, in which tier it runs and why, and what it costs.
  replay FILE                 Print a recording as the /metrics of its time, or serve it so.
  dump FILE                   A recording for Prometheus, or as JSON or CSV.
  incidents [DIR]             List recordings, by default those that the daemon has written.
  record                      Have the running daemon write its last minutes to a file.
  import DIRECTORY            Make a recording of old captures of kernel files.
  metrics                     Print the documentation of every metric.
  help                        Print this text.

Flags win over the configuration file. A switch takes --flag, --no-flag, --flag=true or
--flag=false; other flags take --flag=VALUE or --flag VALUE; the last one wins. LIST flags may be
repeated.

General:
)";

constexpr std::size_t kHelpColumn = 30;

void append_flag(std::string& out, const std::string& flag, const std::string& help) {
  const std::string indent(kHelpColumn, ' ');
  std::string wrapped;
  append_wrapped(wrapped, indent, help);
  const std::string left = "  " + flag;
  if (left.size() + 2 <= kHelpColumn) {
    wrapped.replace(0, left.size(), left);
    out.append(wrapped);
  } else {
    out.append(left).append("\n").append(wrapped);
  }
}

std::string_view placeholder(OptionType type) {
  switch (type) {
    case OptionType::kBool:
      return "";
    case OptionType::kInteger:
      return "=N";
    case OptionType::kDuration:
      return "=DURATION";
    case OptionType::kString:
      return "=TEXT";
    case OptionType::kChoice:
      return "=WORD";
    case OptionType::kRegex:
      return "=REGEX";
    case OptionType::kStringList:
      return "=LIST";
    case OptionType::kRecords:  // has no flag
      break;
  }
  return "";
}

void append_option(std::string& out, const std::string& name, const Target& target) {
  const OptionSpec& spec = target.spec();
  const bool is_switch = spec.type == OptionType::kBool;
  std::string help = describe(target);
  if (!spec.default_text.empty() && !(is_switch && spec.default_text == "false")) {
    help.append(" (default ").append(yaml_default(spec)).append(")");
  }
  append_flag(out, (is_switch ? "--[no-]" : "--") + name + std::string(placeholder(spec.type)),
              help);
}

void append_settings(std::string& out, std::string_view section) {
  for (const Setting& setting : settings()) {
    if (setting.section == section) {
      append_option(out, std::string(setting.spec.flag), Target{.setting = &setting});
    }
  }
}

void append_command_flags(std::string& out, std::string_view command) {
  out.append("\nOf `tidegauge ").append(command).append("`:\n");
  for (const CommandFlag& flag : command_flags()) {
    if (belongs_to(flag, command)) {
      append_option(out, std::string(flag.setting.spec.flag), Target{.setting = &flag.setting});
    }
  }
}

std::string capitalized(std::string_view word) {
  std::string text(word);
  text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

void append_collector_flags(std::string& out, const CollectorInfo& info, std::int64_t interval_ns) {
  const std::string name = "collector." + std::string(info.name);
  append_flag(out, "--[no-]" + name,
              std::string(info.help) + " (default " + (info.enabled ? "on" : "off") + ", every " +
                  format_duration(interval_ns) + ")");
  for (const OptionSpec& spec : info.options) {
    if (!spec.flag.empty()) {
      append_option(out, name + "." + std::string(spec.flag), Target{.option = &spec});
    }
  }
}

}  // namespace

std::string reference_yaml(CollectorRegistry registry) {
  std::string out(kHeader);
  for (const ConfigSection& section : config_sections()) {
    const bool top_level = section.key.empty();
    if (!top_level) {
      out.append("\n# ").append(section.help).append("\n").append(section.key).append(":\n");
    }
    for (const Setting& setting : settings()) {
      if (setting.section == section.key) {
        out.append(top_level ? "\n" : "");
        append_key(out, top_level ? "" : "  ", Target{.setting = &setting});
      }
    }
  }
  out.append("\n");
  append_wrapped(
      out, "  # ",
      "Each collector has `enabled`, `interval` (a multiple of the tick, at most 1h) and "
      "options of its own. The first two are commented out, so that disable_defaults "
      "and another tick do what they say.");
  for (const CollectorConfig& collector : default_config(registry).collectors) {
    append_collector(out, *collector.info, collector.interval_ns);
  }
  return out;
}

std::string help_text(CollectorRegistry registry) {
  std::string out(kUsage);
  append_flag(out, "-h, --help", "Print this text.");
  append_flag(out, "--version", "Print the version.");
  append_flag(out, "--config.file=FILE",
              "The configuration file. (default /etc/tidegauge/tidegauge.yaml if it exists; empty "
              "for none)");
  for (const ConfigSection& section : config_sections()) {
    if (!section.key.empty()) {
      out.append("\n").append(capitalized(section.key)).append(":\n");
    }
    append_settings(out, section.key);
    if (section.key.empty()) {
      append_command_flags(out, "why");
      append_command_flags(out, "top");
      append_command_flags(out, "process");
      append_command_flags(out, "ebpf");
      append_command_flags(out, "replay");
      append_command_flags(out, "dump");
      append_command_flags(out, "incidents");
      append_command_flags(out, "import");
    }
  }
  append_flag(out, "--collector.NAME.interval=DURATION", std::string(kCollectorInterval.help));
  for (const CollectorConfig& collector : default_config(registry).collectors) {
    append_collector_flags(out, *collector.info, collector.interval_ns);
  }
  return out;
}

}  // namespace tidegauge
