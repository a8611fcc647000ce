// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tsl/robin_map.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "collectors/core/kernel_files.h"

namespace tidegauge {

// Names of numeric users, from the host's own /etc/passwd: no NSS, which may ask a network. Reads the
// file again when it changed. Not thread-safe.
class Users {
 public:
  explicit Users(std::string passwd_path) : path_(std::move(passwd_path)) {}

  // Once a pass; a file that is missing or unreadable leaves no names.
  void refresh(ReadBuffer& buffer);
  // The number itself where there is no name.
  [[nodiscard]] std::string name(std::uint32_t uid) const;

 private:
  std::string path_;
  std::int64_t modified_ns_ = -1;
  std::int64_t size_ = -1;
  tsl::robin_map<std::uint32_t, std::string> names_;
};

// "name:x:uid:..." lines; malformed ones are passed over, of equal uids the first wins (getpwuid(3)).
tsl::robin_map<std::uint32_t, std::string> parse_passwd(std::string_view text);

}  // namespace tidegauge
