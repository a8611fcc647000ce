// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/daemon_client.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxAnswerBytes = 1U << 20U;

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

// With limits of time. -1 when it cannot be had.
int open_socket(int family) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{.tv_sec = 2, .tv_usec = 0};
  if (fd >= 0) {
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  }
  return fd;
}

int connect_to(const sockaddr* name, socklen_t bytes) {
  const int fd = open_socket(name->sa_family);
  if (fd >= 0 && ::connect(fd, name, bytes) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

int connect_unix(std::string_view path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) {
    return -1;
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  return connect_to(reinterpret_cast<const sockaddr*>(&name), sizeof(name));
}

// "host:port", "[v6]:port", ":port", "unix:/path".
int connect_address(const std::string& address) {
  constexpr std::string_view kUnix = "unix:";
  if (address.starts_with(kUnix)) {
    return connect_unix(std::string_view(address).substr(kUnix.size()));
  }
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) {
    return -1;
  }
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[') {
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty() || host == "0.0.0.0" || host == "*" || host == "localhost") {
    host = "127.0.0.1";
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &list) != 0) {
    return -1;
  }
  const std::unique_ptr<addrinfo, FreeAddresses> target(list);
  return connect_to(target->ai_addr, target->ai_addrlen);
}

}  // namespace

std::optional<DaemonAnswer> ask_daemon(const std::string& address, std::string_view method,
                                       std::string_view target) {
  const int fd = connect_address(address);
  if (fd < 0) {
    return std::nullopt;
  }
  std::string request(method);
  request.append(" ").append(target).append(" HTTP/1.1\r\nHost: localhost\r\n");
  request.append("Content-Length: 0\r\nConnection: close\r\n\r\n");
  std::string answer;
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
      static_cast<ssize_t>(request.size())) {
    std::array<char, 16384> part{};
    ssize_t got = 0;
    while (answer.size() < kMaxAnswerBytes && (got = ::read(fd, part.data(), part.size())) > 0) {
      answer.append(part.data(), static_cast<std::size_t>(got));
    }
  }
  ::close(fd);
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  const auto body = answer.find("\r\n\r\n");
  if (!answer.starts_with(kVersion) || body == std::string::npos) {
    return std::nullopt;
  }
  const auto status = parse_unsigned(std::string_view(answer).substr(kVersion.size(), 3));
  return status ? std::optional(DaemonAnswer{static_cast<int>(*status), answer.substr(body + 4)})
                : std::nullopt;
}

}  // namespace tidegauge
