// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/yaml_value.h"

#include <algorithm>

#include "daemon/config/suggest.h"

namespace tidegauge {

namespace {

// A quoted scalar is text, even if it spells a number.
bool takes_text(OptionType type) {
  return type != OptionType::kBool && type != OptionType::kInteger;
}

class ValueReader {
 public:
  explicit ValueReader(std::string_view file) : file_(file) {}

  [[nodiscard]] ConfigResult<OptionValue> value(const Target& target, const YamlEntry& entry,
                                                const std::string& path) const {
    switch (target.spec().type) {
      case OptionType::kStringList:
        return list(target, entry, path);
      case OptionType::kRecords:
        return records(target, entry, path);
      default:
        return scalar(target, *entry.value, entry.position, path);
    }
  }

 private:
  [[nodiscard]] tl::unexpected<ConfigError> fail(YamlPosition position, const std::string& path,
                                                 const std::string& message) const {
    return yaml_error(file_, position, path, message);
  }

  [[nodiscard]] ConfigResult<OptionValue> scalar(const Target& target, const YamlNode& node,
                                                 YamlPosition position,
                                                 const std::string& path) const {
    if (node.kind != YamlKind::kScalar || (!node.plain && !takes_text(target.spec().type))) {
      return fail(position, path, expected_but_got(target, describe_yaml(node)));
    }
    auto parsed = parse_value(target, node.text);
    if (!parsed) {
      return fail(position, path, parsed.error().message);
    }
    return parsed;
  }

  // A list of one may be written as its item.
  [[nodiscard]] ConfigResult<OptionValue> list(const Target& target, const YamlEntry& entry,
                                               const std::string& path) const {
    const YamlNode& node = *entry.value;
    if (node.kind != YamlKind::kSequence) {
      return scalar(target, node, entry.position, path);
    }
    if (node.items.size() < static_cast<std::size_t>(target.spec().min)) {
      return fail(entry.position, path, expected_but_got(target, "an empty list"));
    }
    std::vector<std::string> items;
    for (const YamlNodePtr& item : node.items) {
      const std::string item_path = path + "[" + std::to_string(items.size()) + "]";
      if (item->kind != YamlKind::kScalar && target.setting == nullptr) {
        return fail(item->position, item_path, "expected text, got " + describe_yaml(*item));
      }
      auto parsed = scalar(target, *item, item->position, item_path);
      if (!parsed) {
        return parsed;
      }
      items.push_back(std::get<std::vector<std::string>>(*parsed).front());
    }
    return OptionValue(std::move(items));
  }

  [[nodiscard]] ConfigResult<OptionValue> records(const Target& target, const YamlEntry& entry,
                                                  const std::string& path) const {
    const YamlNode& node = *entry.value;
    if (node.kind != YamlKind::kSequence) {
      return fail(entry.position, path, expected_but_got(target, describe_yaml(node)));
    }
    if (node.items.size() > static_cast<std::size_t>(target.spec().max)) {
      return fail(entry.position, path,
                  "expected at most " + std::to_string(target.spec().max) + " records, got " +
                      std::to_string(node.items.size()));
    }
    std::vector<OptionRecord> records;
    for (const YamlNodePtr& item : node.items) {
      auto parsed = record(target, *item, path + "[" + std::to_string(records.size()) + "]");
      if (!parsed) {
        return tl::make_unexpected(parsed.error());
      }
      records.push_back(std::move(*parsed));
    }
    return OptionValue(std::move(records));
  }

  [[nodiscard]] ConfigResult<OptionRecord> record(const Target& target, const YamlNode& node,
                                                  const std::string& path) const {
    const std::span<const OptionSpec> fields = target.spec().fields;
    if (node.kind != YamlKind::kMapping || node.entries.empty()) {
      const bool empty = node.kind == YamlKind::kMapping;
      return fail(node.position, path,
                  "expected a record of " + join_words(keys_of(fields)) + ", got " +
                      (empty ? "an empty one" : describe_yaml(node)));
    }
    OptionRecord record;
    for (const YamlEntry& entry : node.entries) {
      const std::string field_path = path + "." + display_key(entry.key);
      const auto field = std::ranges::find(fields, entry.key, &OptionSpec::key);
      if (field == fields.end()) {
        const std::vector<std::string> known = keys_of(fields);
        return fail(entry.position, field_path,
                    "unknown field" + did_you_mean(entry.key, known) + "; expected one of " +
                        join_words(known));
      }
      auto parsed = value(Target{nullptr, target.collector, &*field}, entry, field_path);
      if (!parsed) {
        return tl::make_unexpected(parsed.error());
      }
      set(record, field->key, std::move(*parsed));
    }
    return record;
  }

  static void set(OptionRecord& record, std::string_view key, OptionValue&& value) {
    std::visit(
        [&](auto&& held) {
          using Held = std::remove_cvref_t<decltype(held)>;
          if constexpr (!std::is_same_v<Held,
                                        std::vector<OptionRecord>>) {  // no record in a record
            record.set(key, std::forward<decltype(held)>(held));
          }
        },
        std::move(value));
  }

  static std::vector<std::string> keys_of(std::span<const OptionSpec> fields) {
    std::vector<std::string> keys;
    for (const OptionSpec& field : fields) {
      keys.emplace_back(field.key);
    }
    return keys;
  }

  std::string_view file_;
};

}  // namespace

ConfigResult<OptionValue> read_yaml_value(const Target& target, const YamlEntry& entry,
                                          std::string_view file, const std::string& path) {
  return ValueReader(file).value(target, entry, path);
}

tl::unexpected<ConfigError> yaml_error(std::string_view file, YamlPosition position,
                                       const std::string& path, const std::string& message) {
  return tl::make_unexpected(ConfigError{yaml_position_prefix(file, position) + path +
                                         (path.empty() ? "" : ": ") + message});
}

std::string describe_yaml(const YamlNode& node) {
  switch (node.kind) {
    case YamlKind::kNull:
      return "nothing";
    case YamlKind::kScalar:
      return (node.plain ? "" : "the text ") + quote(node.text);
    case YamlKind::kSequence:
      return "a list";
    case YamlKind::kMapping:
      return "a mapping";
  }
  return "something else";
}

std::string join_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text.append(text.empty() ? "" : ", ").append(word);
  }
  return text;
}

}  // namespace tidegauge
