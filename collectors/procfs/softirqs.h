// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// One column of /proc/softirqs (fs/proc/softirqs.c, show_softirqs), which lists possible CPUs.
struct CpuSoftirqs {
  std::uint64_t hi = 0;
  std::uint64_t timer = 0;
  std::uint64_t net_tx = 0;
  std::uint64_t net_rx = 0;
  std::uint64_t block = 0;
  std::optional<std::uint64_t> irq_poll;      // since 4.5
  std::optional<std::uint64_t> block_iopoll;  // its name before
  std::uint64_t tasklet = 0;
  std::uint64_t sched = 0;
  std::uint64_t hrtimer = 0;
  std::uint64_t rcu = 0;
};

// Replaces `cpus`: one element per column.
Result<void> parse_softirqs(std::string_view text, std::vector<CpuSoftirqs>& cpus);

extern const CollectorInfo kSoftirqsCollector;

}  // namespace tidegauge
