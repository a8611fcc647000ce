// SPDX-License-Identifier: Apache-2.0
#pragma once

// Times as captures write them. Pure.

#include <cstdint>
#include <optional>
#include <string_view>

namespace tidegauge {

// In nanoseconds since 1970 UTC: "20160910T105332", "2016-09-10T10:53:32", "2016-09-10 10:53:32", each with a
// fraction and one of "Z" and "+09:00" if need be; what date(1) prints ("Sat Sep 10 10:53:32 JST 2016", with "-03"
// or "+0530" where the zone has no name; not with AM and PM); seconds since 1970 with a fraction if need be. Where no
// zone is given, or one by a name other than UTC and GMT, local time is `utc_offset_ns` ahead of UTC. Only times from 1970 to 2200.
std::optional<std::int64_t> parse_capture_time(std::string_view text, std::int64_t utc_offset_ns);

// "+09:00", "-0530", "+9", "Z" in nanoseconds; at most 18 hours.
std::optional<std::int64_t> parse_utc_offset(std::string_view text);

}  // namespace tidegauge
