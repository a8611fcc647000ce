// SPDX-License-Identifier: Apache-2.0
#pragma once

// The only way collectors reach the file system. Roots are injectable, so tests and containers point
// the same code at a fixture tree or at /host/proc.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/privacy.h"
#include "collectors/core/result.h"

namespace tidegauge {

// Grows as needed and is reused; one per thread that reads.
class ReadBuffer {
 public:
  ReadBuffer() = default;
  char* reserve(std::size_t bytes);  // keeps what is there
  // Gives the memory of one unusually large file back.
  void shrink();
  [[nodiscard]] char* data() { return data_.get(); }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
};

// No kernel file this daemon reads comes near; /proc/interrupts of 1 152 CPUs is about 6 MB.
inline constexpr std::size_t kMaxKernelFileBytes = 8U * 1024 * 1024;

// For files of a few lines: names or numbers without end would cost far more than their bytes.
inline constexpr std::size_t kMaxSmallFileBytes = 64U * 1024;

// Reads a whole file. Never blocks on a FIFO or a terminal put in a kernel file's place (the open is
// non-blocking). The view lives until the buffer's next use.
Result<std::string_view> read_file(const std::string& path, ReadBuffer& buffer,
                                   std::size_t max_bytes = kMaxKernelFileBytes);

// A file read again and again. On a real procfs the descriptor stays open, which saves a third of a
// pass (54 us against 87 us for the host files); anywhere else the path is opened each time, so a
// replaced fixture or a remounted root is seen. Not thread-safe; owns its descriptor.
class KernelFile {
 public:
  explicit KernelFile(std::string path) : path_(std::move(path)) {}
  ~KernelFile();
  KernelFile(KernelFile&& other) noexcept;
  KernelFile& operator=(KernelFile&&) = delete;
  KernelFile(const KernelFile&) = delete;
  KernelFile& operator=(const KernelFile&) = delete;

  Result<std::string_view> read(ReadBuffer& buffer, std::size_t max_bytes = kMaxKernelFileBytes);
  // As read(), for files whose every line the kernel ends: one without its last newline was cut, maybe
  // inside a number, and is malformed.
  Result<std::string_view> read_lines(ReadBuffer& buffer,
                                      std::size_t max_bytes = kMaxKernelFileBytes);
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void close();

  std::string path_;
  int fd_ = -1;
};

struct KernelRoots {
  std::string procfs = "/proc";
  std::string sysfs = "/sys";
  std::string rootfs = "/";
  std::string udev_data = "/run/udev/data";
  std::string btf{};  // the kernel's types for BPF programs; "": <sysfs>/kernel/btf/vmlinux
  Privacy privacy = Privacy::kKeep;
  friend bool operator==(const KernelRoots&, const KernelRoots&) = default;
};

// Joins paths below the roots, and says how what is found there may be shown. Immutable, shared by
// all collectors.
class KernelFiles {
 public:
  KernelFiles() = default;
  // Reads <rootfs>/etc/machine-id, the salt, when names are hashed; without it they are dropped, and
  // privacy() says so.
  explicit KernelFiles(KernelRoots roots);

  [[nodiscard]] const KernelRoots& roots() const { return roots_; }
  [[nodiscard]] std::string proc(std::string_view relative) const;
  [[nodiscard]] std::string sys(std::string_view relative) const;
  [[nodiscard]] std::string udev(std::string_view relative) const;
  // `absolute` is a path as the host names it ("/etc/os-release").
  [[nodiscard]] std::string root(std::string_view absolute) const;
  // The host's name of a path below rootfs, so that labels show what the host's own tools show.
  [[nodiscard]] std::string strip_root(std::string_view path) const;
  // Paths and user names of the host's users go through this before they become a label.
  [[nodiscard]] const PrivacyFilter& privacy() const { return privacy_; }

  [[nodiscard]] KernelFile proc_file(std::string_view relative) const {
    return KernelFile(proc(relative));
  }

 private:
  KernelRoots roots_;
  PrivacyFilter privacy_;
};

// Names in a directory, sorted, without "." and "..".
Result<std::vector<std::string>> list_directory(const std::string& path);

// A small attribute (sysfs, /proc/sys), trimmed of its newline.
Result<std::string> read_attribute(const std::string& path);
Result<std::uint64_t> read_unsigned_attribute(const std::string& path);

// The target of a symbolic link.
Result<std::string> read_link(const std::string& path);

}  // namespace tidegauge
