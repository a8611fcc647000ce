// SPDX-License-Identifier: Apache-2.0
#pragma once

// Files that an administrator names. Whatever else stands in their place (a FIFO, a tape, a
// watchdog) is neither waited for nor opened for reading, which alone can have an effect.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "collectors/core/kernel_files.h"
#include "collectors/core/result.h"

namespace tidegauge {

// Which content a file has, without reading it. The change time is in because the others can be
// set back.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;

  // A file written to in the moment it was read can keep its times: they advance with the timer
  // interrupt. So an identity vouches for content only when it was old enough by then.
  [[nodiscard]] bool settled(std::int64_t realtime_ns) const {
    return ctime_ns + 2'000'000'000 < realtime_ns;
  }
};

// A found file; owns a descriptor that cannot read yet (O_PATH).
class RegularFile {
 public:
  // `path` is a path as the host names it, followed through symbolic links below `root`. Anything
  // but a regular file is an error of kind kUnsupported.
  static Result<RegularFile> find(const std::string& root, const std::string& path);

  ~RegularFile();
  RegularFile(RegularFile&& other) noexcept;
  RegularFile& operator=(RegularFile&&) = delete;
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;

  [[nodiscard]] const FileIdentity& identity() const { return identity_; }

  // A descriptor for reading, which the caller closes.
  [[nodiscard]] Result<int> open() const;

  // The whole content; more than max_bytes is an error. The view lives until the buffer's next use.
  Result<std::string_view> read(ReadBuffer& buffer, std::size_t max_bytes) const;

 private:
  RegularFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  int fd_;
  std::string path_;
  FileIdentity identity_;
};

}  // namespace tidegauge
