// SPDX-License-Identifier: Apache-2.0
#pragma once

// The programs of bpf/files.bpf.c, and what they make of which system call.

#include <cstdint>
#include <span>
#include <string_view>

#include "collectors/ebpf/program_set.h"

namespace tidegauge {

std::span<const ProgramSpec> file_program_specs();

// The program that is given xfs's own inode, and where in that the kernel's is.
inline constexpr std::string_view kXfsInodeDestroyed = "xfs_inode_is_destroyed";
inline constexpr std::string_view kXfsInode = "xfs_inode";
inline constexpr std::string_view kXfsInodeMember = "i_vnode";

struct FileCall {
  long number;
  std::uint8_t action;  // enum tg_file_operation_kind and TG_CALL_*
};
std::span<const FileCall> file_calls();

}  // namespace tidegauge
