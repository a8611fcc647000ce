// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/yaml.h"

#include <algorithm>
#include <string>

#include "daemon/config/suggest.h"
#include "daemon/config/yaml_tree.h"
#include "daemon/config/yaml_value.h"

namespace tidegauge {

namespace {

class Walker {
 public:
  Walker(std::string_view file, CollectorRegistry registry, ConfigBuilder& builder)
      : file_(file), registry_(registry), builder_(builder) {}

  ConfigResult<void> root(const YamlNode& node) {
    if (node.kind == YamlKind::kNull) {
      return {};
    }
    if (node.kind != YamlKind::kMapping) {
      return fail(node.position, "", "expected keys and values, got " + describe_yaml(node));
    }
    for (const YamlEntry& entry : node.entries) {
      if (auto done = root_entry(entry); !done) {
        return done;
      }
    }
    return {};
  }

 private:
  [[nodiscard]] tl::unexpected<ConfigError> fail(YamlPosition position, const std::string& path,
                                                 const std::string& message) const {
    return yaml_error(file_, position, path, message);
  }

  [[nodiscard]] static const Setting* find_setting(std::string_view section, std::string_view key) {
    const auto at = std::ranges::find_if(settings(), [&](const Setting& setting) {
      return setting.section == section && setting.spec.key == key;
    });
    return at == settings().end() ? nullptr : &*at;
  }

  [[nodiscard]] std::vector<std::string> collector_names() const {
    std::vector<std::string> names;
    for (const CollectorInfo* info : registry_) {
      names.emplace_back(info->name);
    }
    return names;
  }

  // Keys that may stand in a section; at the root the sections themselves, too.
  [[nodiscard]] static std::vector<std::string> keys_of(std::string_view section) {
    std::vector<std::string> keys;
    for (const Setting& setting : settings()) {
      if (setting.section == section) {
        keys.emplace_back(setting.spec.key);
      }
    }
    for (const ConfigSection& other : config_sections()) {
      if (section.empty() && !other.key.empty()) {
        keys.emplace_back(other.key);
      }
    }
    return keys;
  }

  // Where a key stands that is in the wrong place: "web.max_requests".
  [[nodiscard]] std::vector<std::string> paths_of(std::string_view key) const {
    std::vector<std::string> paths;
    for (const Setting& setting : settings()) {
      if (setting.spec.key == key) {
        paths.push_back((setting.section.empty() ? "" : std::string(setting.section) + ".") +
                        std::string(key));
      }
    }
    for (const CollectorInfo* info : registry_) {
      if (info->name == key) {
        paths.push_back("collectors." + std::string(key));
      }
    }
    return paths;
  }

  [[nodiscard]] tl::unexpected<ConfigError> unknown(const YamlEntry& entry, const std::string& path,
                                                    const std::vector<std::string>& known) const {
    std::string hint = did_you_mean(entry.key, known);
    if (hint.empty()) {
      hint = did_you_mean(entry.key, paths_of(entry.key));
    }
    if (hint.empty()) {
      hint = "; expected one of " + join_words(known);
    }
    return fail(entry.position, path + display_key(entry.key), "unknown key" + hint);
  }

  ConfigResult<void> root_entry(const YamlEntry& entry) {
    const auto is_section = [&](const ConfigSection& section) { return section.key == entry.key; };
    if (entry.key.empty() || std::ranges::none_of(config_sections(), is_section)) {
      return setting_entry("", entry);
    }
    return mapping(entry, entry.key, [&](const YamlEntry& inner) {
      const bool is_collector =
          entry.key == "collectors" && find_setting(entry.key, inner.key) == nullptr;
      return is_collector ? collector_entry(inner) : setting_entry(entry.key, inner);
    });
  }

  // The entries of a mapping; one without any (all commented out) is null in YAML.
  template <class Each>
  ConfigResult<void> mapping(const YamlEntry& entry, const std::string& path, const Each& each) {
    if (entry.value->kind != YamlKind::kMapping && entry.value->kind != YamlKind::kNull) {
      return fail(entry.position, path, "expected a mapping, got " + describe_yaml(*entry.value));
    }
    for (const YamlEntry& inner : entry.value->entries) {
      if (auto done = each(inner); !done) {
        return done;
      }
    }
    return {};
  }

  ConfigResult<void> setting_entry(const std::string& section, const YamlEntry& entry) {
    const std::string prefix = section.empty() ? "" : section + ".";
    const Setting* setting = find_setting(section, entry.key);
    if (setting == nullptr) {
      return unknown(entry, prefix, keys_of(section));
    }
    return value(Target{.setting = setting}, entry, prefix + entry.key);
  }

  ConfigResult<void> collector_entry(const YamlEntry& entry) {
    const std::string path = "collectors." + display_key(entry.key);
    const auto at = std::ranges::find(registry_, entry.key, &CollectorInfo::name);
    if (at == registry_.end()) {
      const std::vector<std::string> names = collector_names();
      std::string hint = did_you_mean(entry.key, names);
      if (hint.empty()) {
        hint = did_you_mean(entry.key, keys_of("collectors"));
      }
      return fail(
          entry.position, path,
          "unknown collector" + (hint.empty() ? "; expected one of " + join_words(names) : hint));
    }
    const auto index = static_cast<std::size_t>(at - registry_.begin());
    return mapping(entry, path,
                   [&](const YamlEntry& inner) { return option_entry(index, path, inner); });
  }

  ConfigResult<void> option_entry(std::size_t collector, const std::string& path,
                                  const YamlEntry& entry) {
    std::vector<std::string> known;
    const auto matches = [&](const OptionSpec& spec) {
      known.emplace_back(spec.key);
      return spec.key == entry.key;
    };
    const OptionSpec* found = nullptr;
    for (const OptionSpec* spec : {&kCollectorEnabled, &kCollectorInterval}) {
      found = matches(*spec) ? spec : found;
    }
    for (const OptionSpec& spec : registry_[collector]->options) {
      found = matches(spec) ? &spec : found;
    }
    if (found == nullptr) {
      return unknown(entry, path + ".", known);
    }
    return value(Target{nullptr, collector, found}, entry, path + "." + entry.key);
  }

  ConfigResult<void> value(const Target& target, const YamlEntry& entry, const std::string& path) {
    auto parsed = read_yaml_value(target, entry, file_, path);
    if (!parsed) {
      return tl::make_unexpected(parsed.error());
    }
    builder_.set(ConfigLayer::kFile, target, std::move(*parsed),
                 yaml_position_prefix(file_, entry.position) + path);
    builder_.set_parts(target, *entry.value, file_, path);
    return {};
  }

  std::string_view file_;
  CollectorRegistry registry_;
  ConfigBuilder& builder_;
};

}  // namespace

ConfigResult<void> apply_yaml(std::string_view text, std::string_view file,
                              CollectorRegistry registry, ConfigBuilder& builder) {
  const auto tree = parse_yaml_tree(text, file);
  if (!tree) {
    return tl::make_unexpected(tree.error());
  }
  return Walker(file, registry, builder).root(**tree);
}

}  // namespace tidegauge
