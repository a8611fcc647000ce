// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "bpf/block_records.h"
#include "collectors/ebpf/block_window_fold.h"

namespace tidegauge {
namespace {

constexpr std::uint64_t kWindow = TG_WINDOW_NS;
constexpr std::uint64_t kFirst = 20'000;

// What block_windows.bpf.h does with a device: the same arithmetic, with nobody else about.
class Device {
 public:
  // An event; from it on the device has so many requests.
  void event(std::uint64_t now_ns, std::uint32_t in_flight, std::uint32_t ended = 0) {
    const std::uint64_t busy_ns = device_.in_flight != 0 ? now_ns - device_.last_ns : 0;
    if (now_ns < device_.window_end_ns) {
      device_.window.busy_ns += static_cast<std::uint32_t>(busy_ns);
    } else {
      begin(now_ns, busy_ns);
    }
    device_.last_ns = now_ns;
    device_.in_flight = in_flight;
    device_.window.requests += ended;
  }
  tg_block_device& raw() { return device_; }

 private:
  void begin(std::uint64_t now_ns, std::uint64_t busy_ns) {
    const std::uint64_t number = now_ns / kWindow;
    const std::uint64_t since_end_ns = now_ns - device_.window_end_ns;
    const std::uint64_t old_ns = busy_ns > since_end_ns ? busy_ns - since_end_ns : 0;
    const std::uint64_t new_ns = std::min(busy_ns, now_ns % kWindow);
    device_.window.busy_ns += static_cast<std::uint32_t>(old_ns);
    device_.windows[device_.window.number % TG_WINDOWS] = device_.window;
    device_.window = {};
    device_.window.number = number;
    device_.window.busy_before = static_cast<std::uint32_t>((busy_ns - old_ns - new_ns) / kWindow);
    device_.window.busy_ns = static_cast<std::uint32_t>(new_ns);
    device_.window_end_ns = (number + 1) * kWindow;
  }

  tg_block_device device_{};
};

std::uint64_t at(std::uint64_t windows, std::uint64_t ns = 0) {
  return (kFirst + windows) * kWindow + ns;
}

TEST(FoldWindows, NothingAtFirst) {
  Device device;
  DiskWindows out;
  fold_windows(device.raw(), at(3), true, out);
  EXPECT_FALSE(out.started());
  device.event(at(3, 5), 1);
  fold_windows(device.raw(), at(3, 6), true, out);
  fold_windows(device.raw(), at(4), true, out);
  EXPECT_LE(out.next(), kFirst + 3) << "not until an event that is late has had its time";
}

TEST(FoldWindows, ARequestOverAnEdge) {
  Device device;
  DiskWindows out;
  device.event(at(0, kWindow - 100), 1);
  device.event(at(1, 40), 0, 1);
  fold_windows(device.raw(), at(10), true, out);
  EXPECT_EQ(out.busy_ns(), 140U);
  EXPECT_EQ(out.next(), kFirst + 8);
  EXPECT_EQ(out.peak().most_requests, 1U);
  fold_windows(device.raw(), at(20), true, out);
  EXPECT_EQ(out.next(), kFirst + 18) << "idle ones have no event";
  EXPECT_EQ(out.busy_ns(), 140U);
}

TEST(FoldWindows, ARequestOverManyWindows) {
  Device device;
  DiskWindows out;
  device.event(at(1, kWindow / 2), 1);
  device.event(at(7, 10), 0, 1);
  device.event(at(9), 1);
  device.event(at(9, 10), 0, 1);
  fold_windows(device.raw(), at(21), true, out);
  EXPECT_EQ(out.peak().busy_ns, DiskWindows::kPairNs);
  out.idle_until(kFirst + 22);
  // The first window has no neighbour before it that is known.
  EXPECT_EQ(out.busy_ns(), 5 * kWindow + 10 + 10);
}

TEST(FoldWindows, WhileADeviceHangsItIsBusy) {
  Device device;
  DiskWindows out;
  device.event(at(0), 1);
  device.event(at(0, 10), 0, 1);
  device.event(at(2, kWindow / 2), 1);
  for (std::uint64_t now = 3; now < 400; now += 20) {
    fold_windows(device.raw(), at(now), true, out);
    EXPECT_EQ(out.next(), kFirst + now - 2);
  }
  const std::uint64_t before = out.busy_ns();
  EXPECT_GT(before, 370 * kWindow);
  device.event(at(400), 0, 1);
  fold_windows(device.raw(), at(410), true, out);
  EXPECT_EQ(out.busy_ns(), 10 + kWindow / 2 + 397 * kWindow) << "and nothing twice";
  EXPECT_EQ(out.lost(), 0U);
}

// A look may come late as long as nothing happened that took the places of others.
TEST(FoldWindows, LateLooks) {
  Device device;
  DiskWindows out;
  device.event(at(0), 1);
  device.event(at(0, 10), 0, 1);
  fold_windows(device.raw(), at(5), true, out);
  fold_windows(device.raw(), at(5'000), true, out);
  EXPECT_EQ(out.lost(), 0U) << "idle meanwhile";
  for (std::uint64_t i = 5'000; i < 5'100; ++i) {
    device.event(at(i), 1);
    device.event(at(i, 10), 0, 1);
  }
  fold_windows(device.raw(), at(5'103), true, out);
  EXPECT_EQ(out.lost(), 0U);
  EXPECT_EQ(out.next(), kFirst + 5'101);
  for (std::uint64_t i = 5'200; i < 5'600; ++i) {
    device.event(at(i), 1);
    device.event(at(i, 10), 0, 1);
  }
  fold_windows(device.raw(), at(5'603), true, out);
  EXPECT_EQ(out.lost(), 5'600U - 128 - 5'101) << "of these it cannot be told";
  EXPECT_EQ(out.next(), kFirst + 5'601);
}

TEST(FoldWindows, ClocksThatDiffer) {
  Device device;
  DiskWindows out;
  device.event(at(0), 1);
  device.event(at(0, 10), 0, 1);
  device.event(at(8), 1);  // later than the look's time
  fold_windows(device.raw(), at(7, 5), true, out);
  EXPECT_EQ(out.next(), kFirst + 5) << "idle before, busy since: not before";
  EXPECT_EQ(out.busy_ns(), 10U);
  fold_windows(device.raw(), at(3), true, out);  // goes back
  EXPECT_EQ(out.next(), kFirst + 5);
}

TEST(FoldWindows, TornCopiesAreBounded) {
  std::mt19937_64 random(1);  // NOLINT(cert-msc51-cpp): the same each time
  for (int turn = 0; turn < 1'000; ++turn) {
    Device device;
    DiskWindows out;
    device.event(at(0), 1);
    fold_windows(device.raw(), at(5), true, out);
    tg_block_device& raw = device.raw();
    for (tg_block_window& window : raw.windows) {
      window.number = random() % 4 == 0 ? random() : kFirst + random() % 300;
      window.busy_before = static_cast<std::uint32_t>(random());
      window.busy_ns = static_cast<std::uint32_t>(random());
      window.user_thousandths = static_cast<std::uint32_t>(random());
    }
    raw.window.number = turn % 2 == 0 ? random() : kFirst + 50;
    raw.users.ns[1] = random();
    raw.users_before.ns[2] = random();
    raw.users_before.number = kFirst + random() % 300;
    raw.in_flight = random() % 2;
    raw.last_ns = random();
    fold_windows(raw, at(100), true, out);
    ASSERT_EQ(out.next(), kFirst + 98);
    ASSERT_LE(out.busy_ns(), 100 * kWindow);
    ASSERT_LE(out.peak().user.thousandths, 1000U);
  }
}

TEST(FoldWindows, UsersOnlyWhereTheyAreKnown) {
  for (const bool is_attributed : {false, true}) {
    Device device;
    DiskWindows out;
    device.event(at(0), 1);
    device.event(at(1), 1, 1);
    device.event(at(3), 0, 1);
    tg_block_window& window = device.raw().windows[(kFirst + 1) % TG_WINDOWS];
    ASSERT_EQ(window.number, kFirst + 1);
    window.owner = 7;
    window.tgid = 42;
    window.user_thousandths = 800;
    fold_windows(device.raw(), at(9), is_attributed, out);
    EXPECT_EQ(out.peak().user.thousandths, is_attributed ? 400U : 0U) << "of two windows";
    EXPECT_EQ(out.peak().user.tgid, is_attributed ? 42U : 0U);
  }
}

// Their users are among the candidates until two more windows have begun.
TEST(FoldWindows, TheLastWindowsOfABurst) {
  Device device;
  DiskWindows out;
  device.event(at(0), 1);
  device.event(at(1, kWindow / 2), 0, 3);
  tg_block_device& raw = device.raw();
  raw.users_before.number = kFirst;
  raw.users_before.who[1] = 7ULL << 32U | 70U;
  raw.users_before.ns[1] = kWindow;
  raw.users.who[0] = 5ULL << 32U | 50U;
  raw.users.ns[0] = 100;
  raw.users.who[2] = 7ULL << 32U | 70U;
  raw.users.ns[2] = kWindow / 4;
  fold_windows(raw, at(9), true, out);
  EXPECT_EQ(out.peak().user.owner, 7U);
  EXPECT_EQ(out.peak().user.tgid, 70U);
  EXPECT_EQ(out.peak().user.thousandths, 833U) << "all of one window, half of half a one";
}

// However events and looks fall, the busy time of windows is that of the device.
TEST(FoldWindows, SumsAgree) {
  std::mt19937_64 random(2);  // NOLINT(cert-msc51-cpp)
  for (int turn = 0; turn < 200; ++turn) {
    Device device;
    DiskWindows out;
    std::uint64_t now_ns = at(0);
    std::uint64_t busy_ns = 0;
    std::uint32_t in_flight = 0;
    std::uint64_t look_ns = now_ns;
    const auto events = [&] { return static_cast<int>(random() % 400); };
    device.event(now_ns, 0);
    for (int i = events(); i > 0; --i) {
      const std::uint64_t step = random() % (random() % 8 == 0 ? 6 * kWindow : kWindow / 3);
      busy_ns += in_flight != 0 ? step : 0;
      now_ns += step;
      const bool ends = in_flight != 0 && random() % 2 == 0;
      in_flight = ends ? in_flight - 1 : in_flight + 1;
      device.event(now_ns, in_flight, ends ? 1 : 0);
      if (now_ns - look_ns > random() % (4 * 20 * kWindow)) {
        look_ns = now_ns;
        fold_windows(device.raw(), now_ns, true, out);
      }
    }
    device.event(now_ns, 0);
    fold_windows(device.raw(), now_ns + 10 * kWindow, true, out);
    out.idle_until((out.next() + 1) / 2 * 2);
    ASSERT_EQ(out.busy_ns(), busy_ns);
    ASSERT_EQ(out.lost(), 0U);
  }
}

}  // namespace
}  // namespace tidegauge
