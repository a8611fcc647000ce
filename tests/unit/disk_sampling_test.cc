// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/disk_sampling.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "collectors/block/disk_sampler.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kBegin = 1'000'000 * DiskWindow::kNs;

std::string line(std::uint64_t minor, const std::string& name, std::uint64_t requests,
                 std::uint64_t io_ms) {
  return " 254 " + std::to_string(minor) + " " + name + " " + std::to_string(requests) +
         " 0 0 0 0 0 0 0 0 " + std::to_string(io_ms) + " 0\n";
}

struct Sampling {
  DiskBursts bursts;
  DiskSampling sampling{bursts, [](std::string_view name) { return name != "vda1"; }};

  void take(std::uint64_t ms, const std::string& text) {
    ASSERT_TRUE(sampling.take(text, kBegin + ms * kMs));
  }
  DiskWindows& disk(std::uint32_t minor = 0) {
    return *bursts.find_or_add(254U << 20U | minor, minor == 0 ? "vda" : "vdb");
  }
};

TEST(DiskSampling, ABurst) {
  Sampling s;
  std::uint64_t requests = 5;
  std::uint64_t io_ms = 1000;
  for (std::uint64_t ms = 0; ms <= 4000; ms += 50) {
    if (ms > 2000 && ms <= 2150) {
      requests += 40;
      io_ms += 50;
    }
    s.take(ms, line(0, "vda", requests, io_ms) + line(1, "vda1", requests, io_ms));
  }
  EXPECT_EQ(s.disk().peak().busy_ns, DiskWindows::kPairNs);
  EXPECT_EQ(s.disk().peak().most_requests, 80U);
  EXPECT_EQ(s.disk().peak().user.thousandths, 0U);
  EXPECT_EQ(s.disk().lost(), 0U);
  EXPECT_EQ(s.sampling.busy_ns(), kBegin + 2150 * kMs);
  Section out;
  s.bursts.fill(0, {}, out);
  for (const auto& [name, value] : testing::flatten(out)) {
    EXPECT_EQ(name.find("vda1"), std::string::npos) << name;
  }
}

TEST(DiskSampling, DisksThatDoNothingAreNotShown) {
  Sampling s;
  for (std::uint64_t ms = 0; ms < 1000; ms += 50) {
    s.take(ms, line(0, "vda", 7, 7));
  }
  Section out;
  s.bursts.fill(0, {}, out);
  EXPECT_TRUE(out.tables.empty());
  EXPECT_EQ(s.sampling.busy_ns(), 0U);
}

TEST(DiskSampling, LooksBesideTheEdges) {
  Sampling s;
  // Each look a little late, the disk busy all the time.
  for (std::uint64_t i = 0; i < 100; ++i) {
    const std::uint64_t ms = i * 50 + i % 7;
    s.take(ms, line(0, "vda", ms, 9'000 + ms));
  }
  const auto windows = s.disk().buckets().back();
  EXPECT_GE(windows, 48U);
  EXPECT_NEAR(static_cast<double>(s.disk().busy_ns()),
              static_cast<double>(windows * DiskWindows::kPairNs), 1000.0);
}

TEST(DiskSampling, TheCounterOfMillisecondsWraps) {
  Sampling s;
  constexpr std::uint64_t kLast = 0xFFFF'FFFFU;
  s.take(0, line(0, "vda", 1, kLast - 60));
  s.take(50, line(0, "vda", 2, kLast - 10));
  s.take(100, line(0, "vda", 3, 39));
  s.take(150, line(0, "vda", 4, 89));
  s.take(200, line(0, "vda", 4, 89));
  EXPECT_EQ(s.disk().peak().busy_ns, DiskWindows::kPairNs);
  // Sums of CPUs that step back are nothing.
  s.take(250, line(0, "vda", 3, 88));
  s.take(300, line(0, "vda", 3, 88));
  EXPECT_EQ(s.disk().peak().busy_ns, DiskWindows::kPairNs);
  EXPECT_LE(s.disk().peak().most_requests, 2U);
}

TEST(DiskSampling, GapsOfTheClock) {
  Sampling s;
  s.take(0, line(0, "vda", 1, 10));
  s.take(50, line(0, "vda", 2, 20));
  s.take(100, line(0, "vda", 2, 20));
  // Nothing for a minute, all the time for a minute: it is known when. Half of it: it is not.
  s.take(60'100, line(0, "vda", 2, 20));
  EXPECT_EQ(s.disk().lost(), 0U);
  s.take(120'100, line(0, "vda", 9, 60'020));
  EXPECT_EQ(s.disk().lost(), 0U);
  EXPECT_EQ(s.disk().peak().busy_ns, DiskWindows::kPairNs);
  s.take(180'100, line(0, "vda", 9, 90'020));
  EXPECT_NEAR(static_cast<double>(s.disk().lost()), 60.0 * 20, 2);
  // The same time again, and one before it.
  s.take(180'100, line(0, "vda", 10, 90'030));
  s.take(100, line(0, "vda", 11, 90'040));
  const auto count = s.disk().buckets().back();
  for (std::uint64_t ms = 180'150; ms < 181'000; ms += 50) {
    s.take(ms, line(0, "vda", 11, 90'040));
  }
  EXPECT_GT(s.disk().buckets().back(), count);
}

TEST(DiskSampling, DisksComeAndGo) {
  Sampling s;
  s.take(0, line(0, "vda", 1, 0));
  s.take(50, line(0, "vda", 2, 50) + line(1, "vdb", 0, 0));
  s.take(100, line(0, "vda", 2, 50) + line(1, "vdb", 5, 10));
  EXPECT_TRUE(s.disk(1).started());
  s.take(150, line(1, "vdb", 5, 10));
  EXPECT_FALSE(s.disk().started()) << "another one would begin anew";
  s.take(200, line(1, "vdc", 500, 1000));
  s.take(250, line(1, "vdc", 500, 1000));
  Section out;
  s.bursts.fill(0, {}, out);
  EXPECT_TRUE(out.tables.empty()) << "vdc has done nothing yet";
  EXPECT_FALSE(s.sampling.take(" 254 0 vda x\n", kBegin + 300 * kMs));
}

TEST(DiskSampling, ManyDisks) {
  Sampling s;
  for (std::uint64_t look = 0; look < 3; ++look) {
    std::string text;
    for (std::uint64_t i = 0; i < DiskBursts::kMaxDisks + 44; ++i) {
      text += line(i, "d" + std::to_string(i), look, look);
    }
    s.take(look * 50, text);
  }
  Section out;
  s.bursts.fill(0, {}, out);
  const auto series = testing::flatten(out);
  EXPECT_EQ(series.at(R"(tidegauge_block_windows_lost_total{device="other"})"), 44 * 2);
  EXPECT_EQ(series.at(R"(tidegauge_block_windows_lost_total{device="d0"})"), 0);
  EXPECT_EQ(series.count(R"(tidegauge_block_bursts_total{device="d299"})"), 0U);
}

TEST(DiskSampler, LooksOftenWhileThatIsCheap) {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  EXPECT_EQ(DiskSampler::period_ns(0, 20'000), DiskWindow::kNs);
  EXPECT_EQ(DiskSampler::period_ns(59 * kSecond, 250'000), DiskWindow::kNs);
  EXPECT_EQ(DiskSampler::period_ns(60 * kSecond, 20'000), kSecond) << "disks rest";
  EXPECT_EQ(DiskSampler::period_ns(0, 1'000'000), 4 * DiskWindow::kNs);
  EXPECT_EQ(DiskSampler::period_ns(0, 100 * kSecond), 10 * kSecond);
}

// The thread itself: it sees what the file says, and ends.
TEST(DiskSampler, ReadsTheFile) {
  const testing::FixtureTree tree;
  tree.write("sys/block/vda/size", "1\n");
  tree.write("sys/block/dm-0/slaves/vda/size", "1\n");
  // At once, as the kernel gives it.
  const auto put = [&](std::uint64_t requests) {
    tree.write("proc/next", line(0, "vda", requests, 1) + line(1, "dm-0", requests, 1));
    std::filesystem::rename(tree.files().proc("next"), tree.files().proc("diskstats"));
  };
  put(1);
  DiskBursts bursts;
  DiskSampler sampler(tree.files(), bursts);
  std::uint64_t requests = 1;
  std::string seen;
  while (seen.find("tidegauge_block_bursts_total") == std::string::npos) {
    put(++requests);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    Section out;
    static_cast<void>(sampler.with([&] { bursts.fill(0, {}, out); }));
    for (const auto& [name, value] : testing::flatten(out)) {
      seen += name;
    }
  }
  EXPECT_NE(seen.find("\"vda\""), std::string::npos);
  EXPECT_EQ(seen.find("dm-0"), std::string::npos);
  EXPECT_GE(sampler.take_cpu_ns(), 0);
}

}  // namespace
}  // namespace tidegauge
