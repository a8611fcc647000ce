// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "collectors/core/text.h"
#include "collectors/procfs/sysctl.h"

namespace tidegauge {

std::optional<SysctlNumber> parse_sysctl_number(std::string_view field) {
  SysctlNumber number;
  number.is_negative = field.starts_with('-');
  if (number.is_negative || field.starts_with('+')) {
    field.remove_prefix(1);
  }
  int base = 10;
  const auto prefixed = [&](std::string_view lower, std::string_view upper) {
    return field.starts_with(lower) || field.starts_with(upper);
  };
  if (prefixed("0x", "0X")) {
    base = 16;
  } else if (prefixed("0b", "0B")) {
    base = 2;
  } else if (prefixed("0o", "0O")) {
    base = 8;
  } else if (field.size() > 1 && field.front() == '0') {
    base = 8;
    field.remove_prefix(1);
  }
  if (field.size() > 1 && (base == 16 || base == 2 || prefixed("0o", "0O"))) {
    field.remove_prefix(2);
  }
  std::uint64_t magnitude = 0;
  const char* const end = field.data() + field.size();
  const auto [at, error] = std::from_chars(field.data(), end, magnitude, base);
  constexpr std::uint64_t kMostNegative = std::uint64_t{1} << 63;
  if (error != std::errc{} || at != end || (number.is_negative && magnitude > kMostNegative)) {
    return std::nullopt;
  }
  number.bits = number.is_negative ? ~magnitude + 1 : magnitude;
  return number;
}

// 4096	131072	6291456
Result<void> parse_sysctl_numbers(std::string_view name, std::string_view text,
                                  std::vector<SysctlNumber>& out) {
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    for (auto field = next_field(line); !field.empty(); field = next_field(line)) {
      const auto number = parse_sysctl_number(field);
      if (!number) {
        return malformed(name, lines.number(), "numbers only");
      }
      out.push_back(*number);
    }
  }
  if (out.empty()) {
    return malformed(name, 0, "a number");
  }
  return {};
}

// kill_process kill_thread trap errno user_notif trace log allow
Result<void> parse_sysctl_words(std::string_view name, std::string_view text,
                                std::vector<std::string_view>& out) {
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    for (auto field = next_field(line); !field.empty(); field = next_field(line)) {
      out.push_back(field);
    }
  }
  if (out.empty()) {
    return malformed(name, 0, "a word");
  }
  return {};
}

std::string sysctl_metric_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  std::string out;
  for (std::size_t at = 0; at < name.size();) {
    std::size_t end = at;
    while (end < name.size() && name[end] == '_') {
      ++end;
    }
    const std::size_t other = end;
    while (end < name.size() && name[end] != '_' && !fits(name[end])) {
      ++end;
    }
    if (end != other) {
      while (end < name.size() && name[end] == '_') {
        ++end;
      }
      out.push_back('_');
    } else if (other != at) {
      out.append(name.substr(at, other - at));
    } else {
      out.push_back(name[end++]);
    }
    at = end;
  }
  return out;
}

}  // namespace tidegauge
