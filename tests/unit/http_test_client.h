// SPDX-License-Identifier: Apache-2.0
#pragma once

// A blocking HTTP client for tests, on raw sockets so that it can misbehave. Every wait has a
// deadline. Addresses are those of Listener::address().

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace tidegauge::testing {

using std::chrono::milliseconds;
using TestClock = std::chrono::steady_clock;

inline constexpr milliseconds kPatience{5'000};  // for what must happen: only failures wait it out

inline milliseconds since(TestClock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(TestClock::now() - start);
}

template <class Predicate>
bool eventually(Predicate predicate, milliseconds patience = kPatience) {
  const auto end = TestClock::now() + patience;
  while (!predicate()) {
    if (TestClock::now() >= end) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

struct TestResponse {
  int status = 0;
  std::string headers;  // lower case, status line included
  std::string body;

  [[nodiscard]] bool has(std::string_view header_line) const {
    return headers.find(header_line) != std::string::npos;
  }
};

class TestClient {
 public:
  TestClient() = default;
  explicit TestClient(const std::string& address, int receive_buffer_bytes = 0) {
    prepare(address, receive_buffer_bytes);
    connect();
  }
  TestClient(TestClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), name_(other.name_), length_(other.length_) {}
  TestClient& operator=(TestClient&&) = delete;
  ~TestClient() {
    if (fd_ >= 0) ::close(fd_);
  }

  // Takes a descriptor; connect() then needs none.
  void prepare(const std::string& address, int receive_buffer_bytes = 0) {
    int family = AF_INET;
    std::memset(&name_, 0, sizeof name_);
    if (address.starts_with("unix:")) {
      family = AF_UNIX;
      auto* local = reinterpret_cast<sockaddr_un*>(&name_);
      local->sun_family = AF_UNIX;
      std::strncpy(local->sun_path, address.c_str() + 5, sizeof local->sun_path - 1);
      length_ = sizeof(sockaddr_un);
    } else {
      const std::size_t colon = address.rfind(':');
      const auto port = htons(static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1)));
      if (address.starts_with('[')) {
        family = AF_INET6;
        auto* six = reinterpret_cast<sockaddr_in6*>(&name_);
        six->sin6_family = AF_INET6;
        six->sin6_port = port;
        inet_pton(AF_INET6, address.substr(1, colon - 2).c_str(), &six->sin6_addr);
        length_ = sizeof(sockaddr_in6);
      } else {
        auto* four = reinterpret_cast<sockaddr_in*>(&name_);
        four->sin_family = AF_INET;
        four->sin_port = port;
        inet_pton(AF_INET, address.substr(0, colon).c_str(), &four->sin_addr);
        length_ = sizeof(sockaddr_in);
      }
    }
    fd_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
  }

  bool connect() { return ::connect(fd_, reinterpret_cast<const sockaddr*>(&name_), length_) == 0; }

  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // Nothing when the server hangs up before, or after kPatience.
  std::optional<TestResponse> receive(bool has_body = true, milliseconds patience = kPatience) {
    const auto end = TestClock::now() + patience;
    std::size_t header_end = 0;
    while ((header_end = pending_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_some(end)) return std::nullopt;
    }
    TestResponse response;
    response.headers = pending_.substr(0, header_end + 2);
    pending_.erase(0, header_end + 4);
    std::ranges::transform(response.headers, response.headers.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    response.status = std::atoi(response.headers.c_str() + std::strlen("http/1.1 "));
    const std::size_t length_at = response.headers.find("content-length: ");
    if (!has_body || length_at == std::string::npos) return response;
    const auto length = static_cast<std::size_t>(
        std::strtoull(response.headers.c_str() + length_at + 16, nullptr, 10));
    while (pending_.size() < length) {
      if (!read_some(end)) return std::nullopt;
    }
    response.body = pending_.substr(0, length);
    pending_.erase(0, length);
    return response;
  }

  std::optional<TestResponse> get(std::string_view path, std::string_view more_headers = "") {
    std::string request = "GET ";
    request.append(path).append(" HTTP/1.1\r\nHost: test\r\n").append(more_headers).append("\r\n");
    if (!send(request)) return std::nullopt;
    return receive();
  }

  // Reads and drops until the server's end of the stream. False when that does not come in time.
  bool closed_within(milliseconds patience) {
    const auto end = TestClock::now() + patience;
    while (read_some(end)) pending_.clear();
    return eof_;
  }

 private:
  bool read_some(TestClock::time_point end) {
    pollfd item{fd_, POLLIN, 0};
    const auto left = std::chrono::ceil<milliseconds>(end - TestClock::now());
    if (::poll(&item, 1, static_cast<int>(std::max<std::int64_t>(0, left.count()))) <= 0) {
      return false;
    }
    char buffer[65536];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0) {
      eof_ = true;  // a reset counts as well
      return false;
    }
    pending_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }

  int fd_ = -1;
  sockaddr_storage name_{};
  socklen_t length_ = 0;
  std::string pending_;
  bool eof_ = false;
};

}  // namespace tidegauge::testing
