// SPDX-License-Identifier: Apache-2.0
#pragma once

// Text for a terminal. Names come from untrusted users: what leaves here holds no control character,
// nothing that reorders or stacks, and takes exactly the columns that were asked for.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegauge {

// What the terminal understands. Anything but UTF-8 gets ASCII: a byte of a longer character may be a
// control code there.
enum class Charset : std::uint8_t { kAscii, kUtf8 };

// Takes LC_CTYPE from the environment for the whole process, which widths depend on. Once, at start.
Charset use_environments_charset();

// At most so many columns; the last one is '+' where something was cut off. Bytes that are no UTF-8,
// control characters, and characters that take no column of their own are shown as one.
std::string printable(std::string_view raw, std::size_t max_columns, Charset charset);

// Any number of lines, of any length; newlines and tabs stay, the rest is treated as by printable().
std::string printable_lines(std::string_view raw, Charset charset);

// Columns of what printable() made.
std::size_t columns_of(std::string_view printable);

// printable() and blanks up to `columns`.
std::string left_aligned(std::string_view raw, std::size_t columns, Charset charset);
// Of ASCII text; longer text is left alone.
std::string right_aligned(std::string_view text, std::size_t columns);

// At most five columns: "0", "512", "1.23K", "45.6M", "789G"; "-" for what is not known.
std::string human(std::optional<double> value, double base = 1024);
inline std::string human_bytes(std::optional<std::uint64_t> bytes) {
  return human(bytes ? std::optional(static_cast<double>(*bytes)) : std::nullopt);
}
// 0.123 is "12.3"; at most four columns below 10 000 %.
std::string percent(std::optional<double> share);

}  // namespace tidegauge
