// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/culprit_watch.h"

#include <gtest/gtest.h>

#include <memory>

#include "collectors/procfs/pressure.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

// A snapshot whose pressure files say that some task waited so many microseconds.
class Host {
 public:
  Snapshot at(std::int64_t second, std::uint64_t io_us, std::uint64_t memory_us) {
    const auto text = [](std::uint64_t us) {
      const std::string rest = " avg10=0.00 avg60=0.00 avg300=0.00 total=" + std::to_string(us);
      return "some" + rest + "\nfull" + rest + "\n";
    };
    tree_.write("proc/pressure/io", text(io_us));
    tree_.write("proc/pressure/memory", text(memory_us));
    tree_.write("proc/pressure/cpu", text(0));
    auto section = testing::run_once(kPressureCollector, tree_.files());
    EXPECT_TRUE(section.has_value()) << testing::error_text(section);
    section->read_start_boottime_ns = second * 1'000'000'000;
    Snapshot snapshot;
    snapshot.entries.push_back(
        {"pressure", std::make_shared<const Section>(std::move(*section)), {}});
    return snapshot;
  }

 private:
  testing::FixtureTree tree_;
};

TEST(CulpritWatch, AsksWhenTasksWait) {
  Host host;
  CulpritWatch watch;
  EXPECT_FALSE(watch.wants_pass(host.at(1, 900'000'000, 0)));  // of before: nothing to compare with
  EXPECT_FALSE(watch.wants_pass(host.at(2, 900'090'000, 0)));
  EXPECT_TRUE(watch.wants_pass(host.at(3, 900'200'000, 0)));
  EXPECT_FALSE(watch.wants_pass(host.at(4, 900'200'000, 99'000)));
  EXPECT_TRUE(watch.wants_pass(host.at(5, 900'200'000, 250'000)));
}

TEST(CulpritWatch, ByTimeThatReallyPassed) {
  Host host;
  CulpritWatch watch;
  EXPECT_FALSE(watch.wants_pass(host.at(10, 0, 0)));
  EXPECT_FALSE(watch.wants_pass(host.at(20, 900'000, 0)));
  EXPECT_FALSE(watch.wants_pass(host.at(20, 5'000'000, 0)));  // the same reading again
  EXPECT_TRUE(watch.wants_pass(host.at(21, 6'000'000, 0)));
}

TEST(CulpritWatch, NothingToSeeIsNoReason) {
  Host host;
  CulpritWatch watch;
  EXPECT_FALSE(watch.wants_pass(host.at(1, 0, 0)));
  EXPECT_FALSE(watch.wants_pass(Snapshot{}));
  EXPECT_FALSE(
      watch.wants_pass(host.at(3, 9'000'000, 0)));  // what was missed is not held against now
}

}  // namespace
}  // namespace tidegauge
