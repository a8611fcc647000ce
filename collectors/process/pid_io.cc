// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/pid_io.h"

#include <string>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

struct Line {
  std::string_view key;
  std::uint64_t PidIo::*member;
};

// In the order in which every kernel since 2.6.20 prints them.
constexpr Line kLines[] = {
    {"rchar: ", &PidIo::syscall_read_bytes},
    {"wchar: ", &PidIo::syscall_write_bytes},
    {"syscr: ", &PidIo::read_syscalls},
    {"syscw: ", &PidIo::write_syscalls},
    {"read_bytes: ", &PidIo::storage_read_bytes},
    {"write_bytes: ", &PidIo::storage_write_bytes},
    {"cancelled_write_bytes: ", &PidIo::storage_cancelled_bytes},
};

}  // namespace

// rchar: 323934931
// wchar: 323929600
// syscr: 632687
// syscw: 632675
// read_bytes: 0
// write_bytes: 323932160
// cancelled_write_bytes: 0
Result<PidIo> parse_pid_io(std::string_view text) {
  if (!text.ends_with('\n')) {
    return malformed(kPidIoFile, 0, "a newline at the end");
  }
  PidIo io;
  LineReader lines(text);
  for (const Line& wanted : kLines) {
    std::string_view line;
    if (!lines.next(line) || !line.starts_with(wanted.key)) {
      return malformed(kPidIoFile, lines.number(), std::string(wanted.key) + "and a number");
    }
    const auto value = parse_unsigned(line.substr(wanted.key.size()));
    if (!value) {
      return malformed(kPidIoFile, lines.number(), "a number");
    }
    io.*wanted.member = *value;
  }
  return io;
}

}  // namespace tidegauge
