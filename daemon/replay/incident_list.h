// SPDX-License-Identifier: Apache-2.0
#pragma once

// The recordings of a directory, as a list. Their names and what is in them are believed nothing.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/result.h"
#include "daemon/commands/terminal_text.h"

namespace tidegauge::replay {

enum class IncidentState : std::uint8_t {
  kComplete,
  kBeingWritten,
  kTorn,  // its writer did not come to its end
  kDamaged,
  kUnreadable,  // no file, no permission, no recording
};
std::string_view to_string(IncidentState state);

struct Incident {
  std::string name;    // of the file
  std::string reason;  // as the name tells it; "" where it does not
  IncidentState state = IncidentState::kUnreadable;
  std::string why;  // it is unreadable
  std::int64_t first_realtime_ns = 0;
  std::int64_t last_realtime_ns = 0;
  std::uint64_t snapshots = 0;
  std::uint64_t bytes = 0;
};

// All that is called like a recording, in the order of the names: TIME-REASON.tgrec and, while it is written or was
// left behind, .TIME-REASON.tgrec.partial.
Result<std::vector<Incident>> list_incidents(const std::string& directory);

// "io-stall" of "20261126T013232Z-io-stall.tgrec".
std::string reason_of(std::string_view name);

// Two lines each.
std::string incidents_text(const std::vector<Incident>& incidents, Charset charset);
std::string incidents_json(const std::vector<Incident>& incidents);

}  // namespace tidegauge::replay
