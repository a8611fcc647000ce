// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/kernel_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::size_t kFirstBufferBytes = 16U * 1024;
constexpr std::size_t kKeptBufferBytes = 1024U * 1024;
constexpr std::size_t kMaxAttributeBytes = 64U * 1024;

Result<int> open_for_reading(const std::string& path) {
  // O_NONBLOCK: a FIFO or device in the file's place must not stop the tick.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    return system_error(errno, path);
  }
  return fd;
}

// Reads from offset 0 to the end of file. One read() sees the kernel's state at one moment as far as
// its seq_file allows, so the buffer is offered whole.
Result<std::string_view> read_all(int fd, const std::string& path, ReadBuffer& buffer,
                                  std::size_t max_bytes) {
  std::size_t size = 0;
  while (true) {
    if (size == buffer.capacity()) {
      buffer.reserve(std::max(kFirstBufferBytes, size * 2));
    }
    const std::size_t room = buffer.capacity() - size;
    const ssize_t got = ::pread(fd, buffer.data() + size, room, static_cast<off_t>(size));
    if (got == 0) {
      return std::string_view(buffer.data(), size);
    }
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      return system_error(errno, path);
    }
    size += static_cast<std::size_t>(got);
    if (size > max_bytes) {
      return tl::make_unexpected(Error{ErrorKind::kTooLarge, 0, path});
    }
  }
}

}  // namespace

char* ReadBuffer::reserve(std::size_t bytes) {
  if (bytes > capacity_) {
    auto grown = std::make_unique_for_overwrite<char[]>(bytes);
    if (capacity_ != 0) {
      std::memcpy(grown.get(), data_.get(), capacity_);
    }
    data_ = std::move(grown);
    capacity_ = bytes;
  }
  return data_.get();
}

void ReadBuffer::shrink() {
  if (capacity_ > kKeptBufferBytes) {
    data_.reset();
    capacity_ = 0;
  }
}

Result<std::string_view> read_file(const std::string& path, ReadBuffer& buffer,
                                   std::size_t max_bytes) {
  const auto fd = open_for_reading(path);
  if (!fd) {
    return tl::make_unexpected(fd.error());
  }
  auto text = read_all(*fd, path, buffer, max_bytes);
  ::close(*fd);
  return text;
}

KernelFile::~KernelFile() { close(); }

KernelFile::KernelFile(KernelFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

void KernelFile::close() {
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

Result<std::string_view> KernelFile::read(ReadBuffer& buffer, std::size_t max_bytes) {
  bool keep = fd_ >= 0;
  if (!keep) {
    const auto fd = open_for_reading(path_);
    if (!fd) {
      return tl::make_unexpected(fd.error());
    }
    fd_ = *fd;
    struct statfs info {};
    keep = ::fstatfs(fd_, &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
  }
  auto text = read_all(fd_, path_, buffer, max_bytes);
  if (!keep || !text) {
    close();
  }
  return text;
}

Result<std::string_view> KernelFile::read_lines(ReadBuffer& buffer, std::size_t max_bytes) {
  auto text = read(buffer, max_bytes);
  if (text && !text->empty() && text->back() != '\n') {
    return malformed(path_, 0, "a newline at the end: the file is cut short");
  }
  return text;
}

namespace {

// machine-id(5): 128 bits, not all zero.
bool is_machine_id(std::string_view text) {
  constexpr std::size_t kDigits = 32;
  return text.size() == kDigits &&
         text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos &&
         text.find_first_not_of('0') != std::string_view::npos;
}

}  // namespace

KernelFiles::KernelFiles(KernelRoots roots) : roots_(std::move(roots)) {
  const auto strip = [](std::string& path) {
    while (path.size() > 1 && path.back() == '/') {
      path.pop_back();
    }
  };
  strip(roots_.procfs);
  strip(roots_.sysfs);
  strip(roots_.rootfs);
  strip(roots_.udev_data);
  if (roots_.privacy == Privacy::kHash) {
    std::string salt = read_attribute(root("/etc/machine-id")).value_or("");
    // Without one (an image before its first boot says "uninitialized") a table of hashed names would
    // tell the names of all such hosts.
    privacy_ = is_machine_id(salt) ? PrivacyFilter(Privacy::kHash, std::move(salt))
                                   : PrivacyFilter(Privacy::kDrop, "");
  } else {
    privacy_ = PrivacyFilter(roots_.privacy, "");
  }
}

namespace {

std::string join(std::string_view base, std::string_view relative) {
  std::string path(base);
  if (!relative.starts_with('/') && !path.ends_with('/')) {
    path.push_back('/');
  }
  if (relative.starts_with('/') && path.ends_with('/')) {
    path.pop_back();
  }
  path.append(relative);
  return path;
}

}  // namespace

std::string KernelFiles::proc(std::string_view relative) const {
  return join(roots_.procfs, relative);
}
std::string KernelFiles::sys(std::string_view relative) const {
  return join(roots_.sysfs, relative);
}
std::string KernelFiles::udev(std::string_view relative) const {
  return join(roots_.udev_data, relative);
}
std::string KernelFiles::root(std::string_view absolute) const {
  return join(roots_.rootfs, absolute);
}

std::string KernelFiles::strip_root(std::string_view path) const {
  if (roots_.rootfs != "/" && path.starts_with(roots_.rootfs)) {
    const std::string_view stripped = path.substr(roots_.rootfs.size());
    if (stripped.empty()) {
      return "/";
    }
    if (stripped.front() == '/') {
      return std::string(stripped);
    }
  }
  return std::string(path);
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) {
    return system_error(errno, path);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
    errno = 0;
  }
  const int failed = errno;
  ::closedir(directory);
  if (failed != 0) {
    return system_error(failed, path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::string> read_attribute(const std::string& path) {
  const auto fd = open_for_reading(path);
  if (!fd) {
    return tl::make_unexpected(fd.error());
  }
  std::string out;
  std::array<char, 4096> chunk{};
  while (true) {
    // pread, because a FIFO in the attribute's place would read as an empty one.
    const ssize_t got = ::pread(*fd, chunk.data(), chunk.size(), static_cast<off_t>(out.size()));
    if (got == 0) {
      break;
    }
    if (got < 0) {
      const int failed = errno;
      if (failed == EINTR) {
        continue;
      }
      ::close(*fd);
      return system_error(failed, path);
    }
    out.append(chunk.data(), static_cast<std::size_t>(got));
    if (out.size() > kMaxAttributeBytes) {
      ::close(*fd);
      return tl::make_unexpected(Error{ErrorKind::kTooLarge, 0, path});
    }
  }
  ::close(*fd);
  return std::string(trim(out));
}

Result<std::uint64_t> read_unsigned_attribute(const std::string& path) {
  const auto text = read_attribute(path);
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  const auto value = parse_unsigned(*text);
  if (!value) {
    return malformed(path, 1, "a number");
  }
  return *value;
}

Result<std::string> read_link(const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const ssize_t got = ::readlink(path.c_str(), target.data(), target.size());
  if (got < 0) {
    return system_error(errno, path);
  }
  return std::string(target.data(), static_cast<std::size_t>(got));
}

}  // namespace tidegauge
