// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/pid_smaps_rollup.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

struct Field {
  std::string_view name;
  std::optional<std::uint64_t> PidSmapsRollup::*member;
};
constexpr Field kFields[] = {
    {"Pss:", &PidSmapsRollup::pss_kib},
    {"Shared_Clean:", &PidSmapsRollup::shared_clean_kib},
    {"Shared_Dirty:", &PidSmapsRollup::shared_dirty_kib},
    {"Private_Clean:", &PidSmapsRollup::private_clean_kib},
    {"Private_Dirty:", &PidSmapsRollup::private_dirty_kib},
    {"Anonymous:", &PidSmapsRollup::anonymous_kib},
    {"AnonHugePages:", &PidSmapsRollup::anon_huge_kib},
    {"Swap:", &PidSmapsRollup::swap_kib},
    {"SwapPss:", &PidSmapsRollup::swap_pss_kib},
    {"Locked:", &PidSmapsRollup::locked_kib},
};

}  // namespace

// 563b0a5c4000-7ffd8b9f5000 ---p 00000000 00:00 0                          [rollup]
// Rss:                3544 kB
// Pss:                 422 kB
// Pss_Dirty:           188 kB
// ...
// Locked:                0 kB
Result<PidSmapsRollup> parse_pid_smaps_rollup(std::string_view text) {
  PidSmapsRollup rollup;
  bool has_rss = false;
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    const std::string_view name = next_field(line);
    if (!name.ends_with(':')) {
      continue;
    }
    std::optional<std::uint64_t> PidSmapsRollup::*member = nullptr;
    for (const Field& field : kFields) {
      member = field.name == name ? field.member : member;
    }
    if (member == nullptr && name != "Rss:") {
      continue;
    }
    const auto kib = next_unsigned(line);
    if (!kib || next_field(line) != "kB") {
      return malformed(kPidSmapsRollupFile, lines.number(), "NAME: NUMBER kB");
    }
    if (member != nullptr) {
      rollup.*member = *kib;
    } else {
      rollup.rss_kib = *kib;
      has_rss = true;
    }
  }
  if (!has_rss) {
    return malformed(kPidSmapsRollupFile, 0, "Rss");
  }
  return rollup;
}

}  // namespace tidegauge
