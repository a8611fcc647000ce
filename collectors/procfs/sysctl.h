// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// One number of a file below /proc/sys. Most are int or long, some unsigned long.
struct SysctlNumber {
  std::uint64_t bits = 0;  // of an int64 when `is_negative`
  bool is_negative = false;
};

// Decimal, or with the prefixes 0x, 0o, 0 and 0b, as node_exporter takes them.
std::optional<SysctlNumber> parse_sysctl_number(std::string_view field);

// Blank-separated numbers; `name` is the sysctl's, for errors.
Result<void> parse_sysctl_numbers(std::string_view name, std::string_view text,
                                  std::vector<SysctlNumber>& out);

// Blank-separated words; these point into the text.
Result<void> parse_sysctl_words(std::string_view name, std::string_view text,
                                std::vector<std::string_view>& out);

// "net.ipv4.tcp-rmem" -> "net_ipv4_tcp_rmem": runs of other bytes, with the underscores around
// them, become one underscore.
std::string sysctl_metric_name(std::string_view name);

extern const CollectorInfo kSysctlCollector;

}  // namespace tidegauge
