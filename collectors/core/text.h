// SPDX-License-Identifier: Apache-2.0
#pragma once

// Scanning of kernel text: views into the caller's buffer, no allocation, no locale, no exceptions.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegauge {

inline bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Walks lines; a last line without its newline counts as a line, which is how a truncated kernel
// file looks. `number()` is 1-based and fits error messages.
class LineReader {
 public:
  explicit LineReader(std::string_view text) : rest_(text) {}
  bool next(std::string_view& line);
  [[nodiscard]] std::size_t number() const { return number_; }
  // What has not been walked yet.
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  std::size_t number_ = 0;
};

// Takes the next blank-separated field off the front of `line`; empty when there is none.
std::string_view next_field(std::string_view& line);

std::string_view trim(std::string_view text);

// Whole-field numbers: an empty field, a sign (for unsigned), trailing bytes or overflow give none.
std::optional<std::uint64_t> parse_unsigned(std::string_view field);
std::optional<std::int64_t> parse_signed(std::string_view field);
std::optional<std::uint64_t> parse_hex(std::string_view field);  // with or without 0x
std::optional<double> parse_real(std::string_view field);        // accepts NaN, +Inf, exponents

// A decimal with at most `digits` fraction digits as an integer number of 10^-digits:
// ("0.52", 2) is 52. More digits, a sign or garbage give none.
std::optional<std::uint64_t> parse_decimal(std::string_view field, unsigned digits);

// next_field + parse_unsigned.
std::optional<std::uint64_t> next_unsigned(std::string_view& line);

// Text of an untrusted origin as a label value: valid UTF-8 (a run of bad bytes is one U+FFFD),
// without NUL, at most `max_bytes` long and cut between characters.
inline constexpr std::size_t kMaxLabelBytes = 1024;
std::string sanitize_label(std::string_view raw, std::size_t max_bytes = kMaxLabelBytes);

// A kernel name as part of a metric name: every byte outside [a-zA-Z0-9_] becomes '_'.
std::string sanitize_metric_name(std::string_view raw);

// Undoes the kernel's octal escapes (\040 and kin) of mount tables.
std::string unescape_octal(std::string_view raw);

}  // namespace tidegauge
