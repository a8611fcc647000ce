// SPDX-License-Identifier: Apache-2.0
#pragma once

// Errors are values inside the daemon. "Missing" is a normal answer on Linux (a kernel without the
// feature, a process that left); "malformed" is not. Nothing in here ever turns into a silent 0.

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace tidegauge {

enum class ErrorKind : std::uint8_t {
  kMissing,      // ENOENT, ESRCH, ENODEV, ENOTDIR: this kernel or machine does not have it
  kDenied,       // EACCES, EPERM: a capability or a file mode is in the way
  kUnsupported,  // EOPNOTSUPP and kin: present but switched off (PSI with psi=0)
  kMalformed,    // the text is not what the kernel's format says
  kTooLarge,     // more bytes than any real kernel writes
  kTimeout,      // did not answer in time (dead NFS server, frozen FUSE)
  kInvalid,      // the configuration asks for something impossible
  kIo,           // anything else the kernel said
};

std::string_view to_string(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::kIo;
  int errno_value = 0;  // 0 when no system call failed
  std::string where;    // file, and line and field when a parser speaks
  // Of a collector that refuses its options: which one ("groups[0].name"); `where` says why. The
  // configuration's reader knows where that was written.
  std::string option{};

  // One line for a log: "missing: /proc/schedstat: No such file or directory".
  [[nodiscard]] std::string message() const;
};

template <class T>
using Result = tl::expected<T, Error>;

// Maps errno once, at the system call.
tl::unexpected<Error> system_error(int errno_value, std::string_view where);

// A collector's complaint about one of its options: its key, and what is wrong.
tl::unexpected<Error> invalid_option(std::string_view option, std::string_view complaint);

// A parser's complaint: which file, which line (1-based, 0 when unknown), what it wanted.
tl::unexpected<Error> malformed(std::string_view file, std::size_t line, std::string_view wanted);

}  // namespace tidegauge
