// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/block_in_flight.h"

#include <algorithm>

namespace tidegauge {

std::uint64_t BlockBusyTimes::shown_ns(std::uint32_t number, const tg_block_device& device,
                                       std::uint64_t now_ns) {
  std::uint64_t busy_ns = device.busy_ns;
  if (device.in_flight != 0 && now_ns > device.last_ns) {
    busy_ns += now_ns - device.last_ns;
  }
  std::uint64_t& shown = shown_[number];
  shown = std::max(shown, busy_ns);
  return shown;
}

std::optional<std::uint64_t> StaleRequests::look(std::uint32_t number,
                                                 const tg_block_device& device,
                                                 std::uint64_t in_progress, std::uint64_t now_ns) {
  if (device.in_flight == 0) {
    idle_ns_.erase(number);
    return std::nullopt;
  }
  if (in_progress != 0) {
    return std::nullopt;
  }
  auto& times = idle_ns_[number];
  std::shift_left(times.begin(), times.end(), 1);
  times.back() = now_ns;
  if (times.front() <= kMarginNs) {
    return std::nullopt;
  }
  return times.front() - kMarginNs;
}

void StaleRequests::find(std::uint32_t number, std::span<const tg_block_issued> issued,
                         std::uint64_t until_ns, std::vector<tg_block_forgotten>& out) {
  for (const tg_block_issued& request : issued) {
    const bool counted = request.operation == TG_BLOCK_READ ||
                         request.operation == TG_BLOCK_WRITE ||
                         request.operation == TG_BLOCK_DISCARD;
    if (request.request != 0 && request.device == number && counted &&
        request.issue_ns <= until_ns) {
      out.push_back(
          {.request = request.request, .issue_ns = request.issue_ns, .device = number, .zero = 0});
    }
  }
}

}  // namespace tidegauge
