// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/hidden_processes.h"

#include <vector>

#include "collectors/core/text.h"
#include "collectors/procfs/mountinfo.h"

namespace tidegauge {

namespace {

std::string_view option_of(std::string_view options) {
  constexpr std::string_view kName = "hidepid=";
  while (!options.empty()) {
    const auto comma = options.find(',');
    const std::string_view option = options.substr(0, comma);
    if (option.starts_with(kName)) {
      const std::string_view value = option.substr(kName.size());
      return value == "0" || value == "off" ? std::string_view{} : option;
    }
    options.remove_prefix(comma == std::string_view::npos ? options.size() : comma + 1);
  }
  return {};
}

}  // namespace

// 22 27 0:21 / /proc rw,relatime - proc proc rw,gid=4,hidepid=invisible
std::string_view hidepid_option(std::string_view mountinfo, std::string_view procfs,
                                std::uint64_t major, std::uint64_t minor) {
  std::vector<MountInfo> mounts;
  if (!parse_mountinfo(mountinfo, mounts)) {
    return {};
  }
  std::string_view found;
  for (const MountInfo& mount : mounts) {
    if (mount.fs_type != "proc") {
      continue;
    }
    const bool known = major != 0 || minor != 0;
    if (known ? mount.major == major && mount.minor == minor
              : mount.mount_point == procfs || mount.mount_point == "/proc") {
      found = option_of(mount.super_options);  // the last one covers those before it
    }
  }
  return found;
}

// 0.20 0.18 0.12 1/80 11206
std::optional<std::uint64_t> threads_of_loadavg(std::string_view loadavg) {
  for (int i = 0; i < 3; ++i) {
    next_field(loadavg);
  }
  const std::string_view tasks = next_field(loadavg);
  const auto slash = tasks.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  return parse_unsigned(tasks.substr(slash + 1));
}

}  // namespace tidegauge
