// SPDX-License-Identifier: Apache-2.0
#pragma once

// How paths and user names of the host's users may be shown wherever they would leave the host: in
// labels, in verdicts, in what is recorded. Collectors reach it as files.privacy().
//
// It covers executables, cgroup paths, user names, the paths of files that processes use and, where
// they hold any of these, the names of units and containers (process/shown_identity.h). It does not
// cover what processes call themselves (comm, thread names), what the operator configured, or what the
// machine itself is made of: mount points, devices, textfiles.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tidegauge {

enum class Privacy : std::uint8_t {
  kKeep,  // as it is
  kHash,  // "h:" and 16 hexadecimal digits, the same for the same text on the same host
  kDrop,  // kDroppedName
};

inline constexpr std::string_view kDroppedName = "-";

// "keep", "hash", "drop".
std::optional<Privacy> parse_privacy(std::string_view text);

// Immutable; any thread. Hashing takes about a microsecond: once per process or cgroup, not per run.
class PrivacyFilter {
 public:
  PrivacyFilter() = default;
  // `salt` keeps hashes of two hosts, and a table of hashed names, from matching.
  PrivacyFilter(Privacy privacy, std::string salt) : privacy_(privacy), salt_(std::move(salt)) {}

  // "" stays "": there is nothing to hide. Never fails open: what cannot be hashed is dropped.
  [[nodiscard]] std::string path(std::string_view text) const { return shown(text); }
  [[nodiscard]] std::string user(std::string_view text) const { return shown(text); }
  [[nodiscard]] Privacy privacy() const { return privacy_; }

 private:
  [[nodiscard]] std::string shown(std::string_view text) const;

  Privacy privacy_ = Privacy::kKeep;
  std::string salt_;
};

}  // namespace tidegauge
