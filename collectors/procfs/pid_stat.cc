// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/pid_stat.h"

#include <algorithm>
#include <string>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

struct Wanted {
  unsigned field;  // as proc(5) numbers them; the state is 3
  std::uint64_t PidStat::*member;
};

constexpr Wanted kWanted[] = {
    {4, &PidStat::parent_pid},         {9, &PidStat::flags},
    {10, &PidStat::minor_faults},      {11, &PidStat::child_minor_faults},
    {12, &PidStat::major_faults},      {13, &PidStat::child_major_faults},
    {14, &PidStat::user_ticks},        {15, &PidStat::system_ticks},
    {16, &PidStat::child_user_ticks},  {17, &PidStat::child_system_ticks},
    {20, &PidStat::threads},           {22, &PidStat::start_ticks},
    {23, &PidStat::virtual_bytes},     {24, &PidStat::resident_pages},
    {42, &PidStat::block_delay_ticks},
};
constexpr unsigned kLastWanted = 42;
constexpr unsigned kLastField = 44;  // cguest_time, 2.6.24

// By hand, because every process is read in every pass: fields and from_chars took 1.6 times as long.
// Takes a blank and
// a number off the front.
bool take_number(std::string_view& rest, std::uint64_t& out) {
  constexpr std::ptrdiff_t kSafeDigits = 19;
  const char* const end = rest.data() + rest.size();
  const char* at = rest.data();
  if (at == end || *at != ' ') {
    return false;
  }
  const char* const begin = ++at;
  std::uint64_t value = 0;
  for (; at != end && *at >= '0' && *at <= '9'; ++at) {
    value = value * 10 + static_cast<std::uint64_t>(*at - '0');
  }
  if (at == begin || (at != end && *at != ' ')) {
    return false;
  }
  if (at - begin > kSafeDigits) {
    const auto checked = parse_unsigned({begin, static_cast<std::size_t>(at - begin)});
    if (!checked) {
      return false;
    }
    value = *checked;
  }
  out = value;
  rest = {at, static_cast<std::size_t>(end - at)};
  return true;
}

// Blanks and whatever stands behind each.
void skip_fields(std::string_view& rest, unsigned count) {
  const char* const end = rest.data() + rest.size();
  const char* at = rest.data();
  for (; count != 0 && at != end; --count) {
    ++at;
    while (at != end && *at != ' ') {
      ++at;
    }
  }
  rest = {at, static_cast<std::size_t>(end - at)};
}

}  // namespace

// 1 (systemd) S 0 1 1 0 -1 4194560 43716 3189223 121 1420 214 312 15480 6034 20 0 1 0 9 172281856
// 3220 18446744073709551615 1 1 0 0 0 0 671173123 4096 1260 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0
// (one line)
Result<PidStat> parse_pid_stat(std::string_view text) {
  // The name is the process's own choice and may hold blanks, newlines and ')'.
  const auto open = text.find('(');
  const auto close = text.rfind(')');
  if (close == std::string_view::npos || open > close) {
    return malformed(kPidStatFile, 1, "a name in parentheses");
  }
  std::string_view rest = text.substr(close + 1);
  if (rest.ends_with('\n')) {
    rest.remove_suffix(1);
  }
  PidStat stat;
  stat.comm.assign(text.substr(open + 1, close - open - 1));
  const std::string_view state = next_field(rest);
  if (state.size() != 1) {
    return malformed(kPidStatFile, 1, "a state letter");
  }
  stat.state = state.front();
  unsigned at = 4;
  for (const Wanted& wanted : kWanted) {
    skip_fields(rest, wanted.field - at);
    if (!take_number(rest, stat.*wanted.member)) {
      return malformed(kPidStatFile, 1, "a number in field " + std::to_string(wanted.field));
    }
    at = wanted.field + 1;
  }
  // The others are not looked at, but a line that stops early is not the kernel's. Counting blanks
  // is exact for it: it prints exactly one before each field.
  if (std::count(rest.begin(), rest.end(), ' ') < static_cast<int>(kLastField - kLastWanted)) {
    return malformed(kPidStatFile, 1, "at least " + std::to_string(kLastField) + " fields");
  }
  return stat;
}

}  // namespace tidegauge
