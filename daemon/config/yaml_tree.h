// SPDX-License-Identifier: Apache-2.0
#pragma once

// YAML text to a tree that knows its positions. Refuses what a configuration has no use for: more
// than one document, tags, a key given twice, keys that are no plain words. Hostile text ends in an
// error, not in time or memory: size, depth and nodes are bounded, an alias counts as the nodes it
// stands for.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"

namespace tidegauge {

inline constexpr std::size_t kMaxConfigBytes = 1U << 20U;
inline constexpr std::size_t kMaxYamlDepth = 32;
inline constexpr std::size_t kMaxYamlNodes = 10'000;

struct YamlPosition {
  int line = 1;  // both 1-based
  int column = 1;
};

struct YamlNode;
using YamlNodePtr = std::shared_ptr<const YamlNode>;

struct YamlEntry {
  std::string key;
  YamlPosition position;  // of the key
  YamlNodePtr value;
};

enum class YamlKind : std::uint8_t { kNull, kScalar, kSequence, kMapping };

struct YamlNode {
  YamlKind kind = YamlKind::kNull;
  YamlPosition position;
  std::string text;                // of a scalar
  bool plain = false;              // a scalar without quotes
  std::vector<YamlNodePtr> items;  // of a sequence
  std::vector<YamlEntry> entries;  // of a mapping, keys are unique
  std::size_t nodes = 1;           // below and including this one, aliases expanded
};

// The root; a null node for an empty document. `file` begins error messages.
ConfigResult<YamlNodePtr> parse_yaml_tree(std::string_view text, std::string_view file);

// "tidegauge.yaml:12:5: "
std::string yaml_position_prefix(std::string_view file, YamlPosition position);

// A key within a key path: itself, or quoted when it is not a plain word.
std::string display_key(std::string_view key);

}  // namespace tidegauge
