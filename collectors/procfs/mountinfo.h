// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "collectors/core/result.h"

namespace tidegauge {

// A line of /proc/PID/mountinfo (fs/proc_namespace.c show_mountinfo). Texts are as the kernel wrote
// them, with octal escapes for blanks, tabs, newlines and backslashes, and point into the parsed
// text.
struct MountInfo {
  std::uint64_t mount_id = 0;
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  std::string_view mount_point;
  std::string_view mount_options;
  std::string_view fs_type;
  std::string_view source;
  std::string_view super_options;

  // By the options of this mount or of the file system, ext4's emergency_ro (6.15) included.
  [[nodiscard]] bool read_only() const;
};

Result<void> parse_mountinfo(std::string_view text, std::vector<MountInfo>& out);

}  // namespace tidegauge
