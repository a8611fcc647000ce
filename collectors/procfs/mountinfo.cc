// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/mountinfo.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

// Fields are separated by one blank each: a file system without a source has an empty field.
bool next_word(std::string_view& line, std::string_view& word, bool& more) {
  if (!more) {
    return false;
  }
  const auto blank = line.find(' ');
  word = line.substr(0, blank);
  more = blank != std::string_view::npos;
  line.remove_prefix(more ? blank + 1 : line.size());
  return true;
}

bool has_option(std::string_view options, std::string_view wanted) {
  while (!options.empty()) {
    const auto comma = options.find(',');
    if (options.substr(0, comma) == wanted) {
      return true;
    }
    options.remove_prefix(comma == std::string_view::npos ? options.size() : comma + 1);
  }
  return false;
}

bool parse_line(std::string_view line, MountInfo& out) {
  bool more = true;
  std::string_view mount_id;
  std::string_view parent;
  std::string_view device;
  std::string_view root;
  if (!next_word(line, mount_id, more) || !next_word(line, parent, more) ||
      !next_word(line, device, more) || !next_word(line, root, more) ||
      !next_word(line, out.mount_point, more) || !next_word(line, out.mount_options, more)) {
    return false;
  }
  const auto id = parse_unsigned(mount_id);
  const auto colon = device.find(':');
  const auto major = parse_unsigned(device.substr(0, colon));
  const auto minor = parse_unsigned(colon == std::string_view::npos ? std::string_view{}
                                                                    : device.substr(colon + 1));
  if (!id || !parse_unsigned(parent) || !major || !minor) {
    return false;
  }
  out.mount_id = *id;
  out.major = *major;
  out.minor = *minor;
  // Any number of optional fields ("shared:1", "master:2") ends at a lone hyphen.
  std::string_view optional;
  do {
    if (!next_word(line, optional, more)) {
      return false;
    }
  } while (optional != "-");
  if (!next_word(line, out.fs_type, more) || !next_word(line, out.source, more) || !more ||
      out.fs_type.empty()) {
    return false;
  }
  out.super_options = line;  // may hold blanks: not every file system escapes them
  return !line.empty();
}

}  // namespace

bool MountInfo::read_only() const {
  return has_option(mount_options, "ro") || has_option(super_options, "ro") ||
         has_option(super_options, "emergency_ro");
}

// 29 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
// 41 29 0:36 / /mnt/my\040disk ro - fuse.sshfs host:/x rw,user_id=0
Result<void> parse_mountinfo(std::string_view text, std::vector<MountInfo>& out) {
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    if (!parse_line(line, out.emplace_back())) {
      return malformed("mountinfo", lines.number(),
                       "identities, paths and options, a hyphen, type, source and options");
    }
  }
  if (out.empty()) {
    return malformed("mountinfo", 1, "at least one mount");
  }
  return {};
}

}  // namespace tidegauge
