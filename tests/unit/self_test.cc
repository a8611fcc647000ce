// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/self.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::flatten;
using testing::make;
using testing::run;

TEST(Self, AllFamiliesAndPlausible) {
  const testing::FixtureTree empty;  // the injected roots do not matter: it is about this process
  const auto section = testing::run_once(kSelfCollector, empty.files());
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = flatten(*section);
  EXPECT_EQ(series.size(), 7U);
  EXPECT_GT(series.at("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(series.at("process_virtual_memory_bytes"), series.at("process_resident_memory_bytes"));
  EXPECT_GE(series.at("process_open_fds"), 1);
  timespec now{};
  ASSERT_EQ(::clock_gettime(CLOCK_REALTIME, &now), 0);
  // btime moves with the wall clock and is told in whole seconds.
  EXPECT_LT(series.at("process_start_time_seconds"), static_cast<double>(now.tv_sec) + 2);
  EXPECT_GT(series.at("process_start_time_seconds"), static_cast<double>(now.tv_sec) - 3600);
}

TEST(Self, CountsDescriptors) {
  const auto collector = make(kSelfCollector, KernelFiles());
  ASSERT_TRUE(collector);
  ASSERT_TRUE(run(**collector));  // opens what it keeps open
  const auto count = [&] { return flatten(*run(**collector)).at("process_open_fds"); };
  const double before = count();
  const int extra = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(extra, 0);
  EXPECT_EQ(count(), before + 1);
  ::close(extra);
  EXPECT_EQ(count(), before) << "and leaks none";
}

TEST(Self, FollowsItsLimits) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit lower = before;
  lower.rlim_cur = 321;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &lower), 0);
  const auto section = testing::run_once(kSelfCollector, KernelFiles());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(section);
  EXPECT_EQ(flatten(*section).at("process_max_fds"), 321);
  rlimit space{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &space), 0);
  EXPECT_EQ(flatten(*section).at("process_virtual_memory_max_bytes"),
            static_cast<double>(space.rlim_cur));
}

TEST(Self, CpuTimeGrows) {
  const auto collector = make(kSelfCollector, KernelFiles());
  ASSERT_TRUE(collector);
  const auto cpu = [&] { return flatten(*run(**collector)).at("process_cpu_seconds_total"); };
  const double before = cpu();
  // Busy until the process's own clock has moved by two ticks.
  const auto used = [] {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
  };
  for (const double end = used() + 0.03; used() < end;) {
  }
  EXPECT_GE(cpu(), before + 0.01);
}

}  // namespace
}  // namespace tidegauge
