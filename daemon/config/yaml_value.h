// SPDX-License-Identifier: Apache-2.0
#pragma once

// The value behind one key of a YAML file: a node into what the key's OptionSpec says.

#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/value.h"
#include "daemon/config/yaml_tree.h"

namespace tidegauge {

// `path` begins messages: "collectors.disk.workers". The error has file, line and column: of the key
// or, in a list, of the item.
ConfigResult<OptionValue> read_yaml_value(const Target& target, const YamlEntry& entry,
                                          std::string_view file, const std::string& path);

// "tidegauge.yaml:12:5: path: message"
tl::unexpected<ConfigError> yaml_error(std::string_view file, YamlPosition position,
                                       const std::string& path, const std::string& message);

// What stands there, for a message: `"3"`, `a list`.
std::string describe_yaml(const YamlNode& node);

// "a, b, c"
std::string join_words(const std::vector<std::string>& words);

}  // namespace tidegauge
