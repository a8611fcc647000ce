// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

// What is used of /proc/PID/smaps_rollup (fs/proc/task_mmu.c, show_smaps_rollup; Linux 4.14): the sum
// over all mappings. Reading it walks every page table entry under the process's mmap lock: by
// TimedReader only, and of few processes.
struct PidSmapsRollup {
  std::uint64_t rss_kib = 0;
  std::optional<std::uint64_t> pss_kib;  // shared pages divided by how many share them
  std::optional<std::uint64_t> shared_clean_kib;
  std::optional<std::uint64_t> shared_dirty_kib;
  std::optional<std::uint64_t> private_clean_kib;
  std::optional<std::uint64_t> private_dirty_kib;
  std::optional<std::uint64_t> anonymous_kib;
  std::optional<std::uint64_t> anon_huge_kib;
  std::optional<std::uint64_t> swap_kib;
  std::optional<std::uint64_t> swap_pss_kib;
  std::optional<std::uint64_t> locked_kib;
};

inline constexpr std::string_view kPidSmapsRollupFile = "PID/smaps_rollup";

// Rss must be there.
Result<PidSmapsRollup> parse_pid_smaps_rollup(std::string_view text);

}  // namespace tidegauge
