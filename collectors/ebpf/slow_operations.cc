// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/slow_operations.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace tidegauge {

namespace {

auto identity(const SlowOperation& o) {
  return std::tie(o.operation, o.path, o.fstype, o.thread, o.pid, o.tid);
}

}  // namespace

void SlowOperations::add(SlowOperation operation) {
  const auto same = std::find_if(kept_.begin(), kept_.end(), [&](const SlowOperation& other) {
    return identity(other) == identity(operation);
  });
  if (same != kept_.end()) {
    operation.ns = std::max(operation.ns, same->ns);
    kept_.erase(same);
  }
  kept_.push_back(std::move(operation));
  if (kept_.size() > kKept) {
    kept_.pop_front();
  }
}

void SlowOperations::forget(std::int64_t now_ns) {
  std::erase_if(kept_, [&](const SlowOperation& o) { return now_ns - o.seen_ns > kKeepNs; });
}

}  // namespace tidegauge
