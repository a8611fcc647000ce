// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/disk_windows.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tidegauge {
namespace {

constexpr std::uint64_t kWindow = DiskWindow::kNs;
constexpr std::uint64_t kFirst = 20'000;  // even

DiskWindow window(std::uint64_t number, std::uint64_t busy_ns, std::uint64_t requests = 0,
                  WindowUser user = {}) {
  return {.number = number, .busy_ns = busy_ns, .requests = requests, .user = user};
}

DiskWindows started(std::uint64_t number = kFirst) {
  DiskWindows out;
  out.start(number);
  return out;
}

std::uint64_t count(const DiskWindows& windows) { return windows.buckets().back(); }

WindowUserName name_of(const WindowUser& user) {
  return {.group = "g" + std::to_string(user.owner),
          .pid = std::to_string(user.tgid),
          .comm = "c",
          .reason = {}};
}

TEST(DiskWindows, PairsFallIntoBuckets) {
  DiskWindows windows = started();
  const std::uint64_t tenths[] = {0, 1, 2, 3, 5, 6, 9, 10};  // of a pair
  std::uint64_t number = kFirst;
  for (const std::uint64_t share : tenths) {
    windows.add(window(number++, share * kWindow / 10));
    windows.add(window(number++, share * kWindow / 10));
  }
  using Buckets = std::array<std::uint64_t, DiskWindows::kBuckets.size()>;
  EXPECT_EQ(windows.buckets(), (Buckets{2, 3, 5, 6, 7, 8})) << "the bounds belong to them";
  EXPECT_EQ(windows.busy_ns(), 36 * kWindow / 5);
}

TEST(DiskWindows, LeftOutWindowsWereIdle) {
  DiskWindows windows = started();
  windows.add(window(kFirst + 100, kWindow));
  EXPECT_EQ(windows.next(), kFirst + 101);
  EXPECT_EQ(count(windows), 50U);
  windows.idle_until(kFirst + 200);
  EXPECT_EQ(count(windows), 100U);
  EXPECT_EQ(windows.busy_ns(), kWindow);
  windows.add(window(kFirst + 100, kWindow));  // done already
  windows.idle_until(kFirst);
  windows.busy_until(kFirst);
  windows.lose_until(kFirst);
  EXPECT_EQ(count(windows), 100U);
  EXPECT_EQ(windows.lost(), 0U);
}

// 150 ms fill two windows of 50 ms wherever they begin.
TEST(DiskWindows, ABurstOverTheEdgesOfWindows) {
  constexpr std::uint64_t kMs = 1'000'000;
  for (std::uint64_t phase = 0; phase < kWindow; phase += kMs) {
    DiskWindows windows = started();
    windows.idle_until(kFirst + 31);
    windows.add(window(kFirst + 31, kWindow - phase, 50 - phase / kMs));
    windows.add(window(kFirst + 32, kWindow, 50));
    windows.add(window(kFirst + 33, kWindow, 50));
    windows.add(window(kFirst + 34, phase, phase / kMs));
    windows.idle_until(kFirst + 80);
    const DiskWindows::Peak peak = windows.peak();
    EXPECT_EQ(peak.busy_ns, DiskWindows::kPairNs) << phase;
    EXPECT_EQ(peak.most_requests, 100U) << phase;
    EXPECT_EQ(windows.bursts(), 1U) << phase;
    EXPECT_EQ(windows.busy_ns(), 3 * kWindow);
  }
}

TEST(DiskWindows, WhatIsABurst) {
  const auto bursts = [](const std::vector<std::uint64_t>& busy, std::uint64_t else_ns) {
    DiskWindows windows = started();
    std::uint64_t number = kFirst;
    const auto others = [&] {
      for (int i = 0; i < 40; ++i) {
        windows.add(window(number++, else_ns));
      }
    };
    others();
    for (const std::uint64_t busy_ns : busy) {
      windows.add(window(number++, busy_ns));
    }
    others();
    return windows.bursts();
  };
  constexpr std::uint64_t k90 = kWindow / 10 * 9;
  EXPECT_EQ(bursts({k90, k90}, 0), 1U);
  EXPECT_EQ(bursts({k90, k90 - 1}, 0), 0U) << "less than 90 %";
  EXPECT_EQ(bursts({kWindow}, 0), 0U) << "only 50 ms";
  EXPECT_EQ(bursts(std::vector(6, kWindow), 0), 1U) << "300 ms are one";
  EXPECT_EQ(bursts(std::vector(9, kWindow), 0), 1U);
  EXPECT_EQ(bursts(std::vector(10, kWindow), 0), 0U) << "half a second is none";
  EXPECT_EQ(bursts(std::vector(60, kWindow), 0), 0U) << "nor are a beginning and an end";
  EXPECT_EQ(bursts({kWindow, kWindow, 0, 0, 0, kWindow, kWindow}, 0), 2U);
  EXPECT_EQ(bursts({kWindow, kWindow}, kWindow / 2), 0U) << "the second around is busy, too";
  EXPECT_EQ(bursts({kWindow, kWindow}, kWindow / 3), 1U);
  EXPECT_EQ(bursts({kWindow, kWindow}, kWindow), 0U) << "steady";
}

TEST(DiskWindows, AtTheStartNothingIsKnownOfTheSecondAround) {
  DiskWindows windows = started();
  windows.busy_until(kFirst + 3);
  windows.idle_until(kFirst + 60);
  EXPECT_EQ(windows.bursts(), 0U);
  EXPECT_EQ(windows.peak().busy_ns, DiskWindows::kPairNs);
}

TEST(DiskWindows, APeakStaysForAMinute) {
  DiskWindows windows = started();
  windows.add(window(kFirst, kWindow, 7));
  windows.add(window(kFirst + 1, kWindow, 8));
  windows.idle_until(kFirst + 60 * 20);
  EXPECT_EQ(windows.peak().busy_ns, DiskWindows::kPairNs);
  EXPECT_EQ(windows.peak().most_requests, 15U);
  windows.add(window(kFirst + 60 * 20, kWindow / 2));
  EXPECT_EQ(windows.peak().busy_ns, DiskWindows::kPairNs);
  windows.idle_until(kFirst + 66 * 20);
  EXPECT_EQ(windows.peak().busy_ns, kWindow / 2) << "the next highest";
  EXPECT_EQ(windows.peak().most_requests, 0U);
  windows.idle_until(kFirst + 140 * 20);
  EXPECT_EQ(windows.peak().number, 0U);
}

TEST(DiskWindows, PeaksAreNamedAndDated) {
  DiskWindows windows = started();
  const WindowUser low{.owner = 1, .tgid = 11, .thousandths = 500};
  const WindowUser high{.owner = 2, .tgid = 22, .thousandths = 900};
  windows.add(window(kFirst, kWindow / 2, 1, low));
  windows.add(window(kFirst + 1, kWindow, 2, high));
  windows.add(window(kFirst + 2, 0, 0));
  windows.settle(5'000'000'000, name_of);
  const DiskWindows::Peak peak = windows.peak();
  EXPECT_EQ(peak.number, kFirst + 1);
  EXPECT_EQ(peak.name.pid, "22") << "of the busier window";
  EXPECT_EQ(peak.user.thousandths, 600U);
  EXPECT_EQ(peak.realtime_ms, 5'000 + static_cast<std::int64_t>(kFirst) * 50);
  // A clock that is set changes nothing of what was.
  windows.settle(9'000'000'000, name_of);
  EXPECT_EQ(windows.peak().realtime_ms, peak.realtime_ms);
}

TEST(DiskWindows, TheLastBurstTellsWho) {
  DiskWindows windows = started();
  const auto burst = [&](std::uint64_t number, std::uint64_t busy_ns, std::uint32_t who) {
    const WindowUser user{.owner = who, .tgid = who, .thousandths = 900};
    windows.add(window(number, busy_ns, 10 - who, user));
    windows.add(window(number + 1, busy_ns, 10 - who, user));
    windows.idle_until(number + 20);
    windows.settle(0, name_of);
    return windows.peak();
  };
  EXPECT_EQ(burst(kFirst, kWindow / 2, 1).user.owner, 1U);
  EXPECT_EQ(burst(kFirst + 20, kWindow, 2).user.owner, 2U);
  const DiskWindows::Peak third = burst(kFirst + 40, kWindow / 10 * 9, 3);  // in the same slot
  EXPECT_EQ(third.user.owner, 3U);
  EXPECT_EQ(third.name.pid, "3");
  EXPECT_EQ(third.most_busy_ns, DiskWindows::kPairNs) << "the highest stays";
  EXPECT_EQ(third.most_requests, 18U);
  EXPECT_EQ(burst(kFirst + 200, kWindow, 4).user.owner, 4U) << "in another slot";
  EXPECT_EQ(burst(kFirst + 300, kWindow / 10 * 8, 5).user.owner, 4U) << "no burst";
}

TEST(DiskWindows, TheUserOfAPair) {
  const auto user_of = [](const DiskWindow& a, const DiskWindow& b) {
    DiskWindows windows = started();
    windows.add(a);
    windows.add(b);
    return windows.peak().user;
  };
  const WindowUser one{.owner = 1, .tgid = 10, .thousandths = 800};
  const WindowUser other{.owner = 2, .tgid = 20, .thousandths = 600};
  WindowUser user = user_of(window(kFirst, kWindow, 1, one), window(kFirst + 1, kWindow, 1, one));
  EXPECT_EQ(user.thousandths, 800U);
  user = user_of(window(kFirst, kWindow / 2, 1, one), window(kFirst + 1, kWindow, 1, other));
  EXPECT_EQ(user.owner, 2U) << "0.4 of a window against 0.6";
  EXPECT_EQ(user.thousandths, 400U) << "of the busy time of both";
  user = user_of(window(kFirst, kWindow, 1), window(kFirst + 1, kWindow, 1, one));
  EXPECT_EQ(user.owner, 1U);
  EXPECT_EQ(user.thousandths, 400U);
  EXPECT_EQ(user_of(window(kFirst, kWindow), window(kFirst + 1, kWindow)).thousandths, 0U);
}

TEST(DiskWindows, OfEqualPairsTheOneThatIsKnownBest) {
  DiskWindows windows = started();
  const WindowUser user{.owner = 3, .tgid = 33, .thousandths = 1000};
  windows.busy_until(kFirst + 4);  // one long request; told of its last two windows
  windows.add(window(kFirst + 4, kWindow, 0, user));
  windows.add(window(kFirst + 5, kWindow / 2, 1, user));
  windows.settle(0, name_of);
  EXPECT_EQ(windows.peak().busy_ns, DiskWindows::kPairNs);
  EXPECT_EQ(windows.peak().number, kFirst + 4);
  EXPECT_EQ(windows.peak().name, name_of(user));
  EXPECT_EQ(windows.peak().user.thousandths, 500U);
}

TEST(DiskWindows, ThePeakSinceTheLastLook) {
  DiskWindows windows = started();
  windows.add(window(kFirst, kWindow, 3));
  EXPECT_EQ(windows.take_pass_peak().busy_ns, 0U) << "half a pair";
  windows.add(window(kFirst + 1, kWindow, 4));
  windows.idle_until(kFirst + 20);
  EXPECT_EQ(windows.take_pass_peak().busy_ns, DiskWindows::kPairNs);
  EXPECT_EQ(windows.take_pass_peak().requests, 7U) << "no window has ended since";
  windows.idle_until(kFirst + 21);
  EXPECT_EQ(windows.take_pass_peak().busy_ns, 0U);
}

TEST(DiskWindows, ALossIsAGap) {
  DiskWindows windows = started();
  windows.idle_until(kFirst + 41);
  windows.lose_until(kFirst + 51);
  EXPECT_EQ(windows.lost(), 10U);
  EXPECT_EQ(count(windows), 20U);
  windows.add(window(kFirst + 51, kWindow, 1));
  EXPECT_EQ(windows.peak().busy_ns, 0U) << "its neighbour is not known";
  windows.add(window(kFirst + 52, kWindow, 1));
  EXPECT_EQ(count(windows), 20U);
  EXPECT_EQ(windows.peak().busy_ns, DiskWindows::kPairNs);
  windows.idle_until(kFirst + 100);
  EXPECT_EQ(windows.bursts(), 0U);
}

TEST(DiskWindows, NumbersFromNowhereAreBounded) {
  DiskWindows windows = started();
  windows.add(window(kFirst, ~0ULL, 1, {.owner = 1, .tgid = 1, .thousandths = ~0U}));
  windows.add(window(kFirst + 1, ~0ULL, 1));
  EXPECT_EQ(windows.busy_ns(), DiskWindows::kPairNs);
  EXPECT_EQ(windows.peak().user.thousandths, 500U);
}

// A year of one state is as quick as a minute, and counts the same as window by window.
TEST(DiskWindows, LongRuns) {
  constexpr std::uint64_t kYear = 20ULL * 86'400 * 365;
  for (const std::uint64_t odd : {0U, 1U}) {
    DiskWindows windows = started(kFirst + odd);
    windows.idle_until(kFirst + kYear);
    windows.busy_until(kFirst + 2 * kYear);
    EXPECT_EQ(windows.next(), kFirst + 2 * kYear);
    EXPECT_EQ(count(windows), kYear - odd);
    EXPECT_EQ(windows.buckets()[0], kYear / 2 - odd);
    EXPECT_EQ(windows.busy_ns(), kYear * kWindow);
    EXPECT_EQ(windows.peak().busy_ns, DiskWindows::kPairNs);
    EXPECT_EQ(windows.bursts(), 0U);
    windows.idle_until(kFirst + 3 * kYear);
    EXPECT_EQ(windows.peak().busy_ns, 0U);
    EXPECT_EQ(count(windows), kYear + kYear / 2 - odd);
  }
}

}  // namespace
}  // namespace tidegauge
