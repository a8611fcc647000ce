// SPDX-License-Identifier: Apache-2.0
#pragma once

// The daemon's own settings. One row each makes the YAML key, the flag, the check, the reference
// file and the help.

#include <optional>
#include <span>
#include <string_view>

#include "daemon/config/config.h"

namespace tidegauge {

struct ConfigSection {
  std::string_view key;  // "" for the top level
  std::string_view help;
};

struct Setting {
  std::string_view section;  // ConfigSection::key
  // flag: without the dashes. A list's `min` is the least number of its items.
  OptionSpec spec;
  // What a valid value is, for errors and help; "" when type and range say it.
  std::string_view accepted;
  // Null when type and range suffice. Of a list: whether an item is valid.
  bool (*valid)(std::string_view text);
  // Null for collectors.disable_defaults, which is ConfigBuilder's.
  void (*apply)(Config& config, const OptionValue& value);
};

// In the order of the reference file.
std::span<const ConfigSection> config_sections();
std::span<const Setting> settings();

// What every collector has besides its own options. The interval is checked against the tick.
extern const OptionSpec kCollectorEnabled;
extern const OptionSpec kCollectorInterval;
inline constexpr std::int64_t kMaxIntervalNs = 3'600'000'000'000;

// "1%" is 10 000 parts per million, "off" 0; from 0.01% to 100%.
// "8MiB": bytes, of KiB, MiB or GiB.
std::optional<std::int64_t> parse_size(std::string_view text);
std::optional<std::int64_t> parse_cpu_budget(std::string_view text);
std::optional<LogLevel> parse_log_level(std::string_view text);
std::optional<LogFormat> parse_log_format(std::string_view text);

}  // namespace tidegauge
