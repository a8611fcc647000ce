// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "collectors/core/section.h"

namespace tidegauge::recording {

// Tells when an incident is at its worst so far: tasks wait more (for CPU, I/O and memory together, /proc/pressure
// "some") than at any time before in it. Pure; one thread.
class PeakWatch {
 public:
  void begin_incident();
  // Snapshots in their order. Clearly worse, and not within five seconds of the last time.
  bool is_peak(const Snapshot& snapshot);

 private:
  std::int64_t read_ns_ = 0;
  std::optional<double> waited_s_;
  double worst_ = 0;  // seconds of waiting a second
  std::int64_t told_ns_ = 0;
  bool is_first_ = true;
};

}  // namespace tidegauge::recording
