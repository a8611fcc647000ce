// SPDX-License-Identifier: Apache-2.0
#pragma once

// Copies of kernel files at one moment of an incident, for human eyes: the plain bytes of a chunk of its own kind.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/core/result.h"

namespace tidegauge::recording {

struct RawFiles {
  std::string moment;  // "onset", "peak"
  std::int64_t realtime_ns = 0;
  std::vector<std::pair<std::string, std::string>> files;  // path as the host names it, text
};

inline constexpr std::size_t kMaxRawFiles = 64;
// More than that is not kept of one.
inline constexpr std::size_t kMaxRawFileBytes = std::size_t{1} << 20U;

std::string encode(const RawFiles& files);
Result<RawFiles> decode_raw_files(std::string_view plain);

}  // namespace tidegauge::recording
