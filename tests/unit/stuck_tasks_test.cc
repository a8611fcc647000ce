// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/stuck_tasks.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace tidegauge {
namespace {

StuckThread thread(std::uint32_t pid, std::uint32_t tid, std::uint64_t switches,
                   std::uint64_t start_ns = 1) {
  return {
      .process = {.pid = pid, .start_ns = start_ns}, .tid = tid, .comm = {}, .switches = switches};
}

// What /proc would say, and how often it was asked.
class Fixture {
 public:
  void update(const std::vector<StuckThread>& threads) {
    now_ns += 1'000;
    tasks.update(threads, now_ns, [this](std::uint32_t, std::uint32_t tid) {
      ++reads;
      return channels[tid];
    });
  }
  // tid to how long it has slept.
  [[nodiscard]] std::map<std::uint32_t, std::int64_t> lasting() const {
    std::map<std::uint32_t, std::int64_t> out;
    for (const StuckTask* task : tasks.lasting()) {
      out[task->thread.tid] = now_ns - task->since_ns;
    }
    return out;
  }

  StuckTasks tasks;
  std::map<std::uint32_t, std::string> channels;
  std::int64_t now_ns = 5'000'000;
  int reads = 0;
};

using Lasting = std::map<std::uint32_t, std::int64_t>;

TEST(StuckTasks, LastsFromTheSecondPassOn) {
  Fixture fixture;
  fixture.channels[10] = "io_schedule";
  fixture.update({thread(10, 10, 5)});
  EXPECT_EQ(fixture.lasting(), Lasting{});
  EXPECT_EQ(fixture.reads, 0) << "most sleeps are over before anybody could care";
  fixture.update({thread(10, 10, 5)});
  EXPECT_EQ(fixture.lasting(), (Lasting{{10, 1'000}}));
  EXPECT_EQ(fixture.tasks.lasting()[0]->wait_channel, "io_schedule");
  fixture.update({thread(10, 10, 5)});
  EXPECT_EQ(fixture.lasting(), (Lasting{{10, 2'000}}));
  EXPECT_EQ(fixture.reads, 1) << "one sleep, one place";
  fixture.update({});
  EXPECT_EQ(fixture.lasting(), Lasting{});
}

TEST(StuckTasks, AnotherSleepIsAnotherSleep) {
  const StuckThread kOthers[] = {thread(10, 10, 6), thread(10, 11, 5), thread(10, 10, 5, 2)};
  for (const StuckThread& other : kOthers) {
    Fixture fixture;
    fixture.update({thread(10, 10, 5)});
    fixture.update({other});
    EXPECT_EQ(fixture.lasting(), Lasting{});
    fixture.update({thread(10, 10, 5)});
    EXPECT_EQ(fixture.lasting(), Lasting{}) << "nor does it come back";
  }
}

TEST(StuckTasks, LongestFirst) {
  Fixture fixture;
  fixture.update({thread(1, 1, 0)});
  fixture.update({thread(2, 2, 0), thread(1, 1, 0)});
  fixture.update({thread(3, 3, 0), thread(2, 2, 0), thread(1, 1, 0)});
  fixture.update({thread(3, 3, 0), thread(2, 2, 0), thread(1, 1, 0)});
  std::vector<std::uint32_t> tids;
  for (const StuckTask* task : fixture.tasks.lasting()) {
    tids.push_back(task->thread.tid);
  }
  EXPECT_EQ(tids, (std::vector<std::uint32_t>{1, 2, 3}));
}

TEST(StuckTasks, WaitChannels) {
  const std::pair<std::string, std::string> kCases[] = {
      {"", "unknown"},
      {"0", "unknown"},
      {"\n", "unknown"},
      {"rpc_wait_bit_killable\n", "rpc_wait_bit_killable"},
      {"bad\xFF", "bad\xEF\xBF\xBD"},
      {std::string(500, 'x'), std::string(64, 'x')},
  };
  for (const auto& [told, expected] : kCases) {
    Fixture fixture;
    fixture.channels[10] = told;
    fixture.update({thread(10, 10, 5)});
    fixture.update({thread(10, 10, 5)});
    ASSERT_EQ(fixture.tasks.lasting().size(), 1U);
    EXPECT_EQ(fixture.tasks.lasting()[0]->wait_channel, expected);
  }
}

TEST(StuckTasks, ACrowdIsAskedInTurn) {
  Fixture fixture;
  std::vector<StuckThread> crowd;
  for (std::uint32_t tid = 1; tid <= 100; ++tid) {
    crowd.push_back(thread(tid, tid, 0));
    fixture.channels[tid] = "nfs_wait";
  }
  fixture.update(crowd);
  int before = 0;
  for (int pass = 0; pass < 4; ++pass) {
    fixture.update(crowd);
    EXPECT_LE(fixture.reads - before, 32);
    before = fixture.reads;
    for (const StuckTask* task : fixture.tasks.lasting()) {
      EXPECT_EQ(task->wait_channel, task->asked ? "nfs_wait" : "unknown");
    }
  }
  EXPECT_EQ(fixture.reads, 100);
  EXPECT_EQ(fixture.lasting().size(), 100U);
}

TEST(StuckTasks, Bounded) {
  Fixture fixture;
  std::vector<StuckThread> crowd;
  for (std::uint32_t tid = 1; tid <= 10 * kMaxStuckThreads; ++tid) {
    crowd.push_back(thread(tid, tid, 0));
  }
  fixture.update(crowd);
  fixture.update(crowd);
  EXPECT_EQ(fixture.lasting().size(), kMaxStuckThreads);
  // The next incident finds room.
  fixture.update({});
  fixture.update({thread(9'999, 9'999, 0)});
  fixture.update({thread(9'999, 9'999, 0)});
  EXPECT_EQ(fixture.lasting().size(), 1U);
}

}  // namespace
}  // namespace tidegauge
