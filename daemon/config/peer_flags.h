// SPDX-License-Identifier: Apache-2.0
#pragma once

// Flags of node_exporter that mean nothing here but stand in existing units and manifests.

#include <span>
#include <string_view>

namespace tidegauge {

struct IgnoredFlag {
  std::string_view name;  // without dashes; takes a value
  std::string_view why;   // for a warning
};
std::span<const IgnoredFlag> ignored_flags();

// Whether node_exporter has a collector of that name. Where this build has none, switching it off is
// what is the case anyway, and switching it on is an error that says so.
bool is_peer_collector(std::string_view name);

}  // namespace tidegauge
