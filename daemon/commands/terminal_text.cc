// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/terminal_text.h"

#include <langinfo.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cmath>
#include <cstdio>
#include <cwchar>
#include <limits>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
// Longer than any name that is shown; bounds the work on one.
constexpr std::size_t kMaxBytes = 4096;

struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
};

// The first one of valid UTF-8.
Character first_of(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code = bytes == 1 ? lead : lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes && i < text.size(); ++i) {
    code = (code << 6U) | (static_cast<unsigned char>(text[i]) & 0x3FU);
  }
  return {code, bytes};
}

// Marks that change the direction or the look of what follows, whatever the C library thinks of
// their width: soft hyphen, Arabic letter mark, zero-width and directional marks, line separators.
bool is_invisible(char32_t code) {
  return code == 0xAD || code == 0x61C || (code >= 0x200B && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
}

// 0 for what may not be shown.
std::size_t width_of(char32_t code) {
  if (code < 0x80) {
    return code >= 0x20 && code != 0x7F ? 1 : 0;
  }
  if (is_invisible(code)) {
    return 0;
  }
  const int columns = ::wcwidth(static_cast<wchar_t>(code));
  return columns > 0 ? static_cast<std::size_t>(columns) : 0;
}

struct Piece {
  std::string_view text;
  std::size_t columns = 1;
};

Piece piece_of(std::string_view text, const Character& character, Charset charset) {
  const std::size_t columns = width_of(character.code);
  if (charset == Charset::kAscii && (character.code >= 0x80 || columns == 0)) {
    return {"?", 1};
  }
  return columns == 0 ? Piece{kReplacement, 1} : Piece{text.substr(0, character.bytes), columns};
}

}  // namespace

Charset use_environments_charset() {
  if (std::setlocale(LC_CTYPE, "") == nullptr) {
    return Charset::kAscii;
  }
  return std::string_view(::nl_langinfo(CODESET)) == "UTF-8" ? Charset::kUtf8 : Charset::kAscii;
}

std::string printable(std::string_view raw, std::size_t max_columns, Charset charset) {
  const std::string valid = sanitize_label(raw, kMaxBytes);
  std::string_view rest(valid);
  std::string out;
  std::size_t columns = 0;
  std::size_t cut_at = 0;  // bytes that leave room for the mark
  while (!rest.empty()) {
    const Character character = first_of(rest);
    const Piece piece = piece_of(rest, character, charset);
    if (columns + piece.columns > max_columns) {
      if (max_columns == 0) {
        return {};
      }
      out.resize(cut_at);
      return out.append("+");
    }
    out.append(piece.text);
    columns += piece.columns;
    if (columns < max_columns) {
      cut_at = out.size();
    }
    rest.remove_prefix(character.bytes);
  }
  return out;
}

std::string printable_lines(std::string_view raw, Charset charset) {
  const std::string valid = sanitize_label(raw, std::numeric_limits<std::size_t>::max());
  std::string_view rest(valid);
  std::string out;
  out.reserve(valid.size());
  while (!rest.empty()) {
    const Character character = first_of(rest);
    const bool is_kept = character.code == '\n' || character.code == '\t';
    out.append(is_kept ? rest.substr(0, 1) : piece_of(rest, character, charset).text);
    rest.remove_prefix(character.bytes);
  }
  return out;
}

std::size_t columns_of(std::string_view printable) {
  std::size_t columns = 0;
  while (!printable.empty()) {
    const Character character = first_of(printable);
    columns += width_of(character.code);
    printable.remove_prefix(std::min(character.bytes, printable.size()));
  }
  return columns;
}

std::string left_aligned(std::string_view raw, std::size_t columns, Charset charset) {
  std::string text = printable(raw, columns, charset);
  const std::size_t used = columns_of(text);
  return text.append(columns > used ? columns - used : 0, ' ');
}

std::string right_aligned(std::string_view text, std::size_t columns) {
  std::string out(columns > text.size() ? columns - text.size() : 0, ' ');
  return out.append(text);
}

std::string human(std::optional<double> value, double base) {
  if (!value || !std::isfinite(*value)) {
    return "-";
  }
  constexpr std::string_view kUnits = "KMGTPE";
  double number = std::max(*value, 0.0);
  std::size_t unit = 0;  // of kUnits, one further
  while (number >= 999.5 && unit < kUnits.size()) {
    number /= base;
    ++unit;
  }
  std::array<char, 32> text{};
  const bool is_whole = std::abs(number - std::round(number)) < 0.05;
  const int decimals = unit == 0         ? (number < 9.95 && !is_whole ? 1 : 0)
                       : number >= 99.95 ? 0
                       : number >= 9.995 ? 1
                                         : 2;
  std::snprintf(text.data(), text.size(), "%.*f", decimals, number);
  std::string out(text.data());
  return unit == 0 ? out : out.append(1, kUnits[unit - 1]);
}

std::string percent(std::optional<double> share) {
  if (!share || !std::isfinite(*share)) {
    return "-";
  }
  const double number = std::max(*share * 100, 0.0);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f", number >= 99.95 ? 0 : 1, number);
  return text.data();
}

}  // namespace tidegauge
