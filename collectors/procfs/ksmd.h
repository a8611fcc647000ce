// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "collectors/core/collector.h"

namespace tidegauge {

// The files of /sys/kernel/mm/ksm (mm/ksm.c), one number each; kernels differ in which they have.
struct Ksm {
  std::optional<std::uint64_t> full_scans;
  std::optional<std::uint64_t> merge_across_nodes;
  std::optional<std::uint64_t> pages_shared;
  std::optional<std::uint64_t> pages_sharing;
  std::optional<std::uint64_t> pages_to_scan;
  std::optional<std::uint64_t> pages_unshared;
  std::optional<std::uint64_t> pages_volatile;
  std::optional<std::uint64_t> run;  // 0 stopped, 1 running, 2 stopped and unmerged
  std::optional<std::uint64_t> sleep_ms;
  std::optional<std::int64_t> general_profit_bytes;  // 6.4; negative when it costs more
};

// The content of one such file; `file` names it in errors.
Result<std::int64_t> parse_ksm_number(std::string_view file, std::string_view text);

extern const CollectorInfo kKsmdCollector;

}  // namespace tidegauge
