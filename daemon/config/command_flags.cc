// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/command_flags.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "collectors/core/text.h"
#include "daemon/replay/capture_time.h"

namespace tidegauge {

namespace {

// In the order of TopSort.
constexpr std::string_view kSorts[] = {"io", "read", "write", "cpu", "memory", "faults", "delay"};

bool is_sort(std::string_view text) {
  return std::find(std::begin(kSorts), std::end(kSorts), text) != std::end(kSorts);
}

template <auto Member>
void set_top_switch(CommandOptions& options, const OptionValue& value) {
  options.top.*Member = std::get<bool>(value);
}

template <auto Member>
void set_top_number(CommandOptions& options, const OptionValue& value) {
  options.top.*Member = std::get<std::int64_t>(value);
}

void set_sort(CommandOptions& options, const OptionValue& value) {
  const auto* at = std::find(std::begin(kSorts), std::end(kSorts), std::get<std::string>(value));
  options.top.sort = static_cast<TopSort>(at - std::begin(kSorts));
}

void set_json(CommandOptions& options, const OptionValue& value) {
  options.top.json = options.report.json = options.ebpf_json = options.incidents.json =
      options.why.json = std::get<bool>(value);
}

template <auto Member>
void set_recording_switch(CommandOptions& options, const OptionValue& value) {
  options.recording.*Member = std::get<bool>(value);
}

template <auto Member>
void set_recording_text(CommandOptions& options, const OptionValue& value) {
  options.recording.*Member = std::get<std::string>(value);
}

template <auto Member>
void set_recording_time(CommandOptions& options, const OptionValue& value) {
  options.recording.*Member = parse_time_argument(std::get<std::string>(value));
}

bool is_time(std::string_view text) { return parse_time_argument(text).has_value(); }

bool is_speed(std::string_view text) {
  const auto speed = parse_real(text);
  return speed && *speed >= 0.01 && *speed <= 1000;
}

void set_speed(CommandOptions& options, const OptionValue& value) {
  options.recording.speed = parse_real(std::get<std::string>(value));
}

// In the order of DumpFormat.
constexpr std::string_view kFormats[] = {"openmetrics", "json", "csv"};

bool is_format(std::string_view text) {
  return std::find(std::begin(kFormats), std::end(kFormats), text) != std::end(kFormats);
}

void set_format(CommandOptions& options, const OptionValue& value) {
  const auto* at =
      std::find(std::begin(kFormats), std::end(kFormats), std::get<std::string>(value));
  options.recording.format = static_cast<DumpFormat>(at - std::begin(kFormats));
}

bool is_something(std::string_view text) { return !text.empty(); }

template <auto Member>
void set_report_switch(CommandOptions& options, const OptionValue& value) {
  options.report.*Member = std::get<bool>(value);
}

void set_all(CommandOptions& options, const OptionValue& value) {
  options.why.all = std::get<bool>(value);
}

void set_out(CommandOptions& options, const OptionValue& value) {
  options.importing.out = std::get<std::string>(value);
}

void set_force(CommandOptions& options, const OptionValue& value) {
  options.importing.force = std::get<bool>(value);
}

void set_utc_offset(CommandOptions& options, const OptionValue& value) {
  options.importing.utc_offset_ns = *parse_utc_offset(std::get<std::string>(value));
}

constexpr OptionSpec a_switch(std::string_view name, std::string_view help) {
  return {
      .key = name, .flag = name, .type = OptionType::kBool, .default_text = "false", .help = help};
}

constexpr OptionSpec a_number(std::string_view name, std::int64_t max, std::string_view help) {
  return {.key = name,
          .flag = name,
          .type = OptionType::kInteger,
          .default_text = "",
          .help = help,
          .min = 1,
          .max = max};
}

constexpr OptionSpec a_text(std::string_view name, std::string_view default_text,
                            std::string_view help) {
  return {.key = name,
          .flag = name,
          .type = OptionType::kString,
          .default_text = default_text,
          .help = help};
}

constexpr OptionSpec kInterval{.key = "interval",
                               .flag = "interval",
                               .type = OptionType::kDuration,
                               .default_text = "1s",
                               .help = "Time that rates are taken over.",
                               .min = 100'000'000,
                               .max = 3'600'000'000'000};
constexpr OptionSpec kSort{.key = "sort",
                           .flag = "sort",
                           .type = OptionType::kString,
                           .default_text = "io",
                           .help = "What the first row has most of; io is read and written."};

constexpr OptionSpec kOut{.key = "out",
                          .flag = "out",
                          .type = OptionType::kString,
                          .default_text = "",
                          .help = "The recording to make."};
constexpr OptionSpec kUtcOffset{.key = "utc-offset",
                                .flag = "utc-offset",
                                .type = OptionType::kString,
                                .default_text = "+00:00",
                                .help = "What captured times without a zone are ahead of UTC."};

constexpr CommandFlag kFlags[] = {
    {{"top", a_switch("once", "One interval, then the end."), "", nullptr, nullptr},
     set_top_switch<&TopOptions::once>},
    {{"top process ebpf incidents why",
      a_switch("json", "JSON: of top an object per interval and line."), "", nullptr, nullptr},
     set_json},
    {{"top", kInterval, "", nullptr, nullptr}, set_top_number<&TopOptions::interval_ns>},
    {{"top", a_number("count", 1'000'000'000, "The end after so many intervals."), "", nullptr,
      nullptr},
     set_top_number<&TopOptions::count>},
    {{"top", kSort, "io, read, write, cpu, memory, faults or delay", is_sort, nullptr}, set_sort},
    {{"top", a_number("rows", 100'000, "Rows, by default what fits and 20 without a terminal."), "",
      nullptr, nullptr},
     set_top_number<&TopOptions::rows>},
    {{"top", a_switch("groups", "Rows are groups of processes."), "", nullptr, nullptr},
     set_top_switch<&TopOptions::groups>},
    {{"process",
      a_switch("smaps", "Read smaps_rollup also where it takes long: over 32 GiB resident."), "",
      nullptr, nullptr},
     set_report_switch<&ReportOptions::smaps>},
    {{"process", a_switch("cmdline", "Show the command line, which may hold secrets."), "", nullptr,
      nullptr},
     set_report_switch<&ReportOptions::command_line>},
    {{"why", a_text("replay", "", "Look at this recording instead of asking the daemon that runs."),
      "a recording", is_something, nullptr},
     set_recording_text<&RecordingOptions::file>},
    {{"why", a_switch("all", "Everything about every verdict, not the first alone."), "", nullptr,
      nullptr},
     set_all},
    {{"replay dump why", a_text("from", "", "What was recorded then and later."), kTimeForms,
      is_time, nullptr},
     set_recording_time<&RecordingOptions::from>},
    {{"replay dump why", a_text("to", "", "What was recorded until then."), kTimeForms, is_time,
      nullptr},
     set_recording_time<&RecordingOptions::to>},
    {{"replay",
      a_text("serve", "", "Serve it at this address as if it were now, instead of printing it."),
      "an address such as 127.0.0.1:10071", is_something, nullptr},
     set_recording_text<&RecordingOptions::serve_address>},
    {{"replay", a_text("speed", "1", "With --serve: how many times as fast as it was recorded."),
      "a number from 0.01 to 1000", is_speed, nullptr},
     set_speed},
    {{"replay", a_switch("loop", "With --serve: begin again at the end."), "", nullptr, nullptr},
     set_recording_switch<&RecordingOptions::loop>},
    {{"dump",
      a_text("format", "openmetrics",
             "openmetrics is for promtool tsdb create-blocks-from, with csv a row per sample, with "
             "json a line per Snapshot. The first two have what was read anew only, json has all."),
      "openmetrics, json or csv", is_format, nullptr},
     set_format},
    {{"dump", a_text("family", "", "Only families whose whole name this RE2 expression matches."),
      "a regular expression in RE2 syntax", is_something, nullptr},
     set_recording_text<&RecordingOptions::family>},
    {{"dump", a_switch("raw", "The copies of kernel files in it, and nothing else."), "", nullptr,
      nullptr},
     set_recording_switch<&RecordingOptions::raw>},
    {{"import", kOut, "", nullptr, nullptr}, set_out},
    {{"import", a_switch("force", "Replace the recording if there is one."), "", nullptr, nullptr},
     set_force},
    {{"import", kUtcOffset, "an offset such as +09:00",
      [](std::string_view text) { return parse_utc_offset(text).has_value(); }, nullptr},
     set_utc_offset},
};

}  // namespace

std::span<const CommandFlag> command_flags() { return kFlags; }

bool belongs_to(const CommandFlag& flag, std::string_view command) {
  std::string_view commands = flag.setting.section;
  for (std::string_view name; !(name = next_field(commands)).empty();) {
    if (name == command) {
      return true;
    }
  }
  return false;
}

std::string_view to_string(TopSort sort) { return kSorts[static_cast<std::size_t>(sort)]; }

ConfigResult<void> apply_command_flag(const CommandFlag& flag, std::string_view command,
                                      std::string_view text, CommandOptions& options) {
  const std::string name = "--" + std::string(flag.setting.spec.flag);
  if (!belongs_to(flag, command)) {
    std::string_view commands = flag.setting.section;
    std::string owners;
    for (std::string_view owner; !(owner = next_field(commands)).empty();) {
      owners.append(owners.empty() ? "`tidegauge " : " and `tidegauge ").append(owner).append("`");
    }
    return tl::make_unexpected(ConfigError{name + " is a flag of " + owners});
  }
  const auto value = parse_value(Target{.setting = &flag.setting}, text);
  if (!value) {
    return tl::make_unexpected(ConfigError{name + ": " + value.error().message});
  }
  flag.apply(options, *value);
  return {};
}

ConfigResult<void> check_recording_options(std::string_view command,
                                           const RecordingOptions& options) {
  const auto fail = [&](std::string message) {
    return tl::make_unexpected(ConfigError{std::move(message)});
  };
  if (command == "why") {
    if (options.file.empty() && (options.from || options.to)) {
      return fail(std::string(options.from ? "--from" : "--to") + " goes with --replay");
    }
    return {};
  }
  if (options.file.empty()) {
    const std::string name(command);
    return fail(name + ": expected a recording: `tidegauge " + name + " FILE`");
  }
  if (options.serve_address.empty() && (options.speed || options.loop)) {
    return fail(std::string(options.speed ? "--speed" : "--loop") + " goes with --serve");
  }
  if (options.raw && (options.format || !options.family.empty())) {
    return fail("--raw goes with neither --format nor --family");
  }
  return {};
}

ConfigResult<std::uint32_t> parse_pid_argument(std::string_view text) {
  constexpr std::uint64_t kMaxPid = 1U << 22U;  // include/linux/threads.h, PID_MAX_LIMIT
  const auto pid = parse_unsigned(text);
  if (!pid || *pid == 0 || *pid > kMaxPid) {
    return tl::make_unexpected(
        ConfigError{"process: expected the number of a process, got " + quote(text)});
  }
  return static_cast<std::uint32_t>(*pid);
}

}  // namespace tidegauge
