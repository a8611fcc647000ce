// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/disk_windows.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace tidegauge {

namespace {

// Of a busy time in a pair of windows.
bool is_at_most(std::uint64_t busy_ns, double share) {
  return static_cast<double>(busy_ns) <= share * static_cast<double>(DiskWindows::kPairNs);
}

constexpr std::uint64_t kBurstNs = DiskWindows::kPairNs / 10 * 9;

}  // namespace

void DiskWindows::start(std::uint64_t number) {
  next_ = number;
  last_.reset();
  second_ = {};
  second_ns_ = 0;
  known_ = 0;
  in_burst_ = false;
}

void DiskWindows::add(const DiskWindow& window) {
  if (window.number < next_) {
    return;
  }
  idle_until(window.number);
  DiskWindow bounded = window;
  bounded.busy_ns = std::min(bounded.busy_ns, DiskWindow::kNs);
  bounded.user.thousandths = std::min(bounded.user.thousandths, 1000U);
  step(bounded);
}

void DiskWindows::idle_until(std::uint64_t number) { step_same(number, 0); }

void DiskWindows::busy_until(std::uint64_t number) { step_same(number, DiskWindow::kNs); }

void DiskWindows::lose_until(std::uint64_t number) {
  if (number > next_) {
    lost_ += number - next_;
    start(number);
  }
}

// After this many of the same nothing else is remembered; the others only count.
void DiskWindows::step_same(std::uint64_t until, std::uint64_t busy_ns) {
  constexpr std::uint64_t kRemembered = kSlots * kSlotWindows;
  if (until > next_ + 2 * kRemembered) {
    step_same(next_ + 2 * kSecondWindows, busy_ns);
    const std::uint64_t pairs = (until - kRemembered - next_) / 2;
    count_pair(2 * busy_ns, pairs);
    next_ += 2 * pairs;
    last_->number = next_ - 1;
  }
  while (next_ < until) {
    DiskWindow window;
    window.number = next_;
    window.busy_ns = busy_ns;
    step(window);
  }
}

void DiskWindows::step(const DiskWindow& window) {
  if (last_) {
    note_peak(window);
    if (window.number % 2 != 0) {
      count_pair(last_->busy_ns + window.busy_ns, 1);
    }
  }
  look_for_burst(window.busy_ns);
  last_ = window;
  next_ = window.number + 1;
}

void DiskWindows::count_pair(std::uint64_t busy_ns, std::uint64_t pairs) {
  for (std::size_t i = 0; i < kBuckets.size(); ++i) {
    buckets_[i] += is_at_most(busy_ns, kBuckets[i]) ? pairs : 0;
  }
  busy_ns_ += busy_ns * pairs;
}

DiskWindows::Slot& DiskWindows::slot_of(std::uint64_t number) {
  Slot& slot = slots_[number / kSlotWindows % kSlots];
  if (slot.slot != number / kSlotWindows) {
    slot = Slot{};
    slot.slot = number / kSlotWindows;
  }
  return slot;
}

// `pair` is the later one.
bool DiskWindows::is_higher(const Peak& pair, const Peak& than) {
  if (pair.busy_ns >= kBurstNs && than.busy_ns >= kBurstNs &&
      pair.number - than.number >= kSecondWindows) {
    return true;
  }
  return std::tie(pair.busy_ns, pair.user.thousandths, pair.requests) >
         std::tie(than.busy_ns, than.user.thousandths, than.requests);
}

WindowUser DiskWindows::user_of(const DiskWindow& a, const DiskWindow& b) {
  const std::uint64_t busy_ns = a.busy_ns + b.busy_ns;
  std::uint64_t of_a = a.busy_ns * a.user.thousandths;
  std::uint64_t of_b = b.busy_ns * b.user.thousandths;
  if (a.user.owner == b.user.owner && a.user.tgid == b.user.tgid) {
    of_a += std::exchange(of_b, 0);
  }
  WindowUser out = of_a >= of_b ? a.user : b.user;
  out.thousandths = busy_ns == 0 ? 0 : static_cast<std::uint32_t>(std::max(of_a, of_b) / busy_ns);
  return out;
}

void DiskWindows::note_peak(const DiskWindow& window) {
  const std::uint64_t busy_ns = last_->busy_ns + window.busy_ns;
  const std::uint64_t requests = last_->requests + window.requests;
  if (std::exchange(is_pass_taken_, false)) {
    pass_ = {};
  }
  pass_.busy_ns = std::max(pass_.busy_ns, busy_ns);
  pass_.requests = std::max(pass_.requests, requests);
  Slot& slot = slot_of(window.number);
  Peak& peak = slot.peak;
  Peak pair;
  pair.number = window.number;
  pair.busy_ns = busy_ns;
  pair.requests = requests;
  pair.user = user_of(*last_, window);
  pair.most_busy_ns = std::max(peak.most_busy_ns, busy_ns);
  pair.most_requests = std::max(peak.most_requests, requests);
  if (busy_ns == 0 || !is_higher(pair, peak)) {
    peak.most_busy_ns = pair.most_busy_ns;
    peak.most_requests = pair.most_requests;
    return;
  }
  peak = std::move(pair);
  slot.is_settled = false;
}

// Of the pair in the middle of the second that ends with this window.
void DiskWindows::look_for_burst(std::uint64_t busy_ns) {
  std::rotate(second_.begin(), second_.begin() + 1, second_.end());
  second_ns_ += busy_ns - second_.back();
  second_.back() = busy_ns;
  known_ = std::min(known_ + 1, kSecondWindows);
  const bool is_burst = known_ == kSecondWindows &&
                        second_[kAround - 1] + second_[kAround] >= kBurstNs &&
                        2 * second_ns_ < kSecondWindows * DiskWindow::kNs;
  bursts_ += is_burst && !in_burst_ ? 1 : 0;
  in_burst_ = is_burst;
}

void DiskWindows::settle(std::int64_t realtime_ns,
                         const std::function<WindowUserName(WindowUser)>& name_of) {
  for (Slot& slot : slots_) {
    if (slot.is_settled || slot.peak.number == 0) {
      continue;
    }
    slot.is_settled = true;
    const std::uint64_t begin_ns = (slot.peak.number - 1) * DiskWindow::kNs;
    slot.peak.realtime_ms = (realtime_ns + static_cast<std::int64_t>(begin_ns)) / 1'000'000;
    slot.peak.name = slot.peak.user.thousandths != 0 ? name_of(slot.peak.user) : WindowUserName{};
  }
}

DiskWindows::Peak DiskWindows::peak() const {
  const Peak none;
  const Peak* best = &none;
  std::uint64_t most_busy_ns = 0;
  std::uint64_t most_requests = 0;
  // The oldest first.
  const std::uint64_t present = next_ / kSlotWindows;
  for (std::uint64_t number = std::max(present, kSlots) - kSlots + 1; number <= present; ++number) {
    const Slot& slot = slots_[number % kSlots];
    if (slot.slot != number || slot.peak.most_busy_ns + slot.peak.most_requests == 0) {
      continue;
    }
    most_busy_ns = std::max(most_busy_ns, slot.peak.most_busy_ns);
    most_requests = std::max(most_requests, slot.peak.most_requests);
    if (is_higher(slot.peak, *best)) {
      best = &slot.peak;
    }
  }
  Peak out = *best;
  out.most_busy_ns = most_busy_ns;
  out.most_requests = most_requests;
  return out;
}

DiskWindows::PassPeak DiskWindows::take_pass_peak() {
  is_pass_taken_ = true;
  return pass_;
}

}  // namespace tidegauge
