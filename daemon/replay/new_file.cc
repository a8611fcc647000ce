// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/new_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace tidegauge {

namespace {

constexpr mode_t kMode = 0640;

// The directory with its slash, and the name.
std::pair<std::string, std::string> split(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) {
    return {"./", path};
  }
  return {path.substr(0, slash + 1), path.substr(slash + 1)};
}

}  // namespace

Result<void> check_new_file(const std::string& path, bool may_replace) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Result<void>() : system_error(errno, path);
  }
  if (!S_ISREG(info.st_mode)) {
    return tl::make_unexpected(Error{ErrorKind::kInvalid, 0, path + ": not a regular file"});
  }
  if (!may_replace) {
    return tl::make_unexpected(Error{ErrorKind::kInvalid, EEXIST, path});
  }
  return {};
}

Result<NewFile> NewFile::create(const std::string& path, bool may_replace) {
  if (auto done = check_new_file(path, may_replace); !done) {
    return tl::make_unexpected(done.error());
  }
  NewFile file(path, may_replace);
  const auto [directory, name] = split(path);
  std::string temporary = directory + "." + name + ".XXXXXX";
  file.fd_ = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (file.fd_ < 0) {
    return system_error(errno, path);
  }
  file.temporary_ = std::move(temporary);
  return file;
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::exchange(other.fd_, -1)),
      may_replace_(other.may_replace_) {}

NewFile::~NewFile() {
  if (!temporary_.empty()) {
    ::unlink(temporary_.c_str());
  }
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<void> NewFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd_, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) {
      continue;
    }
    if (done <= 0) {
      return system_error(done < 0 ? errno : EIO, path_);
    }
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  return {};
}

Result<void> NewFile::commit() {
  if (::fchmod(fd_, kMode) != 0 || ::fsync(fd_) != 0) {
    return system_error(errno, path_);
  }
  // Without permission to replace, a file that came meanwhile must stay. Where a file system knows no such rename,
  // what was looked at before must do.
  int failed = ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(),
                           may_replace_ ? 0 : RENAME_NOREPLACE);
  if (failed != 0 && !may_replace_ && (errno == EINVAL || errno == ENOSYS)) {
    failed = ::rename(temporary_.c_str(), path_.c_str());
  }
  if (failed != 0) {
    return system_error(errno, path_);
  }
  temporary_.clear();
  const int directory = ::open(split(path_).first.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);  // some file systems cannot; the file itself is whole
    ::close(directory);
  }
  return {};
}

}  // namespace tidegauge
