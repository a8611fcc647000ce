// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/counting_windows.h"

#include <algorithm>

namespace tidegauge {

bool CountingWindows::is_due(std::int64_t now_ns) const {
  return !is_open_ && (!is_next_known_ || now_ns >= next_ns_);
}

void CountingWindows::begin(std::int64_t now_ns) {
  is_open_ = true;
  begin_ns_ = look_ns_ = now_ns;
  is_next_known_ = true;
  next_ns_ = now_ns + kEveryNs;
}

bool CountingWindows::wants_look(std::int64_t now_ns) const {
  return is_open_ && now_ns - look_ns_ >= kLookNs;
}

CountingWindows::Growth CountingWindows::look(std::int64_t now_ns) {
  Growth growth;
  growth.elapsed_ns = now_ns - look_ns_;
  // The first look of a later window stands for the time since the window before, too.
  if (!is_first_ && growth.elapsed_ns > 0) {
    growth.times =
        static_cast<double>(now_ns - told_until_ns_) / static_cast<double>(growth.elapsed_ns);
  }
  next_ns_ = std::max(begin_ns_ + kEveryNs, look_ns_ + kShare * growth.elapsed_ns);
  is_first_ = false;
  look_ns_ = told_until_ns_ = now_ns;
  return growth;
}

void CountingWindows::fail(std::int64_t now_ns) {
  is_open_ = false;
  is_next_known_ = true;
  next_ns_ = now_ns + kEveryNs;
}

}  // namespace tidegauge
