// SPDX-License-Identifier: Apache-2.0

// What the heuristics hold does not grow with time: verdicts that come, stay and go leave nothing behind.

#include <gtest/gtest.h>
#include <malloc.h>

#include "daemon/heuristics/assess.h"
#include "tests/unit/large_host.h"

namespace tidegauge::heuristics {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCountsBytes = false;  // its allocator does not tell
#else
constexpr bool kCountsBytes = true;
#endif

struct Held {
  std::size_t tracks = 0;
  std::size_t subjects = 0;
  std::size_t saved_bytes = 0;
  std::size_t bytes = 0;
};

Held held(const Heuristics& heuristics) {
  Held out;
  out.tracks = heuristics.scene().tracks();
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    out.subjects += heuristics.scene().subjects(static_cast<Kind>(kind)).size();
  }
  out.saved_bytes = heuristics.save().size();
  out.bytes = ::mallinfo2().uordblks;
  return out;
}

TEST(HeuristicsGrowth, StateStaysAsItIs) {
  tidegauge::testing::LargeHost host({.disks = 2, .groups = 4, .cpus = 2, .nodes = 1});
  Heuristics heuristics;
  // Until every series is as long as it becomes.
  for (std::size_t i = 0; i < TimeAxis::kTicks + 100; ++i) {
    heuristics.update(host.tick());
  }
  EXPECT_GE(heuristics.report()->active.size(), 3U);
  const Held before = held(heuristics);
  constexpr int kTicks = 1200;
  for (int i = 0; i < kTicks; ++i) {
    heuristics.update(host.tick());
  }
  const Held after = held(heuristics);
  EXPECT_EQ(after.tracks, before.tracks);
  EXPECT_EQ(after.subjects, before.subjects);
  EXPECT_LT(after.saved_bytes, before.saved_bytes + 16 * 1024) << "what verdicts say varies";
  if (kCountsBytes) {
    // A mean a minute of what is kept for two days, in blocks.
    const std::size_t minutes = (kTicks / 60 + 1) * sizeof(std::pair<std::int32_t, float>);
    EXPECT_LT(after.bytes, before.bytes + (minutes + 512) * kSignals * 4 + 64 * 1024);
  }
}

}  // namespace
}  // namespace tidegauge::heuristics
