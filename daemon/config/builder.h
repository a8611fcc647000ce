// SPDX-License-Identifier: Apache-2.0
#pragma once

// The layers of a configuration: defaults < file < command line.
//
// Whether a collector runs is decided in this order, the last word wins: its default, the file's
// disable_defaults, the file's enabled, --collector.disable-defaults, --[no-]collector.NAME.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/value.h"
#include "daemon/config/yaml_tree.h"

namespace tidegauge {

enum class ConfigLayer : std::uint8_t { kFile, kFlags };

class ConfigBuilder {
 public:
  explicit ConfigBuilder(CollectorRegistry registry);

  // `value` has the target's type and range. `origin` begins the message should the value not fit
  // the others, or should the collector refuse it ("tidegauge.yaml:3:5: collectors.x.interval").
  void set(ConfigLayer layer, const Target& target, OptionValue value, std::string origin);

  // After set() of a collector's option: where the parts of its value are.
  void set_parts(const Target& target, const YamlNode& value, std::string_view file,
                 const std::string& path);

  // Fills what nobody set, checks what depends on several values.
  ConfigResult<Config> finish() &&;

 private:
  struct Switches {
    std::optional<bool> disable_defaults;
    std::vector<std::optional<bool>> enabled;
  };
  struct Interval {
    std::string text;
    std::string origin;
  };

  [[nodiscard]] bool is_enabled(std::size_t collector) const;
  [[nodiscard]] ConfigResult<std::int64_t> interval_ns(std::size_t collector) const;

  Config config_;
  Switches file_;
  Switches flags_;
  std::vector<std::optional<Interval>> intervals_;
};

// Of a pair x_include and x_exclude only one can be in force, as for node_exporter. One of them may
// have a default: it gives way to the other when that is set. Where both differ from their defaults,
// the collector refuses.
void resolve_include_exclude(std::span<const OptionSpec> specs, Options& options);

}  // namespace tidegauge
