// SPDX-License-Identifier: Apache-2.0
#pragma once

// When the Snapshots of a recording have their turn. Pure: no clock.

#include <cstdint>

#include "collectors/core/section.h"

namespace tidegauge::replay {

class Pace {
 public:
  explicit Pace(double speed) : speed_(speed) {}

  // When this one is to appear; `now_ns` is any clock that goes on steadily. The first one at once, each other one
  // after the time that lay between it and the one before. Late ones come at once until they have caught up.
  std::int64_t next(const Snapshot& snapshot, std::int64_t now_ns);
  // The recording begins again, after as much time as lay between its last two.
  void begin_again();
  // When the last one is over: after as long as the one before lasted, a second at the least.
  [[nodiscard]] std::int64_t end_ns() const;

 private:
  [[nodiscard]] std::int64_t wait_ns(std::int64_t gap_ns) const;

  double speed_;
  bool has_last_ = false;
  bool begins_again_ = false;
  std::int64_t last_boottime_ns_ = 0;
  std::int64_t last_realtime_ns_ = 0;
  std::int64_t last_gap_ns_ = 0;
  std::int64_t due_ns_ = 0;
};

}  // namespace tidegauge::replay
