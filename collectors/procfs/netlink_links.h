// SPDX-License-Identifier: Apache-2.0
#pragma once

// Network interface counters by rtnetlink: the numbers of /proc/net/dev before they are folded,
// plus nohandler, at about the same cost.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/core/result.h"

namespace tidegauge {

// struct rtnl_link_stats64 (include/uapi/linux/if_link.h), in its order.
struct LinkStats {
  std::string name;  // at most IFNAMSIZ, so without an allocation
  std::uint64_t receive_packets = 0;
  std::uint64_t transmit_packets = 0;
  std::uint64_t receive_bytes = 0;
  std::uint64_t transmit_bytes = 0;
  std::uint64_t receive_errors = 0;
  std::uint64_t transmit_errors = 0;
  std::uint64_t receive_dropped = 0;
  std::uint64_t transmit_dropped = 0;
  std::uint64_t multicast = 0;
  std::uint64_t collisions = 0;
  std::uint64_t receive_length_errors = 0;
  std::uint64_t receive_over_errors = 0;
  std::uint64_t receive_crc_errors = 0;
  std::uint64_t receive_frame_errors = 0;
  std::uint64_t receive_fifo_errors = 0;
  std::uint64_t receive_missed_errors = 0;
  std::uint64_t transmit_aborted_errors = 0;
  std::uint64_t transmit_carrier_errors = 0;
  std::uint64_t transmit_fifo_errors = 0;
  std::uint64_t transmit_heartbeat_errors = 0;
  std::uint64_t transmit_window_errors = 0;
  std::uint64_t receive_compressed = 0;
  std::uint64_t transmit_compressed = 0;
  std::optional<std::uint64_t> receive_nohandler;  // since 4.6 (6e7333d315a7)
};

// What one datagram of a dump says about the dump.
struct LinkDump {
  bool done = false;         // NLMSG_DONE: that was all
  bool interrupted = false;  // NLM_F_DUMP_INTR: the set of links changed meanwhile
};

// Appends the links of one datagram of RTM_NEWLINK messages. Links without a name or without
// statistics are left out. Messages of another sequence number are passed over.
Result<LinkDump> parse_link_messages(std::string_view datagram, std::uint32_t sequence,
                                     std::vector<LinkStats>& out);

// A kept NETLINK_ROUTE socket. Not thread-safe; owns its descriptor.
class LinkSocket {
 public:
  LinkSocket() = default;
  ~LinkSocket();
  LinkSocket(const LinkSocket&) = delete;
  LinkSocket& operator=(const LinkSocket&) = delete;

  // All links of this process's network namespace. Never blocks. After an error the socket is
  // opened anew by the next call.
  Result<void> dump(ReadBuffer& buffer, std::vector<LinkStats>& out);

 private:
  Result<void> open();
  void close();
  Result<void> request();
  Result<LinkDump> receive_all(ReadBuffer& buffer, std::vector<LinkStats>& out);

  int fd_ = -1;
  std::uint32_t sequence_ = 0;
};

}  // namespace tidegauge
