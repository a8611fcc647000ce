// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup_files_parse.h"

#include <algorithm>
#include <limits>

#include "collectors/core/text.h"

namespace tidegauge {

// anon 10485760
// file 4194304
// workingset_refault_anon 12
Result<void> parse_cgroup_keys(std::string_view file, std::string_view text,
                               std::span<const CgroupKey> keys, CgroupStats& out) {
  constexpr std::string_view kWanted = "a name and a number";
  bool found = false;
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    const std::string_view name = next_field(line);
    const auto key = std::find_if(keys.begin(), keys.end(),
                                  [&](const CgroupKey& known) { return known.key == name; });
    if (key == keys.end()) {
      continue;
    }
    auto value = next_unsigned(line);
    if (!value || !next_field(line).empty() ||
        __builtin_mul_overflow(*value, key->factor, &*value)) {
      return malformed(file, lines.number(), kWanted);
    }
    out.*key->member = *value;
    found = true;
  }
  if (!found) {
    return malformed(file, 0, kWanted);
  }
  return {};
}

// 1073741824
// max
Result<std::optional<std::uint64_t>> parse_cgroup_value(std::string_view file,
                                                        std::string_view text) {
  std::string_view rest = text.substr(0, text.find('\n'));
  const std::string_view field = next_field(rest);
  const auto value = parse_unsigned(field);
  if ((!value && field != "max") || !next_field(rest).empty()) {
    return malformed(file, 1, "a number or max");
  }
  return value;
}

std::optional<CgroupDevice> parse_cgroup_device(std::string_view field) {
  constexpr auto kMax = std::numeric_limits<std::uint32_t>::max();
  const auto colon = field.find(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  const auto major = parse_unsigned(field.substr(0, colon));
  const auto minor = parse_unsigned(field.substr(colon + 1));
  if (!major || !minor || *major > kMax || *minor > kMax) {
    return std::nullopt;
  }
  return CgroupDevice{static_cast<std::uint32_t>(*major), static_cast<std::uint32_t>(*minor)};
}

CgroupIo* find_cgroup_device(CgroupSample& sample, const CgroupDevice& device) {
  const auto at = std::find_if(sample.io.begin(), sample.io.end(),
                               [&](const CgroupIo& io) { return io.device == device; });
  if (at != sample.io.end()) {
    return &*at;
  }
  if (sample.io.size() == kMaxCgroupDevices) {
    return nullptr;
  }
  CgroupIo& io = sample.io.emplace_back();
  io.device = device;
  return &io;
}

}  // namespace tidegauge
