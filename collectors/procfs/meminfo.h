// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// One line of /proc/meminfo (fs/proc/meminfo.c) or of a node's meminfo (drivers/base/node.c). Sizes
// carry the unit kB, which means KiB; the HugePages_ lines are counts without a unit.
struct MeminfoField {
  std::string_view name;  // "Active(anon)", into the parsed text, which has the ':' right after it
  std::uint64_t value = 0;
  bool kibibytes = false;
};

// "Name: 123 kB"; none when the line is anything else.
std::optional<MeminfoField> parse_meminfo_line(std::string_view line);

// Every line, in file order, names as the kernel prints them.
Result<void> parse_meminfo(std::string_view text, std::vector<MeminfoField>& out);

// What identifies a field to a NamedTable: its name, with the ':' when it has no unit. So a rule,
// which sees nothing but this, knows whether it names bytes or a count.
std::string_view meminfo_key(const MeminfoField& field);

// "Active(anon)" -> "Active_anon", also without a key's ':'.
std::string meminfo_metric_name(std::string_view key);

extern const CollectorInfo kMeminfoCollector;

}  // namespace tidegauge
