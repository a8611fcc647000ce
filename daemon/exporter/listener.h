// SPDX-License-Identifier: Apache-2.0
#pragma once

// Listening sockets: from the text of --web.listen-address to an open, non-blocking socket.

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace tidegauge {

// Owns one listening socket; closes it at the end, and removes the unix path it made.
class Listener {
 public:
  // Opens one address:
  //   127.0.0.1:10070   one IPv4 address            [::1]:10070   one IPv6 address (IPv6 only)
  //   :10070            every address, both families (IPv4 alone where there is no IPv6)
  //   localhost:10070   a name; resolved now and never again, its first usable address is taken
  //   unix:/run/x.sock  a unix socket, mode 0660; a stale one in its place is removed
  //   fd:3              an inherited listening socket (systemd), owned from here on
  // Port 0 lets the kernel choose. The error is one line for the operator. May block in the
  // resolver when given a name: for start-up only.
  static tl::expected<Listener, std::string> open(std::string_view address);

  Listener(Listener&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        address_(std::move(other.address_)),
        made_path_(std::exchange(other.made_path_, {})) {}
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  [[nodiscard]] int fd() const { return fd_; }

  // In the form open() takes, with the port that the kernel chose.
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  explicit Listener(int fd) : fd_(fd) {}

  static tl::expected<Listener, std::string> open_tcp(std::string_view address);
  static tl::expected<Listener, std::string> open_unix(std::string_view address);
  static tl::expected<Listener, std::string> adopt(std::string_view address);

  int fd_;
  std::string address_;
  std::string made_path_;  // of the unix socket to remove; empty when there is none
};

}  // namespace tidegauge
