// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/time_argument.h"

#include <algorithm>

#include "collectors/core/collector.h"
#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kDaySeconds = 86'400;
// As far as nanoseconds reach in 64 bits.
constexpr std::int64_t kMaxSeconds = INT64_MAX / kSecondNs - kDaySeconds;

// Takes `digits` digits off the front.
std::optional<int> take_digits(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) {
    return std::nullopt;
  }
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') {
      return std::nullopt;
    }
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char wanted) {
  if (!text.starts_with(wanted)) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

// ".123" off the front, in nanoseconds; 0 where there is none.
std::optional<std::int64_t> take_fraction(std::string_view& text) {
  if (!take(text, '.')) {
    return 0;
  }
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0) {
    return std::nullopt;
  }
  std::int64_t ns = 0;
  for (std::size_t i = 0; i < 9; ++i) {
    ns = ns * 10 + (i < digits ? text[i] - '0' : 0);
  }
  text.remove_prefix(digits);
  return ns;
}

int days_of_month(int year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// Days since 1970, from the year's days and the leap days before it.
std::int64_t days_before(int year, int month, int day) {
  const std::int64_t y = year - 1;
  std::int64_t days = y * 365 + y / 4 - y / 100 + y / 400 - 719'162;
  for (int m = 1; m < month; ++m) {
    days += days_of_month(year, m);
  }
  return days + day - 1;
}

// "Z" or "+01:00", in seconds.
std::optional<std::int64_t> take_offset(std::string_view& text) {
  if (take(text, 'Z') || take(text, 'z')) {
    return 0;
  }
  const bool east = text.starts_with('+');
  if (!east && !text.starts_with('-')) {
    return std::nullopt;
  }
  text.remove_prefix(1);
  const auto hours = take_digits(text, 2);
  const bool colon = take(text, ':');
  const auto minutes = take_digits(text, 2);
  if (!hours || !colon || !minutes || *hours > 23 || *minutes > 59) {
    return std::nullopt;
  }
  return (east ? 1 : -1) * (*hours * 3600 + *minutes * 60);
}

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) {
    return std::nullopt;
  }
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) {
    return std::nullopt;
  }
  const auto day = take_digits(text, 2);
  if (!day || !(take(text, 'T') || take(text, 't') || take(text, ' '))) {
    return std::nullopt;
  }
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':')) {
    return std::nullopt;
  }
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ':')) {
    return std::nullopt;
  }
  const auto second = take_digits(text, 2);
  const auto fraction = take_fraction(text);
  const auto offset = take_offset(text);
  // Years that nanoseconds in 64 bits can tell; a leap second is the next one.
  if (!second || !fraction || !offset || !text.empty() || *year < 1678 || *year > 2261 ||
      *month < 1 || *month > 12 || *day < 1 || *day > days_of_month(*year, *month) || *hour > 23 ||
      *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  const std::int64_t seconds = days_before(*year, *month, *day) * kDaySeconds + *hour * 3600 +
                               *minute * 60 + *second - *offset;
  return seconds * kSecondNs + *fraction;
}

std::optional<std::int64_t> parse_unix(std::string_view text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto seconds = parse_signed(text.substr(0, digits));
  text.remove_prefix(digits);
  const auto fraction = take_fraction(text);
  if (!seconds || !fraction || !text.empty() || *seconds > kMaxSeconds) {
    return std::nullopt;
  }
  return *seconds * kSecondNs + *fraction;
}

}  // namespace

std::int64_t TimeArgument::resolve(std::int64_t end_ns) const {
  std::int64_t out = ns;
  if (is_before_end && __builtin_sub_overflow(end_ns, ns, &out)) {
    return INT64_MIN;
  }
  return out;
}

std::optional<TimeArgument> parse_time_argument(std::string_view text) {
  if (text.starts_with('-')) {
    const auto back = parse_duration(text.substr(1));
    return back ? std::optional(TimeArgument{true, *back}) : std::nullopt;
  }
  auto ns = parse_rfc3339(text);
  if (!ns) {
    ns = parse_unix(text);
  }
  return ns ? std::optional(TimeArgument{false, *ns}) : std::nullopt;
}

}  // namespace tidegauge
