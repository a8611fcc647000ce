// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <system_error>

namespace tidegauge {
namespace {

constexpr int kBacklog = 1024;  // the kernel cuts it to net.core.somaxconn
constexpr mode_t kUnixMode = 0660;

// A client that acknowledges nothing must not hold the kernel's copy of a response for the usual
// quarter of an hour after we closed. Accepted sockets inherit it.
constexpr int kUnacknowledgedLimitMs = 15'000;

// Without it the kernel lets a client that does not read pile up net.ipv4.tcp_wmem[2] (4 MiB) of
// response; a usual scrape still fits. Accepted sockets inherit it.
constexpr int kSendBufferBytes = 256 * 1024;

tl::unexpected<std::string> fail(std::string_view address, std::string_view why) {
  std::string text = "cannot listen on ";
  text.append(address).append(": ").append(why);
  return tl::unexpected(std::move(text));
}

std::string describe(int errno_value) { return std::generic_category().message(errno_value); }

std::string explain_bind(int errno_value, std::uint16_t port) {
  const std::string number = std::to_string(port);
  switch (errno_value) {
    case EADDRINUSE:
      return "address in use by another process; `ss -ltnp 'sport = :" + number + "'` names it";
    case EACCES:
      return "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE";
    case EADDRNOTAVAIL:
      return "this host has no such address";
    default:
      return describe(errno_value);
  }
}

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

struct HostPort {
  std::string host;  // without brackets; empty for all addresses
  std::string port;
  std::uint16_t port_number = 0;
};

tl::expected<HostPort, std::string> split_host_port(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return fail(address, "no port; want HOST:PORT");
  std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);
  const auto number = parse_number<std::uint16_t>(port);
  if (!number) return fail(address, "the port must be a number from 0 to 65535");
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) {
      return fail(address, "only an IPv6 address stands in brackets");
    }
  } else if (host.find_first_of(":[]") != std::string_view::npos) {
    return fail(address, "write an IPv6 address in brackets, like [::1]:10070");
  }
  return HostPort{std::string(host), std::to_string(*number), *number};
}

std::string format_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return "?";
  if (storage.ss_family == AF_UNIX) {
    const auto* local = reinterpret_cast<const sockaddr_un*>(&storage);
    const std::size_t path_length = length - offsetof(sockaddr_un, sun_path);
    return "unix:" + std::string(local->sun_path, strnlen(local->sun_path, path_length));
  }
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(reinterpret_cast<sockaddr*>(&storage), length, host, sizeof host, port,
                  sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "?";
  }
  const std::string name = storage.ss_family == AF_INET6 ? "[" + std::string(host) + "]" : host;
  return name + ":" + port;
}

void set_int_option(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

void bound_kernel_memory(int fd) {
  set_int_option(fd, SOL_SOCKET, SO_SNDBUF, kSendBufferBytes);
  set_int_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledgedLimitMs);  // not on unix
}

// Returns the socket, or -1 with errno set.
int open_socket(const addrinfo& info, bool dual_stack) {
  const int fd = socket(info.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  set_int_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);  // a restart must not wait for TIME_WAIT
  if (info.ai_family == AF_INET6) {
    set_int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual_stack ? 0 : 1);
  }
  bound_kernel_memory(fd);
  if (bind(fd, info.ai_addr, info.ai_addrlen) == 0 && listen(fd, kBacklog) == 0) return fd;
  const int saved_errno = errno;
  close(fd);
  errno = saved_errno;
  return -1;
}

struct AddrinfoDeleter {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

// Says whether a unix socket's path may be removed: only when nobody listens behind it.
tl::expected<void, std::string> remove_stale(std::string_view address, const std::string& path,
                                             const sockaddr_un& name) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail(address, describe(errno));
  }
  if (!S_ISSOCK(status.st_mode)) return fail(address, "exists and is not a socket");
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return fail(address, describe(errno));
  const int result = connect(probe, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  const int connect_errno = result == 0 ? 0 : errno;
  close(probe);
  if (connect_errno == 0 || connect_errno == EAGAIN) {
    return fail(address, "address in use by another process; `ss -lxp` names it");
  }
  if (connect_errno != ECONNREFUSED) return fail(address, describe(connect_errno));
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail(address, describe(errno));
  return {};
}

}  // namespace

Listener::~Listener() {
  if (fd_ < 0) return;
  close(fd_);
  if (!made_path_.empty()) unlink(made_path_.c_str());
}

tl::expected<Listener, std::string> Listener::open(std::string_view address) {
  if (address.starts_with("unix:")) return open_unix(address);
  if (address.starts_with("fd:")) return adopt(address);
  return open_tcp(address);
}

tl::expected<Listener, std::string> Listener::open_tcp(std::string_view address) {
  const auto parsed = split_host_port(address);
  if (!parsed) return tl::unexpected(parsed.error());
  const bool every_address = parsed->host.empty();

  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  // The resolver sorts by its own rules; of the two wildcards IPv6 must be tried first.
  hints.ai_family = every_address ? AF_INET6 : AF_UNSPEC;
  const char* host = every_address ? "::" : parsed->host.c_str();
  addrinfo* raw = nullptr;
  const int code = getaddrinfo(host, parsed->port.c_str(), &hints, &raw);
  if (code != 0) return fail(address, gai_strerror(code));
  const std::unique_ptr<addrinfo, AddrinfoDeleter> list(raw);

  int fd = -1;
  for (const addrinfo* info = raw; info != nullptr && fd < 0; info = info->ai_next) {
    fd = open_socket(*info, every_address);
  }
  const bool lacks_ipv6 = fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
  if (every_address && lacks_ipv6) return open_tcp("0.0.0.0:" + parsed->port);
  if (fd < 0) return fail(address, explain_bind(errno, parsed->port_number));

  Listener listener(fd);
  listener.address_ = format_address(fd);
  return listener;
}

tl::expected<Listener, std::string> Listener::open_unix(std::string_view address) {
  const std::string path(address.substr(std::strlen("unix:")));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (!path.starts_with('/')) return fail(address, "want an absolute path after unix:");
  if (path.size() >= sizeof name.sun_path) return fail(address, "the path is too long");
  std::memcpy(name.sun_path, path.data(), path.size());
  if (auto removed = remove_stale(address, path, name); !removed) {
    return tl::unexpected(removed.error());
  }

  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(address, describe(errno));
  Listener listener(fd);
  // bind() takes the mode from the socket (net/unix/af_unix.c), so the path is never wider than
  // this, not even for a moment; chmod only undoes a stricter umask.
  fchmod(fd, kUnixMode);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    return fail(address, describe(errno));
  }
  listener.made_path_ = path;
  if (chmod(path.c_str(), kUnixMode) != 0 || listen(fd, kBacklog) != 0) {
    return fail(address, describe(errno));
  }
  listener.address_ = std::string(address);
  return listener;
}

tl::expected<Listener, std::string> Listener::adopt(std::string_view address) {
  const auto fd = parse_number<int>(address.substr(std::strlen("fd:")));
  if (!fd || *fd < 0) return fail(address, "want a descriptor's number after fd:");
  int listening = 0;
  socklen_t length = sizeof listening;
  if (getsockopt(*fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0) {
    return fail(address, describe(errno));
  }
  if (listening == 0) return fail(address, "not a listening socket");
  const int flags = fcntl(*fd, F_GETFL);
  if (flags < 0 || fcntl(*fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
      fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0) {
    return fail(address, describe(errno));
  }
  bound_kernel_memory(*fd);
  Listener listener(*fd);
  listener.address_ = format_address(*fd);
  return listener;
}

}  // namespace tidegauge
