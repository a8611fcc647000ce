// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a key or a flag may set, and from text to value.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/config/settings.h"

namespace tidegauge {

// What a key or a flag sets: a setting of the daemon or, where there is none, a collector's
// kCollectorEnabled, kCollectorInterval or own option.
struct Target {
  const Setting* setting = nullptr;
  std::size_t collector = 0;  // place in the registry
  const OptionSpec* option = nullptr;

  [[nodiscard]] const OptionSpec& spec() const { return setting ? setting->spec : *option; }
  // "a duration such as 500ms or 15s, from 100ms to 1m"
  [[nodiscard]] std::string accepted() const;
};

// The value that `text` writes; of a list, one item. The error is "expected ..., got ...".
ConfigResult<OptionValue> parse_value(const Target& target, std::string_view text);

// `expected ..., got <got>`
std::string expected_but_got(const Target& target, std::string_view got);

// "1s", "1m30s", "100ms"; parse_duration() reads it back.
std::string format_duration(std::int64_t duration_ns);

// Text from a file or a command line within a message: quoted, escaped, cut.
std::string quote(std::string_view text);

}  // namespace tidegauge
