// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace tidegauge {

namespace {

constexpr std::size_t kFirstBufferBytes = 16U * 1024;
constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

// ENODEV: the cgroup was removed while its file was open. EOPNOTSUPP: pressure switched off.
bool is_absence(int errno_value) {
  return errno_value == ENOENT || errno_value == ENODEV || errno_value == ENOTDIR ||
         errno_value == EOPNOTSUPP;
}

CgroupText without_text(int errno_value) {
  return {is_absence(errno_value) ? CgroupText::State::kAbsent : CgroupText::State::kFailed};
}

// A short read is the end: a cgroup's file is one record that comes whole, and asking again for each
// would be a third of all calls.
CgroupText read_all(int fd, ReadBuffer& buffer) {
  buffer.reserve(kFirstBufferBytes);
  for (std::size_t size = 0; size <= kMaxSmallFileBytes;) {
    if (size == buffer.capacity()) {
      buffer.reserve(size * 2);
    }
    const std::size_t room = buffer.capacity() - size;
    // pread, because a FIFO in the file's place would read as an empty one.
    const ssize_t got = ::pread(fd, buffer.data() + size, room, static_cast<off_t>(size));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return without_text(errno);
    }
    size += static_cast<std::size_t>(got);
    if (static_cast<std::size_t>(got) < room && size <= kMaxSmallFileBytes) {
      const std::string_view text(buffer.data(), size);
      const bool cut = !text.empty() && text.back() != '\n';
      return cut ? CgroupText{CgroupText::State::kFailed}
                 : CgroupText{CgroupText::State::kRead, text};
    }
  }
  return {CgroupText::State::kFailed};
}

}  // namespace

void CgroupDirectory::close() {
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

CgroupDirectory CgroupDirectory::open_root(const char* path) {
  return CgroupDirectory(::open(path, kDirectoryFlags));
}

CgroupDirectory CgroupDirectory::open_below(const char* relative) const {
  return CgroupDirectory(::openat(fd_, relative, kDirectoryFlags | O_NOFOLLOW));
}

CgroupText CgroupDirectory::read(const char* name, ReadBuffer& buffer) const {
  const int fd = ::openat(fd_, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    return without_text(errno);
  }
  const CgroupText text = read_all(fd, buffer);
  ::close(fd);
  return text;
}

std::pair<std::uint64_t, std::uint64_t> CgroupDirectory::identity() const {
  struct stat info {};
  return ::fstat(fd_, &info) == 0
             ? std::pair<std::uint64_t, std::uint64_t>(info.st_dev, info.st_ino)
             : std::pair<std::uint64_t, std::uint64_t>();
}

bool CgroupDirectory::is_leaf() const {
  struct stat info {};
  return ::fstat(fd_, &info) == 0 && info.st_nlink == 2;
}

// False at the end and when the directory is gone.
bool CgroupDirectory::fill(Listing& listing) const {
  const ssize_t got = ::getdents64(fd_, listing.entries, sizeof(listing.entries));
  listing.at = 0;
  listing.size = got > 0 ? static_cast<std::size_t>(got) : 0;
  return got > 0;
}

bool CgroupDirectory::next(Listing& listing, std::string_view& name) const {
  while (listing.at < listing.size) {
    const auto* const entry = reinterpret_cast<const dirent64*>(listing.entries + listing.at);
    listing.at += entry->d_reclen;
    name = entry->d_name;
    if (name == "." || name == "..") {
      continue;
    }
    struct stat info {};
    if (entry->d_type == DT_DIR ||
        (entry->d_type == DT_UNKNOWN &&
         ::fstatat(fd_, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))) {
      return true;
    }
  }
  return false;
}

}  // namespace tidegauge
