// SPDX-License-Identifier: Apache-2.0
#pragma once

// What devices have at the moment: the time they have been busy with it, and what of it cannot be true.
// Pure: no BPF, no clock. Times are CLOCK_MONOTONIC.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "bpf/block_records.h"

namespace tidegauge {

// A device's busy time with what passed since its last event: one that hangs has no events that would move its
// clock. The BPF programs look at the clock before they have the device's lock, so an event may yet end the
// busy time a little before the last moment shown: it is never shown less than before.
class BlockBusyTimes {
 public:
  // `device`: a copy that was made after `now_ns`.
  std::uint64_t shown_ns(std::uint32_t number, const tg_block_device& device, std::uint64_t now_ns);
  void forget(std::uint32_t number) { shown_.erase(number); }

 private:
  std::map<std::uint32_t, std::uint64_t> shown_;
};

// Finds requests whose end was not seen: a BPF program is left out while it runs on that CPU already. The next
// use of the request tells, but may be long in coming, and until then the device would seem busy. The kernel's
// own count (/proc/diskstats) knows reads, writes and discards; a request was in it each time it was looked
// at, or it has ended.
class StaleRequests {
 public:
  // A while for what happens to a request between its being issued and its being counted.
  static constexpr std::uint64_t kMarginNs = 10'000'000'000;
  // The kernel adds up its count from one number per CPU, not all at one moment: once is no proof.
  static constexpr std::size_t kProofs = 3;

  // Once per pass. in_progress: the kernel's count, read after now_ns. Whether a request may be stale: one that was
  // issued up to the time returned is.
  std::optional<std::uint64_t> look(std::uint32_t number, const tg_block_device& device,
                                    std::uint64_t in_progress, std::uint64_t now_ns);
  void forget(std::uint32_t number) { idle_ns_.erase(number); }

  static void find(std::uint32_t number, std::span<const tg_block_issued> issued,
                   std::uint64_t until_ns, std::vector<tg_block_forgotten>& out);

 private:
  // When the kernel's count was last seen to be none while ours was not, the oldest first; 0: not yet.
  std::map<std::uint32_t, std::array<std::uint64_t, kProofs>> idle_ns_;
};

}  // namespace tidegauge
