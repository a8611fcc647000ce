// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/origins.h"

#include <utility>

#include "daemon/config/yaml_tree.h"

namespace tidegauge {

void OptionOrigins::set(std::string_view key, std::string origin) {
  std::erase_if(origins_, [&](const auto& known) {
    const std::string_view option = known.first;
    return option.starts_with(key) && option.substr(key.size()).find_first_of("[.") == 0;
  });
  origins_.insert_or_assign(std::string(key), std::move(origin));
}

// A tree is bounded, aliases included.
void OptionOrigins::add_parts(const std::string& key, const YamlNode& value, std::string_view file,
                              const std::string& path) {
  const auto add = [&](const std::string& part, const YamlNode& node, YamlPosition position) {
    origins_.insert_or_assign(key + part, yaml_position_prefix(file, position) + path + part);
    add_parts(key + part, node, file, path + part);
  };
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    add("[" + std::to_string(i) + "]", *value.items[i], value.items[i]->position);
  }
  for (const YamlEntry& entry : value.entries) {
    add("." + display_key(entry.key), *entry.value, entry.position);
  }
}

std::string_view OptionOrigins::find(std::string_view option) const {
  while (!option.empty()) {
    if (const auto at = origins_.find(option); at != origins_.end()) {
      return at->second;
    }
    const auto last = option.find_last_of("[.");
    option = option.substr(0, last == std::string_view::npos ? 0 : last);
  }
  return "";
}

}  // namespace tidegauge
