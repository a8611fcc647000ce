// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace tidegauge {

inline constexpr std::int64_t kNsPerSecond = 1'000'000'000;

// For what a collector keeps longer than one run. Time comes from CollectContext.
class RefreshTimer {
 public:
  explicit constexpr RefreshTimer(std::int64_t period_ns) : period_ns_(period_ns) {}

  // True at first, then once per period; restarts the period when true.
  bool due(std::int64_t boottime_ns) {
    // A clock that went back means another boot's recording or a test: what is kept is void.
    if (last_ns_ && boottime_ns >= *last_ns_ && boottime_ns - *last_ns_ < period_ns_) {
      return false;
    }
    last_ns_ = boottime_ns;
    return true;
  }
  // The next due() is true.
  void expire() { last_ns_.reset(); }

 private:
  std::int64_t period_ns_;
  std::optional<std::int64_t> last_ns_;
};

}  // namespace tidegauge
