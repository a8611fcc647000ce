// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/regular_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace tidegauge {

namespace {

constexpr std::size_t kFirstReadBytes = 64U * 1024;

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// Symbolic links below another root (/host/etc/resolv.conf -> /run/...) must not lead back into
// ours: openat2 does that since 5.6. Older kernels and seccomp filters that do not know it (EPERM)
// get the plain path.
int open_path(const std::string& root, const std::string& path, const std::string& full) {
  constexpr int kFlags = O_PATH | O_CLOEXEC;
  if (root != "/") {
    const int directory = ::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
      return -1;
    }
    open_how how{};
    how.flags = kFlags;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const long fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how));
    const int failed = errno;
    ::close(directory);
    errno = failed;
    if (fd >= 0 || (failed != ENOSYS && failed != EPERM)) {
      return static_cast<int>(fd);
    }
  }
  return ::open(full.c_str(), kFlags);
}

std::string join(const std::string& root, const std::string& path) {
  return root == "/" ? path : root + path;
}

}  // namespace

Result<RegularFile> RegularFile::find(const std::string& root, const std::string& path) {
  const std::string full = join(root, path);
  const int fd = open_path(root, path, full);
  if (fd < 0) {
    return system_error(errno, full);
  }
  RegularFile file(fd, full);
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    return system_error(errno, full);
  }
  if (!S_ISREG(status.st_mode)) {
    return tl::make_unexpected(Error{ErrorKind::kUnsupported, 0, full + ": not a regular file"});
  }
  file.identity_ = {static_cast<std::uint64_t>(status.st_dev),
                    static_cast<std::uint64_t>(status.st_ino),
                    static_cast<std::uint64_t>(status.st_size), nanoseconds(status.st_mtim),
                    nanoseconds(status.st_ctim)};
  return file;
}

RegularFile::~RegularFile() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

RegularFile::RegularFile(RegularFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      identity_(other.identity_) {}

Result<int> RegularFile::open() const {
  // The daemon's own descriptors, wherever the collectors' procfs is.
  const std::string self = "/proc/self/fd/" + std::to_string(fd_);
  const int fd = ::open(self.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    return system_error(errno, path_);
  }
  return fd;
}

Result<std::string_view> RegularFile::read(ReadBuffer& buffer, std::size_t max_bytes) const {
  if (identity_.size_bytes > max_bytes) {
    return tl::make_unexpected(Error{ErrorKind::kTooLarge, 0, path_});
  }
  const auto fd = open();
  if (!fd) {
    return tl::make_unexpected(fd.error());
  }
  std::size_t size = 0;
  int failed = 0;
  while (size <= max_bytes) {
    if (size == buffer.capacity()) {
      buffer.reserve(std::max(kFirstReadBytes, size * 2));
    }
    const ssize_t got = ::read(*fd, buffer.data() + size, buffer.capacity() - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      failed = got < 0 ? errno : 0;
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  ::close(*fd);
  if (failed != 0) {
    return system_error(failed, path_);
  }
  if (size > max_bytes) {
    return tl::make_unexpected(Error{ErrorKind::kTooLarge, 0, path_});
  }
  return std::string_view(buffer.data(), size);
}

}  // namespace tidegauge
