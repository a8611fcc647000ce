// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/procfs/netlink_links.h"

namespace tidegauge {

// A line of /proc/net/dev (net/core/net-procfs.c dev_seq_printf_stats), which folds the kernel's
// counters.
struct NetDevice {
  std::string name;
  std::uint64_t receive_bytes = 0;
  std::uint64_t receive_packets = 0;
  std::uint64_t receive_errors = 0;
  std::uint64_t receive_dropped = 0;  // with missed ones
  std::uint64_t receive_fifo = 0;
  std::uint64_t receive_frame = 0;  // length, overrun, CRC and frame errors
  std::uint64_t receive_compressed = 0;
  std::uint64_t receive_multicast = 0;
  std::uint64_t transmit_bytes = 0;
  std::uint64_t transmit_packets = 0;
  std::uint64_t transmit_errors = 0;
  std::uint64_t transmit_dropped = 0;
  std::uint64_t transmit_fifo = 0;
  std::uint64_t transmit_collisions = 0;
  std::uint64_t transmit_carrier = 0;  // carrier, aborted, window and heartbeat errors
  std::uint64_t transmit_compressed = 0;
  std::optional<std::uint64_t> receive_nohandler;  // rtnetlink only
};

Result<void> parse_net_dev(std::string_view text, std::vector<NetDevice>& out);

// Folds as the kernel does for /proc/net/dev.
void fold_link_stats(const LinkStats& link, NetDevice& out);

extern const CollectorInfo kNetdevCollector;

}  // namespace tidegauge
