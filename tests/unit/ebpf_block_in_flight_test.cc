// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/block_in_flight.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace tidegauge {
namespace {

constexpr std::uint32_t kDisk = 254U << 20U;

TEST(BlockBusyTimes, NeverGoBack) {
  BlockBusyTimes times;
  tg_block_device device{};
  device.busy_ns = 100;
  device.last_ns = 1'000;
  EXPECT_EQ(times.shown_ns(kDisk, device, 1'500), 100U) << "idle";
  device.in_flight = 1;
  EXPECT_EQ(times.shown_ns(kDisk, device, 1'500), 600U);
  EXPECT_EQ(times.shown_ns(kDisk, device, 900), 600U) << "an event behind the look at the clock";
  device = {};  // ended at 1490: its clock was read, and then it waited for the lock
  device.busy_ns = 590;
  device.last_ns = 1'490;
  EXPECT_EQ(times.shown_ns(kDisk, device, 2'000), 600U);
  EXPECT_EQ(times.shown_ns(kDisk + 1, device, 2'000), 590U);
  times.forget(kDisk);
  EXPECT_EQ(times.shown_ns(kDisk, device, 2'000), 590U);
}

TEST(StaleRequests, AreThoseTheKernelDoesNotCountAgainAndAgain) {
  constexpr std::uint64_t kMargin = StaleRequests::kMarginNs;
  StaleRequests stale;
  tg_block_device device{};
  device.in_flight = 1;
  EXPECT_EQ(stale.look(kDisk, device, 0, kMargin + 1), std::nullopt);
  EXPECT_EQ(stale.look(kDisk, device, 1, kMargin + 2), std::nullopt) << "it has something";
  EXPECT_EQ(stale.look(kDisk, device, 0, kMargin + 3), std::nullopt);
  EXPECT_EQ(stale.look(kDisk, device, 0, kMargin + 4), 1U);
  EXPECT_EQ(stale.look(kDisk, device, 0, kMargin + 5), 3U);
  device.in_flight = 0;
  EXPECT_EQ(stale.look(kDisk, device, 0, kMargin + 6), std::nullopt);
  device.in_flight = 1;
  EXPECT_EQ(stale.look(kDisk, device, 0, kMargin + 7), std::nullopt) << "from the beginning";
}

TEST(StaleRequests, AreFoundByTheirAge) {
  std::vector<tg_block_issued> issued(6);
  for (std::size_t i = 1; i < issued.size(); ++i) {  // the first place is free
    issued[i].request = i;
    issued[i].issue_ns = 50;
    issued[i].device = kDisk;
    issued[i].operation = TG_BLOCK_WRITE;
  }
  issued[1].issue_ns = 51;
  issued[2].device = kDisk + 1;
  issued[3].operation = TG_BLOCK_FLUSH;  // the kernel does not count it
  issued[4].operation = TG_BLOCK_OTHER;
  std::vector<tg_block_forgotten> found;
  StaleRequests::find(kDisk, issued, 50, found);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].request, 5U);
  EXPECT_EQ(found[0].issue_ns, 50U);
  EXPECT_EQ(found[0].device, kDisk);
}

}  // namespace
}  // namespace tidegauge
