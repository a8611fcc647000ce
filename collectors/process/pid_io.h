// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

// /proc/PID/io (fs/proc/base.c, do_io_accounting): every thread that lives or has lived, and every
// child that was waited for. Bytes and calls since the process began.
struct PidIo {
  std::uint64_t syscall_read_bytes = 0;   // rchar
  std::uint64_t syscall_write_bytes = 0;  // wchar
  std::uint64_t read_syscalls = 0;
  std::uint64_t write_syscalls = 0;
  std::uint64_t storage_read_bytes = 0;
  std::uint64_t storage_write_bytes = 0;
  std::uint64_t storage_cancelled_bytes = 0;
};

// How its errors name the file; who knows the pid puts the path in its place.
inline constexpr std::string_view kPidIoFile = "PID/io";

Result<PidIo> parse_pid_io(std::string_view text);

}  // namespace tidegauge
