// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/capture_time.h"

#include <array>
#include <chrono>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kLatestSeconds = 7'258'118'400;  // 2200

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes exactly `digits` digits off the front.
std::optional<unsigned> take_number(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) {
    return std::nullopt;
  }
  unsigned value = 0;
  for (const char c : text.substr(0, digits)) {
    if (!is_digit(c)) {
      return std::nullopt;
    }
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

// ".250" in nanoseconds, 0 when there is none; digits behind the ninth are dropped.
std::optional<std::int64_t> take_fraction(std::string_view& text) {
  if (!take(text, '.')) {
    return 0;
  }
  std::int64_t ns = 0;
  std::int64_t unit = kNsPerSecond / 10;
  std::size_t digits = 0;
  for (; digits < text.size() && is_digit(text[digits]); ++digits) {
    ns += unit * (text[digits] - '0');
    unit /= 10;
  }
  text.remove_prefix(digits);
  return digits == 0 ? std::nullopt : std::optional(ns);
}

struct Clock {
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
};

// "105332" or, `extended`, "10:53:32".
std::optional<Clock> take_clock(std::string_view& text, bool extended) {
  Clock out;
  for (unsigned Clock::*part : {&Clock::hour, &Clock::minute, &Clock::second}) {
    if (extended && part != &Clock::hour && !take(text, ':')) {
      return std::nullopt;
    }
    const auto value = take_number(text, 2);
    if (!value || *value >= (part == &Clock::hour ? 24U : 60U)) {
      return std::nullopt;
    }
    out.*part = *value;
  }
  return out;
}

std::optional<std::int64_t> in_range(std::int64_t ns) {
  return ns >= 0 && ns / kNsPerSecond < kLatestSeconds ? std::optional(ns) : std::nullopt;
}

std::optional<std::int64_t> time_of(unsigned year, unsigned month, unsigned day,
                                    const Clock& clock) {
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)),
                                         std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok()) {
    return std::nullopt;
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds =
      std::int64_t{days} * 86'400 + clock.hour * 3'600 + clock.minute * 60 + clock.second;
  // Checked before it is multiplied: a year of four digits can be out of range.
  return seconds < -86'400 || seconds > kLatestSeconds + 86'400
             ? std::nullopt
             : std::optional(seconds * kNsPerSecond);
}

std::optional<std::int64_t> parse_iso(std::string_view text, std::int64_t utc_offset_ns) {
  const auto year = take_number(text, 4);
  const bool extended = take(text, '-');
  const auto month = take_number(text, 2);
  if (!year || !month || (extended && !take(text, '-'))) {
    return std::nullopt;
  }
  const auto day = take_number(text, 2);
  if (!day || !(take(text, 'T') || (extended && take(text, ' ')))) {
    return std::nullopt;
  }
  const auto clock = take_clock(text, extended);
  if (!clock) {
    return std::nullopt;
  }
  const auto fraction_ns = take_fraction(text);
  const auto offset_ns = text.empty() ? std::optional(utc_offset_ns) : parse_utc_offset(text);
  const auto local_ns = time_of(*year, *month, *day, *clock);
  if (!fraction_ns || !offset_ns || !local_ns) {
    return std::nullopt;
  }
  return in_range(*local_ns + *fraction_ns - *offset_ns);
}

std::optional<std::int64_t> parse_unix(std::string_view text) {
  // Fewer digits are no time of a capture but some other number.
  constexpr std::size_t kLeastDigits = 9;
  constexpr std::size_t kMostDigits = 10;
  const std::size_t digits = std::min(text.find('.'), text.size());
  const auto seconds = parse_unsigned(text.substr(0, digits));
  if (!seconds || digits < kLeastDigits || digits > kMostDigits) {
    return std::nullopt;
  }
  text.remove_prefix(digits);
  const auto fraction_ns = take_fraction(text);
  if (!fraction_ns || !text.empty()) {
    return std::nullopt;
  }
  return in_range(static_cast<std::int64_t>(*seconds) * kNsPerSecond + *fraction_ns);
}

// Zones without a name are told as numbers: "-03", "+0530". What other names say depends on who asks.
std::optional<std::int64_t> offset_of_zone(std::string_view zone, std::int64_t utc_offset_ns) {
  if (zone.starts_with('+') || zone.starts_with('-')) {
    return parse_utc_offset(zone);
  }
  if (zone == "UTC" || zone == "GMT") {
    return 0;
  }
  // Half a day; where it stands in the zone's place, there is no zone.
  const bool is_half = zone == "AM" || zone == "PM" || zone == "am" || zone == "pm";
  return is_half ? std::nullopt : std::optional(utc_offset_ns);
}

// "Sat Sep 10 10:53:32 JST 2016", also without the zone.
std::optional<std::int64_t> parse_date(std::string_view text, std::int64_t utc_offset_ns) {
  constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::string_view weekday = next_field(text);
  const std::string_view name = next_field(text);
  unsigned month = 0;
  for (std::size_t i = 0; i < kMonths.size(); ++i) {
    month = name == kMonths[i] ? static_cast<unsigned>(i + 1) : month;
  }
  const auto day = next_unsigned(text);
  std::string_view clock_text = next_field(text);
  const auto clock = take_clock(clock_text, true);
  std::string_view year_text = next_field(text);
  const std::string_view zone = trim(text).empty() ? "" : year_text;
  if (!zone.empty()) {
    year_text = next_field(text);
  }
  const auto year = take_number(year_text, 4);
  if (weekday.size() != 3 || month == 0 || !day || *day > 31 || !clock || !clock_text.empty() ||
      !year || !year_text.empty() || !trim(text).empty()) {
    return std::nullopt;
  }
  const auto local_ns = time_of(*year, month, static_cast<unsigned>(*day), *clock);
  const auto offset_ns = offset_of_zone(zone, utc_offset_ns);
  return local_ns && offset_ns ? in_range(*local_ns - *offset_ns) : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> parse_capture_time(std::string_view text, std::int64_t utc_offset_ns) {
  text = trim(text);
  if (const auto time = parse_iso(text, utc_offset_ns)) {
    return time;
  }
  const auto time = parse_unix(text);
  return time ? time : parse_date(text, utc_offset_ns);
}

std::optional<std::int64_t> parse_utc_offset(std::string_view text) {
  constexpr unsigned kMostHours = 18;
  if (text == "Z") {
    return 0;
  }
  const bool is_west = text.starts_with('-');
  if (!take(text, is_west ? '-' : '+')) {
    return std::nullopt;
  }
  const auto hours = take_number(text, text.size() == 1 ? 1 : 2);
  const bool has_minutes = !text.empty();
  take(text, ':');
  const auto minutes = has_minutes ? take_number(text, 2) : std::optional(0U);
  if (!hours || !minutes || !text.empty() || *minutes >= 60 ||
      *hours * 60 + *minutes > kMostHours * 60) {
    return std::nullopt;
  }
  const std::int64_t ns = (*hours * std::int64_t{3'600} + *minutes * 60) * kNsPerSecond;
  return is_west ? -ns : ns;
}

}  // namespace tidegauge
