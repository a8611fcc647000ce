// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/block_window_fold.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace tidegauge {

namespace {

// As the kernel does when the window after the next begins.
void name_user(const tg_block_users& users, tg_block_window& window) {
  const auto* most = std::max_element(std::begin(users.ns), std::end(users.ns));
  if (*most == 0 || window.busy_ns == 0) {
    return;
  }
  const std::uint64_t who = users.who[most - std::begin(users.ns)];
  window.owner = static_cast<std::uint32_t>(who >> 32U);
  window.tgid = static_cast<std::uint32_t>(who);
  window.user_thousandths =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(*most * 1000 / window.busy_ns, 1000));
}

tg_block_window present_window(const tg_block_device& device) {
  tg_block_window out = device.window;
  if (device.in_flight != 0 && device.last_ns < device.window_end_ns) {  // up to its end, if so
    out.busy_ns += static_cast<std::uint32_t>(device.window_end_ns - device.last_ns);
  }
  name_user(device.users, out);
  return out;
}

// In the order of their numbers. Without a lock a copy may be torn: a number from nowhere is none.
std::vector<tg_block_window> windows_of(const tg_block_device& device, std::uint64_t present) {
  const auto is_known = [present](const tg_block_window& window) {
    return window.number != 0 && window.number <= present;
  };
  std::vector<tg_block_window> out;
  out.reserve(TG_WINDOWS + 1);
  for (const tg_block_window& window : device.windows) {
    if (is_known(window)) {
      out.push_back(window);
      if (window.number == device.users_before.number) {
        name_user(device.users_before, out.back());
      }
    }
  }
  if (is_known(device.window)) {
    out.push_back(present_window(device));
  }
  std::sort(out.begin(), out.end(),
            [](const tg_block_window& a, const tg_block_window& b) { return a.number < b.number; });
  return out;
}

}  // namespace

void fold_windows(const tg_block_device& device, std::uint64_t now_ns, bool is_attributed,
                  DiskWindows& out) {
  // An event may have looked at the clock after us.
  const std::uint64_t present = now_ns / TG_WINDOW_NS + 1;
  const std::uint64_t limit = std::max<std::uint64_t>(present, 3) - 3;
  if (out.started() && device.in_flight == 0 && device.window.number < out.next()) {
    out.idle_until(limit);
    return;
  }
  const std::vector<tg_block_window> windows = windows_of(device, present);
  if (windows.empty()) {
    return;
  }
  // Those that were longer ago have given their places to others.
  const std::uint64_t newest = windows.back().number;
  const std::uint64_t oldest = newest >= TG_WINDOWS ? newest - (TG_WINDOWS - 1) : 1;
  if (!out.started()) {
    out.start(std::max<std::uint64_t>(windows.front().number, oldest));
  }
  out.lose_until(std::min(oldest, limit));
  for (const tg_block_window& window : windows) {
    const std::uint64_t since =
        window.number - std::min<std::uint64_t>(window.busy_before, window.number);
    out.idle_until(std::min(since, limit));
    out.busy_until(std::min<std::uint64_t>(window.number, limit));
    if (window.number < limit) {
      WindowUser user;
      if (is_attributed) {
        user = {.owner = window.owner, .tgid = window.tgid, .thousandths = window.user_thousandths};
      }
      out.add({.number = window.number,
               .busy_ns = window.busy_ns,
               .requests = window.requests,
               .user = user});
    }
  }
  if (newest < limit && device.in_flight != 0) {
    out.busy_until(limit);
  } else {
    out.idle_until(limit);
  }
}

}  // namespace tidegauge
