// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>

namespace tidegauge {

namespace {

tl::unexpected<Error> refuse(ErrorKind kind, const std::string& path, std::string_view why) {
  return tl::make_unexpected(Error{kind, 0, path + ": " + std::string(why)});
}

// For kernels without openat2() and for filters that refuse it: one name after the other, no links.
Result<OwnedFd> open_without_links(int directory, const std::string& path) {
  OwnedFd at;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name == "..") {
      return refuse(ErrorKind::kDenied, path, "leads out of the directory");
    }
    const int fd = ::openat(at.get() < 0 ? directory : at.get(), name.empty() ? "." : name.c_str(),
                            O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
      return system_error(errno, path);
    }
    at = OwnedFd(fd);
    struct stat info {};
    if (::fstat(fd, &info) != 0) {
      return system_error(errno, path);
    }
    if (S_ISLNK(info.st_mode)) {
      return refuse(ErrorKind::kDenied, path,
                    "a symbolic link, which needs Linux 5.6 to be judged");
    }
  }
  return at;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Walks a tree without following links.
class TreeCheck {
 public:
  TreeCheck(int root, dev_t device) : root_(root), device_(device) {}

  Result<void> check(int parent, const char* name, const std::string& path) {
    const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
      return system_error(errno, path);
    }
    const std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(fd));
    if (directory == nullptr) {
      ::close(fd);
      return system_error(ENOMEM, path);
    }
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string_view entry_name(entry->d_name);
      if (entry_name == "." || entry_name == "..") {
        continue;
      }
      if (auto done = check_entry(fd, entry->d_name, path + std::string(entry_name)); !done) {
        return done;
      }
    }
    return {};
  }

 private:
  static constexpr std::size_t kMaxEntries = 1'000'000;
  static constexpr unsigned kMaxDepth = 64;

  Result<void> check_entry(int parent, const char* name, const std::string& path) {
    struct stat info {};
    if (::fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return system_error(errno, path);
    }
    if (++entries_ > kMaxEntries || depth_ > kMaxDepth) {
      return refuse(ErrorKind::kTooLarge, path, "too many files or too deep");
    }
    if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
      return refuse(ErrorKind::kDenied, path, "a device");
    }
    if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)) {
      return refuse(ErrorKind::kDenied, path, S_ISFIFO(info.st_mode) ? "a FIFO" : "a socket");
    }
    if (S_ISLNK(info.st_mode)) {
      const auto target = open_beneath(root_, path);
      // One that leads nowhere does no harm.
      if (!target && target.error().kind != ErrorKind::kMissing) {
        return tl::make_unexpected(target.error());
      }
    }
    if (!S_ISDIR(info.st_mode)) {
      return {};
    }
    if (info.st_dev != device_) {
      return refuse(ErrorKind::kDenied, path, "a mount");
    }
    ++depth_;
    auto done = check(parent, name, path + "/");
    --depth_;
    return done;
  }

  int root_;
  dev_t device_;
  std::size_t entries_ = 0;
  unsigned depth_ = 0;
};

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<OwnedFd> open_beneath(int directory, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  constexpr int kTries = 16;  // EAGAIN: somebody renames at the same time
  for (int i = 0; i < kTries; ++i) {
    const long fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
    if (fd >= 0) {
      return OwnedFd(static_cast<int>(fd));
    }
    if (errno == ENOSYS || errno == EPERM) {
      return open_without_links(directory, path);
    }
    if (errno == EXDEV || errno == ELOOP) {
      return refuse(ErrorKind::kDenied, path, "leads out of the directory");
    }
    if (errno != EAGAIN) {
      break;
    }
  }
  return system_error(errno, path);
}

Result<OwnedFd> open_file_beneath(int directory, const std::string& path, std::uint64_t max_bytes) {
  auto fd = open_beneath(directory, path);
  if (!fd) {
    return fd;
  }
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) {
    return system_error(errno, path);
  }
  if (!S_ISREG(info.st_mode)) {
    return refuse(ErrorKind::kMalformed, path, "not a regular file");
  }
  if (static_cast<std::uint64_t>(info.st_size) > max_bytes) {
    return refuse(ErrorKind::kTooLarge, path,
                  "more than " + std::to_string(max_bytes >> 20U) + " MiB");
  }
  return fd;
}

Result<void> check_tree(int directory) {
  struct stat info {};
  if (::fstat(directory, &info) != 0) {
    return system_error(errno, "");
  }
  return TreeCheck(directory, info.st_dev).check(directory, ".", "");
}

}  // namespace tidegauge
