// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "collectors/core/collector.h"

namespace tidegauge {

// The labels of node_os_info in the order of exposition; the file's keys are the same in capitals.
inline constexpr std::array<std::string_view, 12> kOsLabels = {
    "build_id",    "id",      "id_like",    "image_id", "image_version",    "name",
    "pretty_name", "variant", "variant_id", "version",  "version_codename", "version_id"};

// os-release(5).
struct OsRelease {
  std::array<std::string, kOsLabels.size()> values;  // parallel to kOsLabels, empty when not given
  std::optional<double> version;                     // "22.04" of VERSION_ID="22.04.3", never 0
  std::optional<std::int64_t> support_end_seconds;   // SUPPORT_END's midnight, UTC, since 1970

  [[nodiscard]] const std::string& value(std::string_view label) const;
};

// Replaces what `out` holds.
Result<void> parse_os_release(std::string_view text, OsRelease& out);

extern const CollectorInfo kOsCollector;

}  // namespace tidegauge
