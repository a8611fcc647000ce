// SPDX-License-Identifier: Apache-2.0
#pragma once

// A cgroup's directory by its descriptor: files and children are opened relative to it, so a cgroup
// that is replaced meanwhile is never mixed with its successor. That a cgroup leaves between two system
// calls is normal.

#include <cstdint>
#include <string_view>
#include <utility>

#include "collectors/core/kernel_files.h"

namespace tidegauge {

// A file's text, or why there is none. kAbsent: this kernel, controller or cgroup has no such file, or
// the cgroup is gone.
struct CgroupText {
  enum class State : std::uint8_t { kRead, kAbsent, kFailed };
  State state = State::kAbsent;
  std::string_view text{};  // in the buffer
};

// Owns its descriptor. Not thread-safe.
class CgroupDirectory {
 public:
  CgroupDirectory() = default;
  ~CgroupDirectory() { close(); }
  CgroupDirectory(CgroupDirectory&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  CgroupDirectory& operator=(CgroupDirectory&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  CgroupDirectory(const CgroupDirectory&) = delete;
  CgroupDirectory& operator=(const CgroupDirectory&) = delete;

  // Not valid() when there is no such directory; errno says why. Links below the root, which no cgroup
  // hierarchy has, are not followed.
  static CgroupDirectory open_root(const char* path);
  [[nodiscard]] CgroupDirectory open_below(const char* relative) const;

  [[nodiscard]] bool valid() const { return fd_ >= 0; }

  // The whole file; more than kMaxSmallFileBytes and a last line without its newline are failures.
  [[nodiscard]] CgroupText read(const char* name, ReadBuffer& buffer) const;

  // Calls visit(name) for every directory in it, in the kernel's order.
  template <class Visit>
  void for_each_child(Visit visit) const {
    Listing listing;
    while (fill(listing)) {
      for (std::string_view name; next(listing, name);) {
        visit(name);
      }
    }
  }

  // Device and inode, to know one directory under two paths.
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> identity() const;
  // A directory with two links has no children: the kernel keeps count. Spares listing most cgroups.
  [[nodiscard]] bool is_leaf() const;

 private:
  struct Listing {
    alignas(8) char entries[8192];
    std::size_t size = 0;
    std::size_t at = 0;
  };

  explicit CgroupDirectory(int fd) : fd_(fd) {}
  void close();
  bool fill(Listing& listing) const;
  bool next(Listing& listing, std::string_view& name) const;

  int fd_ = -1;
};

}  // namespace tidegauge
