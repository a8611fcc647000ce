// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/pace.h"

#include <algorithm>

namespace tidegauge::replay {

namespace {

// A recording goes round no faster, or one Snapshot in a loop would keep a core busy.
constexpr std::int64_t kLeastRoundNs = 100'000'000;
// However short or alone it is, the last Snapshot can be seen.
constexpr std::int64_t kLeastLastNs = 1'000'000'000;
// Longer than anybody waits, and far from overflow.
constexpr std::int64_t kMostNs = 1'000'000'000'000'000'000;

std::int64_t since(std::int64_t later, std::int64_t earlier) {
  std::int64_t out = 0;
  return __builtin_sub_overflow(later, earlier, &out) ? 0 : out;
}

}  // namespace

std::int64_t Pace::next(const Snapshot& snapshot, std::int64_t now_ns) {
  if (!has_last_) {
    has_last_ = true;
    due_ns_ = now_ns;
  } else {
    std::int64_t gap_ns = last_gap_ns_;
    if (!begins_again_) {
      // Across a reboot only the other clock goes on.
      gap_ns = since(snapshot.boottime_ns, last_boottime_ns_);
      gap_ns = gap_ns > 0 ? gap_ns : since(snapshot.realtime_ns, last_realtime_ns_);
      last_gap_ns_ = gap_ns = std::max<std::int64_t>(gap_ns, 0);
    }
    due_ns_ += wait_ns(gap_ns);
    if (begins_again_) {
      due_ns_ = std::max(due_ns_, now_ns + kLeastRoundNs);
    }
    due_ns_ = std::min(due_ns_, now_ns + kMostNs);
  }
  begins_again_ = false;
  last_boottime_ns_ = snapshot.boottime_ns;
  last_realtime_ns_ = snapshot.realtime_ns;
  return due_ns_;
}

std::int64_t Pace::end_ns() const {
  return due_ns_ + std::max(wait_ns(last_gap_ns_), kLeastLastNs);
}

std::int64_t Pace::wait_ns(std::int64_t gap_ns) const {
  const double wait_ns = static_cast<double>(gap_ns) / speed_;
  return static_cast<std::int64_t>(std::min(wait_ns, static_cast<double>(kMostNs)));
}

void Pace::begin_again() { begins_again_ = has_last_; }

}  // namespace tidegauge::replay
