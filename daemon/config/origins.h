// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where a collector's options were written, for what the collector says about them when it is made:
// it knows the option, not the file.

#include <map>
#include <string>
#include <string_view>

namespace tidegauge {

struct YamlNode;

class OptionOrigins {
 public:
  // `origin` begins messages about the option `key`: "tidegauge.yaml:7:5: collectors.disk.workers",
  // "--collector.disk.workers". Replaces what is known of the key and of its parts.
  void set(std::string_view key, std::string origin);
  // The parts of the value that set() was called for; `path` is its key path in the file.
  void add_parts(const std::string& key, const YamlNode& value, std::string_view file,
                 const std::string& path);

  // Of `option` ("groups[0].name") or, where that was not written, of what it is part of; "" where
  // nobody wrote either.
  [[nodiscard]] std::string_view find(std::string_view option) const;

 private:
  std::map<std::string, std::string, std::less<>> origins_;
};

}  // namespace tidegauge
