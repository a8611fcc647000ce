// SPDX-License-Identifier: Apache-2.0
#pragma once

// Walks over the numbered directories of procfs (/proc, /proc/PID/task).

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

// The task left between the listing and the look at it.
inline bool task_left(int errno_value) { return errno_value == ENOENT || errno_value == ESRCH; }

inline bool is_task_number(std::string_view name) {
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Calls visit(name) -> Result<void> for every name that is a number; its error ends the walk.
// getdents64 in small portions: no list of ten thousand names is ever held, and procfs continues
// behind the last pid it told.
template <class Visit>
Result<void> for_each_task(int directory, const std::string& path, Visit visit) {
  alignas(dirent64) std::array<char, 8192> entries;
  while (true) {
    const ssize_t got = ::getdents64(directory, entries.data(), entries.size());
    if (got == 0 || (got < 0 && task_left(errno))) {
      return {};
    }
    if (got < 0) {
      return system_error(errno, path);
    }
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      const auto* entry = reinterpret_cast<const dirent64*>(entries.data() + at);
      at += entry->d_reclen;
      const std::string_view name(entry->d_name);
      if (!is_task_number(name)) {
        continue;
      }
      if (auto visited = visit(name); !visited) {
        return visited;
      }
    }
  }
}

}  // namespace tidegauge
