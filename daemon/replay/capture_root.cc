// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/capture_root.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

// In the order in which they are made.
constexpr const char* kDirectories[] = {"/proc", "/proc/pressure", "/proc/net"};
constexpr std::string_view kProc = "proc/";

// Of an error whose `where` begins below the capture's directory.
std::string message(const Capture& capture, Error error) {
  error.where = capture.shown(error.where);
  return error.message();
}

// A part of a file as a file of its own, in memory.
Result<OwnedFd> copy_part(const OwnedFd& file, const CapturedText& text, const std::string& where) {
  const OwnedFd in(::open(file.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (in.get() < 0) {
    return system_error(errno, where);
  }
  OwnedFd out(::memfd_create("tidegauge-import", MFD_CLOEXEC));
  if (out.get() < 0) {
    return system_error(errno, where);
  }
  std::array<char, 65536> part{};
  for (std::uint64_t done = 0; done < text.bytes;) {
    const auto wanted = std::min<std::uint64_t>(part.size(), text.bytes - done);
    const ssize_t got =
        ::pread(in.get(), part.data(), wanted, static_cast<off_t>(text.offset + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0 || ::write(out.get(), part.data(), static_cast<std::size_t>(got)) != got) {
      return system_error(got < 0 ? errno : EIO, where);
    }
    done += static_cast<std::uint64_t>(got);
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<CaptureRoot>> CaptureRoot::make() {
  const char* base = std::getenv("TMPDIR");
  std::string path =
      std::string(base != nullptr && *base != '\0' ? base : "/tmp") + "/tidegauge-import-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    return system_error(errno, path);
  }
  // Not make_unique: the constructor is private.
  std::unique_ptr<CaptureRoot> root(new CaptureRoot(path));
  for (const char* directory : kDirectories) {
    if (::mkdir((path + directory).c_str(), 0700) != 0) {
      return system_error(errno, path + directory);
    }
  }
  return root;
}

CaptureRoot::~CaptureRoot() {
  clear();
  for (std::size_t i = std::size(kDirectories); i-- > 0;) {
    ::rmdir((path_ + kDirectories[i]).c_str());
  }
  ::rmdir(path_.c_str());
}

KernelRoots CaptureRoot::roots(KernelRoots base) const {
  base.procfs = path_ + "/proc";
  base.sysfs = path_ + "/sys";
  base.rootfs = path_;
  base.udev_data =
      path_ + "/udev";  // never there: what this host's udev knows is not the capture's
  return base;
}

void CaptureRoot::clear() {
  for (const std::string& name : links_) {
    ::unlink((path_ + "/" + name).c_str());
  }
  links_.clear();
  open_.clear();
  shown_.clear();
  capture_root_.clear();
}

void CaptureRoot::show(const Capture& capture, const CapturedMoment& moment,
                       const ImportTell& tell) {
  clear();
  for (const CapturedText& text : moment.texts) {
    show_text(capture, text, tell);
  }
  if (!moment.root.empty()) {
    show_root(capture, moment.root, tell);
  }
}

void CaptureRoot::show_text(const Capture& capture, const CapturedText& text,
                            const ImportTell& tell) {
  const std::string& path = capture.file(text.file);
  auto fd = open_file_beneath(capture.directory_fd(), path,
                              text.is_whole ? kMaxCaptureBytes : kMaxCaptureLogBytes);
  if (fd && !text.is_whole) {
    fd = text.bytes <= kMaxCaptureBytes
             ? copy_part(*fd, text, path)
             : Result<OwnedFd>(tl::make_unexpected(
                   Error{ErrorKind::kTooLarge, 0, path + " line " + std::to_string(text.line)}));
  }
  const std::string name(captured_files()[text.kernel_file]);
  const auto done = fd ? link(std::move(*fd), std::string(kProc) + name)
                       : Result<void>(tl::make_unexpected(fd.error()));
  if (done) {
    shown_.push_back({text.kernel_file, capture.shown(path), text.line});
  } else {
    tell.complain(message(capture, done.error()));
  }
}

void CaptureRoot::show_root(const Capture& capture, const std::string& root,
                            const ImportTell& tell) {
  capture_root_ = capture.shown(root);
  const auto files = captured_files();
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string name = std::string(kProc).append(files[i]);
    std::string path = root;
    path.append("/").append(name);
    auto fd = open_file_beneath(capture.directory_fd(), path, kMaxCaptureBytes);
    if (!fd) {
      if (fd.error().kind != ErrorKind::kMissing) {
        tell.complain(message(capture, fd.error()));
      }
      continue;
    }
    const auto same = std::ranges::find(shown_, i, &Shown::kernel_file);
    if (same != shown_.end()) {
      tell.complain(capture.shown(path) + ": this moment's is also in " + same->source);
    } else if (const auto done = link(std::move(*fd), name); !done) {
      tell.complain(done.error().message());
    } else {
      shown_.push_back({i, capture.shown(path), 0});
    }
  }
  show_tree(capture, root + "/proc/sys", "proc/sys", tell);
  show_tree(capture, root + "/sys", "sys", tell);
  if (links_.empty()) {
    tell.complain(capture_root_ + ": neither proc nor sys in it");
  }
}

// Collectors walk it and follow its links, so it is looked through first.
void CaptureRoot::show_tree(const Capture& capture, const std::string& source, const char* name,
                            const ImportTell& tell) {
  auto fd = open_beneath(capture.directory_fd(), source);
  if (!fd && fd.error().kind == ErrorKind::kMissing) {
    return;
  }
  auto done = fd ? check_tree(fd->get()) : Result<void>(tl::make_unexpected(fd.error()));
  if (done) {
    done = link(std::move(*fd), name);
  }
  if (!done) {
    tell.complain(capture.shown(source) + ": " + done.error().message());
  }
}

Result<void> CaptureRoot::link(OwnedFd fd, const std::string& name) {
  const std::string path = path_ + "/" + name;
  if (::symlink(fd.path().c_str(), path.c_str()) != 0) {
    return system_error(errno, path);
  }
  links_.push_back(name);
  open_.push_back(std::move(fd));
  return {};
}

bool CaptureRoot::has(std::string_view path) const {
  return ::access((path_ + "/" + std::string(path)).c_str(), F_OK) == 0;
}

std::string CaptureRoot::explain(const Error& error) const {
  std::string_view where = error.where;
  const bool is_path = where.starts_with(path_ + "/");
  where.remove_prefix(is_path ? path_.size() + 1 : 0);
  std::string_view name = where;
  name.remove_prefix(name.starts_with(kProc) ? kProc.size() : 0);
  const std::size_t end = std::min(name.find_first_of(" :"), name.size());
  std::string_view rest = name.substr(end);
  name = name.substr(0, end);
  const auto at = std::ranges::find_if(
      shown_, [&](const Shown& shown) { return captured_files()[shown.kernel_file] == name; });
  Error told = error;
  if (at == shown_.end()) {
    told.where = (capture_root_.empty() ? "" : capture_root_ + "/") + std::string(where);
    return told.message();
  }
  constexpr std::string_view kLine = " line ";
  std::optional<std::uint64_t> line;
  if (rest.starts_with(kLine)) {
    const std::size_t digits = std::min(rest.find(':'), rest.size());
    line = parse_unsigned(rest.substr(kLine.size(), digits - kLine.size()));
    rest.remove_prefix(line ? digits : 0);
  }
  const std::uint64_t shift = at->line == 0 ? 0 : at->line - 1;
  told.where = at->source;
  if (line || at->line != 0) {
    told.where += std::string(kLine) + std::to_string(line.value_or(1) + shift);
  }
  told.where += rest;
  return told.message();
}

}  // namespace tidegauge
