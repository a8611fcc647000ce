// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "collectors/core/section.h"

namespace tidegauge {

// Asks for a culprit when the host begins to wait: when tasks waited for I/O or memory in a tenth of the
// time since the Snapshot before (/proc/pressure, "some"). Pure; one thread.
class CulpritWatch {
 public:
  // Whether a look at the processes is wanted now. Snapshots in their order.
  bool wants_pass(const Snapshot& snapshot);

 private:
  struct Seen {
    std::int64_t read_ns = 0;
    double waited_s = 0;
  };
  std::array<std::optional<Seen>, 2> last_;  // I/O, memory
};

}  // namespace tidegauge
