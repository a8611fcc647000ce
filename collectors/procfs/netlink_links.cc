// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/netlink_links.h"

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace tidegauge {

namespace {

constexpr std::string_view kWhere = "rtnetlink";
// The kernel fills at most 32 KiB per datagram, or one link when that is larger (many SR-IOV
// functions).
constexpr std::size_t kDatagramBytes = 64U * 1024;
constexpr std::size_t kMaxDatagramBytes = 4U * 1024 * 1024;
// 65 536 links of 1 KiB and more; no real host comes near.
constexpr unsigned kMaxDatagrams = 1U << 16U;

constexpr std::uint64_t LinkStats::*kCounters[] = {
    &LinkStats::receive_packets,
    &LinkStats::transmit_packets,
    &LinkStats::receive_bytes,
    &LinkStats::transmit_bytes,
    &LinkStats::receive_errors,
    &LinkStats::transmit_errors,
    &LinkStats::receive_dropped,
    &LinkStats::transmit_dropped,
    &LinkStats::multicast,
    &LinkStats::collisions,
    &LinkStats::receive_length_errors,
    &LinkStats::receive_over_errors,
    &LinkStats::receive_crc_errors,
    &LinkStats::receive_frame_errors,
    &LinkStats::receive_fifo_errors,
    &LinkStats::receive_missed_errors,
    &LinkStats::transmit_aborted_errors,
    &LinkStats::transmit_carrier_errors,
    &LinkStats::transmit_fifo_errors,
    &LinkStats::transmit_heartbeat_errors,
    &LinkStats::transmit_window_errors,
    &LinkStats::receive_compressed,
    &LinkStats::transmit_compressed,
};
constexpr std::size_t kCounterCount = std::size(kCounters);

constexpr std::size_t aligned(std::size_t length) { return (length + 3) & ~std::size_t{3}; }

// A copy of the header at the front of `bytes`, which need not be aligned.
template <class T>
bool read_header(std::string_view bytes, T& out) {
  if (bytes.size() < sizeof(T)) {
    return false;
  }
  std::memcpy(&out, bytes.data(), sizeof(T));
  return true;
}

template <class Word>
bool read_counters(std::string_view payload, LinkStats& out) {
  const auto word = [&](std::size_t i) {
    Word value = 0;
    std::memcpy(&value, payload.data() + i * sizeof(Word), sizeof(Word));
    return static_cast<std::uint64_t>(value);
  };
  if (payload.size() < kCounterCount * sizeof(Word)) {
    return false;
  }
  for (std::size_t i = 0; i < kCounterCount; ++i) {
    out.*kCounters[i] = word(i);
  }
  out.receive_nohandler.reset();
  if (payload.size() >= (kCounterCount + 1) * sizeof(Word)) {
    out.receive_nohandler = word(kCounterCount);
  }
  return true;
}

// Appends the link that the attributes describe, if it has a name and counters.
Result<void> read_link(std::string_view attributes, std::vector<LinkStats>& out) {
  LinkStats& link = out.emplace_back();
  std::string_view stats32;
  bool has_stats = false;
  while (!attributes.empty()) {
    rtattr header{};
    if (!read_header(attributes, header) || header.rta_len < sizeof(header) ||
        header.rta_len > attributes.size()) {
      return malformed(kWhere, 0, "an attribute within its message");
    }
    const std::string_view payload =
        attributes.substr(sizeof(header), header.rta_len - sizeof(header));
    if (header.rta_type == IFLA_IFNAME) {
      link.name.assign(payload.substr(0, payload.find('\0')));
    } else if (header.rta_type == IFLA_STATS64) {
      has_stats = read_counters<std::uint64_t>(payload, link);
    } else if (header.rta_type == IFLA_STATS) {
      stats32 = payload;
    }
    attributes.remove_prefix(std::min(aligned(header.rta_len), attributes.size()));
  }
  if (!has_stats) {
    has_stats = read_counters<std::uint32_t>(stats32, link);
  }
  if (!has_stats || link.name.empty()) {
    out.pop_back();
  }
  return {};
}

}  // namespace

Result<LinkDump> parse_link_messages(std::string_view datagram, std::uint32_t sequence,
                                     std::vector<LinkStats>& out) {
  LinkDump dump;
  while (!datagram.empty() && !dump.done) {
    nlmsghdr header{};
    if (!read_header(datagram, header) || header.nlmsg_len < sizeof(header) ||
        header.nlmsg_len > datagram.size()) {
      return malformed(kWhere, 0, "a message within its datagram");
    }
    std::string_view payload = datagram.substr(sizeof(header), header.nlmsg_len - sizeof(header));
    datagram.remove_prefix(std::min(aligned(header.nlmsg_len), datagram.size()));
    if (header.nlmsg_seq != sequence) {
      continue;
    }
    dump.interrupted |= (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    if (header.nlmsg_type == NLMSG_DONE) {
      dump.done = true;
    } else if (header.nlmsg_type == NLMSG_ERROR) {
      nlmsgerr error{};
      if (!read_header(payload, error)) {
        return malformed(kWhere, 0, "an error code");
      }
      return system_error(-error.error, kWhere);
    } else if (header.nlmsg_type == RTM_NEWLINK) {
      if (payload.size() < sizeof(ifinfomsg)) {
        return malformed(kWhere, 0, "an interface description");
      }
      payload.remove_prefix(aligned(sizeof(ifinfomsg)));
      if (auto link = read_link(payload, out); !link) {
        return tl::make_unexpected(link.error());
      }
    }
  }
  return dump;
}

LinkSocket::~LinkSocket() { close(); }

void LinkSocket::close() {
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

Result<void> LinkSocket::open() {
  fd_ = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd_ < 0) {
    return system_error(errno, kWhere);
  }
  return {};
}

Result<void> LinkSocket::request() {
  struct Request {
    nlmsghdr header{};
    ifinfomsg link{};
  } message;
  message.header.nlmsg_len = sizeof(message);
  message.header.nlmsg_type = RTM_GETLINK;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message.header.nlmsg_seq = ++sequence_;
  message.link.ifi_family = AF_UNSPEC;
  if (::send(fd_, &message, sizeof(message), 0) < 0) {
    return system_error(errno, kWhere);
  }
  return {};
}

// The kernel writes each datagram of a dump inside recv(), so a non-blocking one always finds the
// next until the dump is done.
Result<LinkDump> LinkSocket::receive_all(ReadBuffer& buffer, std::vector<LinkStats>& out) {
  LinkDump all;
  buffer.reserve(kDatagramBytes);
  for (unsigned datagrams = 0; !all.done; ++datagrams) {
    if (datagrams == kMaxDatagrams) {
      return tl::make_unexpected(Error{ErrorKind::kTooLarge, 0, std::string(kWhere)});
    }
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.capacity(), MSG_TRUNC);
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      return system_error(errno, kWhere);
    }
    const auto size = static_cast<std::size_t>(got);
    if (size > buffer.capacity()) {
      // Cut off and gone; the caller asks again with room enough.
      if (size <= kMaxDatagramBytes) {
        buffer.reserve(size);
      }
      return tl::make_unexpected(Error{ErrorKind::kTooLarge, 0, std::string(kWhere)});
    }
    auto part = parse_link_messages({buffer.data(), size}, sequence_, out);
    if (!part) {
      return part;
    }
    all.done = part->done;
    all.interrupted |= part->interrupted;
  }
  return all;
}

Result<void> LinkSocket::dump(ReadBuffer& buffer, std::vector<LinkStats>& out) {
  Result<LinkDump> dumped = LinkDump{};
  // Once more after an interrupted or cut dump, and after ENOBUFS or a socket that went bad. One that
  // is interrupted again may lack links: an error, for which the caller has /proc/net/dev.
  for (int attempt = 0; attempt < 2; ++attempt) {
    out.clear();
    if (fd_ < 0) {
      if (auto opened = open(); !opened) {
        return opened;
      }
    }
    if (auto sent = request(); !sent) {
      dumped = tl::make_unexpected(sent.error());
    } else {
      dumped = receive_all(buffer, out);
    }
    if (!dumped) {
      close();
    } else if (!dumped->interrupted) {
      return {};
    }
  }
  if (!dumped) {
    return tl::make_unexpected(dumped.error());
  }
  return system_error(EINTR, kWhere);
}

}  // namespace tidegauge
