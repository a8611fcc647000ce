// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "daemon/config/peer_flags.h"
#include "daemon/config/suggest.h"

namespace tidegauge {

namespace {

constexpr std::string_view kCollectorPrefix = "collector.";
constexpr std::string_view kNegation = "no-";

// CLI11 2.1 takes `--flag=` for a flag whose value is the next argument. What an operator means is
// an empty value; no argument can hold this byte by accident.
constexpr std::string_view kEmptyValue = "\x01";

struct CommandName {
  const char* name;
  Command command;
};
constexpr CommandName kCommands[] = {
    {"serve", Command::kServe},
    {"check-config", Command::kCheckConfig},
    {"collect", Command::kCollect},
    {"top", Command::kTop},
    {"process", Command::kProcess},
    {"ebpf", Command::kEbpf},
    {"record", Command::kRecord},
    {"why", Command::kWhy},
    {"replay", Command::kReplay},
    {"dump", Command::kDump},
    {"incidents", Command::kIncidents},
    {"import", Command::kImport},  // of old captures
    {"metrics", Command::kMetrics},
    {"help", Command::kHelp},
    {"config-reference", Command::kConfigReference},
};

tl::unexpected<ConfigError> fail(std::string message) {
  return tl::make_unexpected(ConfigError{std::move(message)});
}

bool is_time_flag(std::string_view argument) { return argument == "--from" || argument == "--to"; }

// CLI11 wants the arguments in reverse.
std::vector<std::string> prepare(std::span<const char* const> arguments) {
  std::vector<std::string> prepared;
  bool positional = false;
  for (const char* raw : arguments) {
    std::string argument(raw);
    positional = positional || argument == "--";
    // "-5m" is a time; CLI11 would take it for a flag.
    if (!positional && !prepared.empty() && is_time_flag(prepared.back()) &&
        parse_time_argument(argument)) {
      prepared.back().append("=").append(argument);
      continue;
    }
    if (!positional && argument.starts_with("--") && argument.find('=') == argument.size() - 1) {
      argument.append(kEmptyValue);
    }
    prepared.push_back(std::move(argument));
  }
  std::ranges::reverse(prepared);
  return prepared;
}

std::string restore(const std::string& text) { return text == kEmptyValue ? "" : text; }

// CLI11 as a tokenizer: which flag, which texts, what was left over. What the texts mean is the
// tables' affair.
class Tokenizer {
 public:
  explicit Tokenizer(CollectorRegistry registry) : targets_(flag_targets(registry)) {
    app_.allow_extras();
    app_.require_subcommand(0, 1);
    app_.set_help_flag();
    help_ = app_.add_flag("-h,--help");
    version_ = app_.add_flag("--version");
    config_file_ = repeatable(app_.add_option("--config.file"));
    for (const FlagTarget& flag : targets_) {
      options_.push_back(add(flag.name, flag.target.spec()));
    }
    for (const CommandFlag& flag : command_flags()) {
      command_options_.push_back(add(std::string(flag.setting.spec.flag), flag.setting.spec));
    }
    for (const IgnoredFlag& flag : ignored_flags()) {
      ignored_.push_back(repeatable(app_.add_option("--" + std::string(flag.name))));
    }
    for (const CommandName& command : kCommands) {
      app_.add_subcommand(command.name)->allow_extras()->fallthrough()->set_help_flag();
    }
  }

  // Fills `line` but for the leftovers.
  ConfigResult<void> run(std::span<const char* const> arguments, CommandLine& line) {
    try {
      app_.parse(prepare(arguments));
    } catch (const CLI::ArgumentMismatch& error) {
      return fail(complaint(error));
    } catch (const CLI::Error& error) {
      return fail(error.what());
    }
    for (const CommandName& command : kCommands) {
      if (app_.got_subcommand(command.name)) {
        line.command = command.command;
        explicit_command_ = command.name;
      }
    }
    if (version_->count() > 0) {
      line.command = Command::kVersion;
    }
    if (help_->count() > 0) {
      line.command = Command::kHelp;
    }
    if (config_file_->count() > 0) {
      line.config_file = restore(config_file_->results().back());
    }
    for (std::size_t i = 0; i < options_.size(); ++i) {
      if (options_[i]->count() > 0) {
        line.flags.push_back({targets_[i].name, texts(*options_[i])});
      }
    }
    if (auto done = take_command_flags(line); !done) {
      return done;
    }
    for (std::size_t i = 0; i < ignored_.size(); ++i) {
      const auto& [name, why] = ignored_flags()[i];
      if (ignored_[i]->count() > 0) {
        line.warnings.push_back("--" + std::string(name) + " is ignored: " + std::string(why));
      }
    }
    return {};
  }

  [[nodiscard]] std::vector<std::string> leftovers() const { return app_.remaining(true); }
  // "" when none was named.
  [[nodiscard]] const std::string& explicit_command() const { return explicit_command_; }
  [[nodiscard]] const std::vector<FlagTarget>& targets() const { return targets_; }

 private:
  CLI::Option* add(const std::string& name, const OptionSpec& spec) {
    return spec.type == OptionType::kBool ? app_.add_flag("--" + name + ",!--no-" + name)
                                          : repeatable(app_.add_option("--" + name));
  }

  ConfigResult<void> take_command_flags(CommandLine& line) const {
    if (line.command == Command::kHelp || line.command == Command::kVersion) {
      return {};
    }
    for (std::size_t i = 0; i < command_options_.size(); ++i) {
      for (const std::string& text : texts(*command_options_[i])) {
        auto done = apply_command_flag(command_flags()[i], explicit_command_, text, line.options);
        if (!done) {
          return done;
        }
      }
    }
    return {};
  }

  static CLI::Option* repeatable(CLI::Option* option) {
    return option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }

  static std::vector<std::string> texts(const CLI::Option& option) {
    std::vector<std::string> texts;
    for (const std::string& text : option.results()) {
      texts.push_back(restore(text));
    }
    return texts;
  }

  // "--tick: 1 required TEXT missing" and the like: all about a missing value.
  static std::string complaint(const CLI::ArgumentMismatch& error) {
    const std::string what = error.what();
    return what.substr(0, what.find(':')) + ": expected a value";
  }

  CLI::App app_;
  std::vector<FlagTarget> targets_;
  std::vector<CLI::Option*> options_;          // parallel to targets_
  std::vector<CLI::Option*> command_options_;  // parallel to command_flags()
  std::vector<CLI::Option*> ignored_;          // parallel to ignored_flags()
  CLI::Option* help_ = nullptr;
  CLI::Option* version_ = nullptr;
  CLI::Option* config_file_ = nullptr;
  std::string explicit_command_;
};

bool has_collector(CollectorRegistry registry, std::string_view name) {
  return std::ranges::find(registry, name, &CollectorInfo::name) != registry.end();
}

std::vector<std::string> collector_names(CollectorRegistry registry) {
  std::vector<std::string> names;
  for (const CollectorInfo* info : registry) {
    names.emplace_back(info->name);
  }
  return names;
}

// A flag that is in no table: ignored with a warning, or an error.
ConfigResult<void> judge_unknown_flag(const std::string& argument, const Tokenizer& tokenizer,
                                      CollectorRegistry registry, CommandLine& line) {
  std::string_view name(argument);
  name = name.substr(0, name.find('='));
  const std::string shown(name.substr(0, 80));
  name.remove_prefix(std::min(name.find_first_not_of('-'), name.size()));
  const bool negated = name.starts_with(kNegation);
  name.remove_prefix(negated ? kNegation.size() : 0);

  if (argument.starts_with("--") && name.starts_with(kCollectorPrefix)) {
    const std::string_view rest = name.substr(kCollectorPrefix.size());
    const std::string collector(rest.substr(0, rest.find('.')));
    if (!has_collector(registry, collector) && is_peer_collector(collector)) {
      if (negated && rest == collector && shown == argument) {
        line.warnings.push_back(argument + " is ignored: there is no such collector here");
        return {};
      }
      return fail(shown + ": tidegauge has no collector \"" + collector + "\"; remove the flag");
    }
  }
  std::vector<std::string> known{"help", "version", "config.file"};
  for (const FlagTarget& flag : tokenizer.targets()) {
    if (!negated || flag.target.spec().type == OptionType::kBool) {
      known.push_back(flag.name);
    }
  }
  for (const CommandFlag& flag : command_flags()) {
    if (belongs_to(flag, tokenizer.explicit_command())) {
      known.emplace_back(flag.setting.spec.flag);
    }
  }
  const std::string hint = did_you_mean(name, known, negated ? "--no-" : "--");
  return fail("unknown flag " + quote(shown) +
              (hint.empty() ? "; `tidegauge help` lists all flags" : hint));
}

ConfigResult<void> take_collector_name(const std::string& argument, CollectorRegistry registry,
                                       CommandLine& line) {
  if (!has_collector(registry, argument)) {
    const std::string hint = did_you_mean(argument, collector_names(registry));
    return fail("unknown collector " + quote(argument) +
                (hint.empty() ? "; `tidegauge help` lists all collectors" : hint));
  }
  line.names.push_back(argument);
  return {};
}

ConfigResult<void> take_positional(const std::string& argument, const Tokenizer& tokenizer,
                                   CollectorRegistry registry, CommandLine& line) {
  const std::string& command = tokenizer.explicit_command();
  if (command.empty()) {
    std::vector<std::string> known;
    for (const CommandName& candidate : kCommands) {
      if (candidate.command != Command::kConfigReference) {
        known.emplace_back(candidate.name);
      }
    }
    const std::string hint = did_you_mean(argument, known);
    return fail("unknown command " + quote(argument) +
                (hint.empty() ? "; `tidegauge help` lists all commands" : hint));
  }
  if (command == "collect") {
    return take_collector_name(argument, registry, line);
  }
  if (command == "check-config" && !line.config_file) {
    line.config_file = argument;
    return {};
  }
  if (command == "process" && line.options.report.pid == 0) {
    const auto pid = parse_pid_argument(argument);
    if (!pid) {
      return tl::make_unexpected(pid.error());
    }
    line.options.report.pid = *pid;
    return {};
  }
  RecordingOptions& recording = line.options.recording;
  if ((command == "replay" || command == "dump") && recording.file.empty() && !argument.empty()) {
    recording.file = argument;
    return {};
  }
  if (command == "incidents" && line.options.incidents.directory.empty() && !argument.empty()) {
    line.options.incidents.directory = argument;
    return {};
  }
  if (command == "import" && line.options.importing.directory.empty() && !argument.empty()) {
    line.options.importing.directory = argument;
    return {};
  }
  return fail("unexpected argument " + quote(argument));
}

}  // namespace

std::vector<FlagTarget> flag_targets(CollectorRegistry registry) {
  std::vector<FlagTarget> targets;
  for (const Setting& setting : settings()) {
    targets.push_back({std::string(setting.spec.flag), Target{.setting = &setting}});
  }
  for (std::size_t i = 0; i < registry.size(); ++i) {
    const std::string name = std::string(kCollectorPrefix) + std::string(registry[i]->name);
    const auto add = [&](const std::string& flag, const OptionSpec& spec) {
      targets.push_back({flag, Target{nullptr, i, &spec}});
    };
    add(name, kCollectorEnabled);
    add(name + "." + std::string(kCollectorInterval.flag), kCollectorInterval);
    for (const OptionSpec& spec : registry[i]->options) {
      if (!spec.flag.empty()) {
        add(name + "." + std::string(spec.flag), spec);
      }
    }
  }
  return targets;
}

ConfigResult<CommandLine> parse_command_line(std::span<const char* const> arguments,
                                             CollectorRegistry registry) {
  CommandLine line;
  Tokenizer tokenizer(registry);
  if (auto done = tokenizer.run(arguments, line); !done) {
    return tl::make_unexpected(done.error());
  }
  if (line.command == Command::kHelp || line.command == Command::kVersion) {
    return line;
  }
  for (const std::string& argument : tokenizer.leftovers()) {
    auto done = argument.starts_with('-') ? judge_unknown_flag(argument, tokenizer, registry, line)
                                          : take_positional(argument, tokenizer, registry, line);
    if (!done) {
      return tl::make_unexpected(done.error());
    }
  }
  if (line.command == Command::kProcess && line.options.report.pid == 0) {
    return fail("process: expected the number of a process: `tidegauge process PID`");
  }
  if (line.command == Command::kReplay || line.command == Command::kDump ||
      line.command == Command::kWhy) {
    auto good = check_recording_options(tokenizer.explicit_command(), line.options.recording);
    if (!good) {
      return tl::make_unexpected(good.error());
    }
  }
  if (line.command == Command::kImport &&
      (line.options.importing.directory.empty() || line.options.importing.out.empty())) {
    return fail("import: expected a directory and a file: `tidegauge import DIRECTORY --out=FILE`");
  }
  ConfigBuilder scratch(registry);
  if (auto done = apply_flags(line, registry, scratch); !done) {
    return tl::make_unexpected(done.error());
  }
  return line;
}

ConfigResult<void> apply_flags(const CommandLine& command_line, CollectorRegistry registry,
                               ConfigBuilder& builder) {
  const std::vector<FlagTarget> targets = flag_targets(registry);
  for (const FlagValue& flag : command_line.flags) {
    const auto at = std::ranges::find(targets, flag.name, &FlagTarget::name);
    if (at == targets.end()) {
      return fail("unknown flag " + quote("--" + flag.name));
    }
    const Target& target = at->target;
    const bool is_list = target.spec().type == OptionType::kStringList;
    std::vector<std::string> items;
    OptionValue value;
    for (const std::string& text : flag.texts) {
      if (is_list && text.empty() && target.spec().min == 0) {
        continue;  // `--flag=` empties a list that the file has filled
      }
      auto parsed = parse_value(target, text);
      if (!parsed) {
        return fail("--" + flag.name + ": " + parsed.error().message);
      }
      if (is_list) {
        items.push_back(std::get<std::vector<std::string>>(*parsed).front());
      }
      value = std::move(*parsed);
    }
    builder.set(ConfigLayer::kFlags, target, is_list ? OptionValue(std::move(items)) : value,
                "--" + flag.name);
  }
  return {};
}

}  // namespace tidegauge
