// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/result.h"

#include <system_error>

namespace tidegauge {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kMissing:
      return "missing";
    case ErrorKind::kDenied:
      return "denied";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kMalformed:
      return "malformed";
    case ErrorKind::kTooLarge:
      return "too_large";
    case ErrorKind::kTimeout:
      return "timeout";
    case ErrorKind::kInvalid:
      return "invalid";
    case ErrorKind::kIo:
      return "io";
  }
  return "io";
}

std::string Error::message() const {
  std::string text(to_string(kind));
  text.append(": ").append(option).append(option.empty() ? "" : ": ").append(where);
  if (errno_value != 0) {
    text.append(": ").append(std::generic_category().message(errno_value));
  }
  return text;
}

tl::unexpected<Error> system_error(int errno_value, std::string_view where) {
  ErrorKind kind = ErrorKind::kIo;
  switch (errno_value) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
    case ENOTDIR:
      kind = ErrorKind::kMissing;
      break;
    case EACCES:
    case EPERM:
      kind = ErrorKind::kDenied;
      break;
    case EOPNOTSUPP:
    case ENOSYS:
      kind = ErrorKind::kUnsupported;
      break;
    case ETIMEDOUT:
      kind = ErrorKind::kTimeout;
      break;
    default:
      break;
  }
  return tl::make_unexpected(Error{kind, errno_value, std::string(where)});
}

tl::unexpected<Error> invalid_option(std::string_view option, std::string_view complaint) {
  return tl::make_unexpected(
      Error{ErrorKind::kInvalid, 0, std::string(complaint), std::string(option)});
}

tl::unexpected<Error> malformed(std::string_view file, std::size_t line, std::string_view wanted) {
  std::string where(file);
  if (line != 0) {
    where.append(" line ").append(std::to_string(line));
  }
  where.append(": expected ").append(wanted);
  return tl::make_unexpected(Error{ErrorKind::kMalformed, 0, std::move(where)});
}

}  // namespace tidegauge
