// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace tidegauge::recording {

namespace {

constexpr unsigned kMaxNumbers = 100;  // tried one after another
constexpr std::uint64_t kWriteBackBytes = std::uint64_t{1} << 20U;

}  // namespace

Result<PartialFile> PartialFile::create(const IncidentDirectory& directory, IncidentName name) {
  for (unsigned tries = 0; tries < kMaxNumbers; ++tries, ++name.number) {
    struct stat info {};
    if (::fstatat(directory.fd(), file_name(name).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
      continue;
    }
    const std::string partial = partial_name(name);
    Descriptor fd(::openat(directory.fd(), partial.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640));
    if (fd.is_open()) {
      // For the retention of other writers; those on file systems without locks do without.
      static_cast<void>(::flock(fd.get(), LOCK_EX | LOCK_NB));
      return PartialFile(directory, std::move(fd), std::move(name));
    }
    if (errno != EEXIST) {
      return system_error(errno, directory.path() + "/" + partial);
    }
  }
  return system_error(EEXIST, directory.path() + "/" + file_name(name));
}

std::string PartialFile::current_name() const {
  return is_published_ ? file_name(name_) : partial_;
}

tl::unexpected<Error> PartialFile::failed(int error) const {
  return system_error(error, directory_->path() + "/" + partial_);
}

Result<void> PartialFile::append(std::string_view& bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return failed(count == 0 ? EIO : errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(count));
    bytes_ += static_cast<std::uint64_t>(count);
  }
  // The kernel would collect all of it for one burst, and the limit on our rate would be for nothing.
  if (bytes_ - written_back_ >= kWriteBackBytes) {
    static_cast<void>(::sync_file_range(fd_.get(), static_cast<off_t>(written_back_),
                                        static_cast<off_t>(bytes_ - written_back_),
                                        SYNC_FILE_RANGE_WRITE));
    written_back_ = bytes_;
  }
  return {};
}

Result<void> PartialFile::sync() {
  if (::fdatasync(fd_.get()) != 0) {
    return failed(errno);
  }
  written_back_ = bytes_;
  return {};
}

// 0 or errno.
int PartialFile::rename_once() const {
  const std::string name = file_name(name_);
  const int fd = directory_->fd();
  if (::renameat2(fd, partial_.c_str(), fd, name.c_str(), RENAME_NOREPLACE) == 0) {
    return 0;
  }
  if (errno != EINVAL && errno != ENOSYS) {
    return errno;
  }
  // NFS and others do not know the flag; a new link replaces nothing either.
  if (::linkat(fd, partial_.c_str(), fd, name.c_str(), 0) != 0) {
    return errno;
  }
  // A second name that stays looks torn, and goes as such; the file is complete.
  static_cast<void>(::unlinkat(fd, partial_.c_str(), 0));
  return 0;
}

Result<void> PartialFile::publish() {
  if (::fsync(fd_.get()) != 0) {
    return failed(errno);
  }
  // Nobody reads it now; the memory is others'.
  static_cast<void>(::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED));
  int error = rename_once();
  for (unsigned tries = 1; error == EEXIST && tries < kMaxNumbers; ++tries) {
    ++name_.number;
    error = rename_once();
  }
  if (error != 0) {
    return failed(error);
  }
  is_published_ = true;
  return {};
}

Result<void> PartialFile::sync_directory() const {
  // Some file systems cannot sync directories.
  if (::fsync(directory_->fd()) != 0 && errno != EINVAL) {
    return system_error(errno, directory_->path());
  }
  return {};
}

void PartialFile::discard() {
  if (!is_published_) {
    static_cast<void>(::unlinkat(directory_->fd(), partial_.c_str(), 0));
  }
}

}  // namespace tidegauge::recording
