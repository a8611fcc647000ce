// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/http_message.h"

#include <algorithm>
#include <cstddef>

namespace tidegauge {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_caseless(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, {}, to_lower, to_lower);
}

// In a query '+' is a blank, in a path it is a plus.
std::optional<std::string> decode(std::string_view text, bool plus_is_blank) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_blank) {
      c = ' ';
    }
    if (is_control(c)) return std::nullopt;
    decoded.push_back(c);
  }
  return decoded;
}

// Cuts the text up to the separator off the front of `rest`.
std::string_view take_until(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view token = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return token;
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// RFC 9110: a weight is 0 to 1 with three decimals. Only "is it nothing but zeros" matters here.
bool is_zero_weight(std::string_view parameter) {
  if (parameter.size() < 3 || to_lower(parameter[0]) != 'q') return false;
  parameter = trim(parameter.substr(1));
  if (parameter.empty() || parameter[0] != '=') return false;
  parameter = trim(parameter.substr(1));
  return !parameter.empty() && parameter[0] == '0' &&
         parameter.find_first_not_of("0.") == std::string_view::npos;
}

}  // namespace

std::optional<RequestTarget> parse_target(std::string_view target) {
  if (!target.starts_with('/')) {
    const std::size_t scheme_end = target.find("://");
    if (scheme_end == std::string_view::npos) return std::nullopt;
    const std::size_t path_start = target.find('/', scheme_end + 3);
    if (path_start == std::string_view::npos) return std::nullopt;
    target.remove_prefix(path_start);
  }
  target = target.substr(0, target.find('#'));

  std::string_view rest = target;
  std::optional<std::string> path = decode(take_until(rest, '?'), false);
  if (!path) return std::nullopt;

  RequestTarget parsed{std::move(*path), {}};
  while (!rest.empty()) {
    std::string_view value = take_until(rest, '&');
    if (value.empty()) continue;
    std::optional<std::string> key = decode(take_until(value, '='), true);
    std::optional<std::string> decoded_value = decode(value, true);
    if (!key || !decoded_value) return std::nullopt;
    parsed.query.emplace_back(std::move(*key), std::move(*decoded_value));
  }
  return parsed;
}

bool accepts_gzip(std::string_view accept_encoding) {
  bool star = false;
  while (!accept_encoding.empty()) {
    std::string_view entry = take_until(accept_encoding, ',');
    const std::string_view coding = trim(take_until(entry, ';'));
    bool wanted = true;
    while (!entry.empty()) {
      if (is_zero_weight(trim(take_until(entry, ';')))) wanted = false;
    }
    if (equal_caseless(coding, "gzip") || equal_caseless(coding, "x-gzip")) return wanted;
    if (coding == "*") star = wanted;
  }
  return star;
}

}  // namespace tidegauge
