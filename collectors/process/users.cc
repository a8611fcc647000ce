// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/users.h"

#include <sys/stat.h>

#include <limits>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxUsers = 16384;
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::string_view kNotNames = "#+-";  // a comment, and NIS entries of nss_compat

}  // namespace

// root:x:0:0:root:/root:/bin/bash
tsl::robin_map<std::uint32_t, std::string> parse_passwd(std::string_view text) {
  tsl::robin_map<std::uint32_t, std::string> names;
  LineReader lines(text);
  for (std::string_view line; lines.next(line) && names.size() < kMaxUsers;) {
    const auto name_end = line.find(':');
    const auto password_end =
        name_end == std::string_view::npos ? name_end : line.find(':', name_end + 1);
    if (password_end == std::string_view::npos || name_end == 0 || name_end > kMaxNameBytes ||
        kNotNames.find(line.front()) != std::string_view::npos) {
      continue;
    }
    const std::string_view rest = line.substr(password_end + 1);
    const auto uid = parse_unsigned(rest.substr(0, rest.find(':')));
    if (uid && *uid <= std::numeric_limits<std::uint32_t>::max()) {
      names.emplace(static_cast<std::uint32_t>(*uid), std::string(line.substr(0, name_end)));
    }
  }
  return names;
}

void Users::refresh(ReadBuffer& buffer) {
  struct stat info {};
  if (::stat(path_.c_str(), &info) != 0) {
    names_.clear();
    size_ = -1;
    return;
  }
  const std::int64_t modified_ns = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
  if (modified_ns == modified_ns_ && info.st_size == size_) {
    return;
  }
  modified_ns_ = modified_ns;
  size_ = info.st_size;
  const auto text = read_file(path_, buffer);
  names_ = text ? parse_passwd(*text) : tsl::robin_map<std::uint32_t, std::string>();
  if (!text) {
    size_ = -1;  // it may become readable without another time
  }
}

std::string Users::name(std::uint32_t uid) const {
  const auto at = names_.find(uid);
  return at != names_.end() ? at->second : std::to_string(uid);
}

}  // namespace tidegauge
