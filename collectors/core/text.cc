// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/text.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace tidegauge {

bool LineReader::next(std::string_view& line) {
  if (rest_.empty()) {
    return false;
  }
  ++number_;
  const void* newline = std::memchr(rest_.data(), '\n', rest_.size());
  if (newline == nullptr) {
    line = rest_;
    rest_ = {};
    return true;
  }
  const auto length = static_cast<std::size_t>(static_cast<const char*>(newline) - rest_.data());
  line = rest_.substr(0, length);
  rest_.remove_prefix(length + 1);
  return true;
}

std::string_view next_field(std::string_view& line) {
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at != end && is_blank(*at)) {
    ++at;
  }
  const char* const begin = at;
  while (at != end && !is_blank(*at)) {
    ++at;
  }
  line = {at, static_cast<std::size_t>(end - at)};
  return {begin, static_cast<std::size_t>(at - begin)};
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return is_blank(c) || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

namespace {

template <class T>
std::optional<T> parse_whole(std::string_view field, int base) {
  T value{};
  const char* const end = field.data() + field.size();
  const auto [at, error] = std::from_chars(field.data(), end, value, base);
  if (error != std::errc{} || at != end) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::optional<std::uint64_t> parse_unsigned(std::string_view field) {
  return parse_whole<std::uint64_t>(field, 10);
}

std::optional<std::int64_t> parse_signed(std::string_view field) {
  return parse_whole<std::int64_t>(field, 10);
}

std::optional<std::uint64_t> parse_hex(std::string_view field) {
  if (field.starts_with("0x") || field.starts_with("0X")) {
    field.remove_prefix(2);
  }
  return parse_whole<std::uint64_t>(field, 16);
}

std::optional<double> parse_real(std::string_view field) {
  if (field.starts_with('+')) {
    field.remove_prefix(1);
    if (field.starts_with('-') || field.starts_with('+')) {
      return std::nullopt;
    }
  }
  double value = 0;
  const char* const end = field.data() + field.size();
  const auto [at, error] = std::from_chars(field.data(), end, value);
  if (error != std::errc{} || at != end) {
    return std::nullopt;
  }
  return value;
}

std::optional<std::uint64_t> parse_decimal(std::string_view field, unsigned digits) {
  const auto dot = field.find('.');
  auto whole = parse_unsigned(field.substr(0, dot));
  if (!whole) {
    return std::nullopt;
  }
  const std::string_view fraction =
      dot == std::string_view::npos ? std::string_view{} : field.substr(dot + 1);
  if (fraction.size() > digits || (dot != std::string_view::npos && fraction.empty())) {
    return std::nullopt;
  }
  std::uint64_t value = *whole;
  for (unsigned i = 0; i < digits; ++i) {
    std::uint64_t digit = 0;
    if (i < fraction.size()) {
      if (fraction[i] < '0' || fraction[i] > '9') {
        return std::nullopt;
      }
      digit = static_cast<std::uint64_t>(fraction[i] - '0');
    }
    if (__builtin_mul_overflow(value, std::uint64_t{10}, &value) ||
        __builtin_add_overflow(value, digit, &value)) {
      return std::nullopt;
    }
  }
  return value;
}

std::optional<std::uint64_t> next_unsigned(std::string_view& line) {
  return parse_unsigned(next_field(line));
}

namespace {

// Length of the well-formed UTF-8 sequence at the front of `text`, 0 when there is none
// (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    return 1;
  }
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    low = lead == 0xE0 ? 0xA0 : 0x80;
    high = lead == 0xED ? 0x9F : 0xBF;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    low = lead == 0xF0 ? 0x90 : 0x80;
    high = lead == 0xF4 ? 0x8F : 0xBF;
  } else {
    return 0;
  }
  if (text.size() < length || byte(1) < low || byte(1) > high) {
    return 0;
  }
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) {
      return 0;
    }
  }
  return length;
}

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string sanitize_label(std::string_view raw, std::size_t max_bytes) {
  std::string out;
  out.reserve(std::min(raw.size(), max_bytes));
  bool bad_before = false;
  while (!raw.empty()) {
    const std::size_t length = utf8_length(raw);
    const bool usable = length != 0 && raw.front() != '\0';
    // One U+FFFD for a run of bad bytes, as Go's strings.ToValidUTF8 does it for node_exporter.
    const std::string_view piece = usable       ? raw.substr(0, length)
                                   : bad_before ? std::string_view{}
                                                : kReplacement;
    if (out.size() + piece.size() > max_bytes) {
      break;
    }
    out.append(piece);
    raw.remove_prefix(usable ? length : 1);
    bad_before = !usable;
  }
  return out;
}

std::string sanitize_metric_name(std::string_view raw) {
  std::string out(raw);
  for (char& c : out) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!fine) {
      c = '_';
    }
  }
  return out;
}

std::string unescape_octal(std::string_view raw) {
  std::string out;
  out.reserve(raw.size());
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == '\\' && i + 3 < raw.size() && raw[i + 1] <= '3' && octal(raw[i + 1]) &&
        octal(raw[i + 2]) && octal(raw[i + 3])) {
      out.push_back(
          static_cast<char>((raw[i + 1] - '0') * 64 + (raw[i + 2] - '0') * 8 + (raw[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(raw[i]);
    }
  }
  return out;
}

}  // namespace tidegauge
