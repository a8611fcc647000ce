// SPDX-License-Identifier: Apache-2.0
#pragma once

// Files of a directory that somebody else has filled: no link may lead out of it, nothing may hang.

#include <cstdint>
#include <string>
#include <utility>

#include "collectors/core/result.h"

namespace tidegauge {

class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd();

  [[nodiscard]] int get() const { return fd_; }
  // By which the same file can be opened again, however its name has changed meanwhile.
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_ = -1;
};

// What `path` names below the open directory, opened with O_PATH: a FIFO does not hang, nothing has side effects.
// Denied when a link or a mount leads out of the directory. Before Linux 5.6 all links are denied.
Result<OwnedFd> open_beneath(int directory, const std::string& path);

// The same of a regular file of at most `max_bytes`.
Result<OwnedFd> open_file_beneath(int directory, const std::string& path, std::uint64_t max_bytes);

// Whether all there is below the directory stays in it, so that it can be handed to those who follow links. The error
// names what does not. `directory`: may be of O_PATH.
Result<void> check_tree(int directory);

}  // namespace tidegauge
