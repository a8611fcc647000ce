// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/wait_channels.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>

#include "tests/unit/silent_processes.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::FixtureTree;

constexpr std::uint32_t kSilent = 7;

// 7's wchan does not answer.
struct Fixture {
  FixtureTree tree;
  testing::SilentProcesses silent;
  std::shared_ptr<std::atomic<int>> asked = std::make_shared<std::atomic<int>>(0);
  WaitChannels channels{tree.files(),
                        [hooks = silent.hooks(), asked = asked](
                            const std::string& path, std::size_t) -> Result<std::string> {
                          if (path.find("/7/") != std::string::npos && path.ends_with("wchan")) {
                            ++*asked;
                            hooks.before_read(kSilent);
                          }
                          ReadBuffer buffer;
                          const auto text = read_file(path, buffer);
                          return text ? Result<std::string>(std::string(*text))
                                      : tl::make_unexpected(text.error());
                        }};

  std::string pass(std::uint32_t pid) {
    channels.begin_pass();
    return channels.read(pid, pid);
  }
};

TEST(WaitChannels, Answers) {
  Fixture fixture;
  fixture.tree.write("proc/8/task/8/wchan", "io_schedule");
  EXPECT_EQ(fixture.pass(8), "io_schedule");
  EXPECT_EQ(fixture.pass(9), "");
}

TEST(WaitChannels, WhoDoesNotAnswerIsLetBe) {
  Fixture fixture;
  fixture.tree.write("proc/7/task/7/wchan", "late");
  fixture.tree.write("proc/8/task/8/wchan", "io_schedule");
  fixture.silent.silence(kSilent);
  EXPECT_EQ(fixture.pass(kSilent), "");
  EXPECT_EQ(fixture.channels.read(8, 8), "io_schedule");
  fixture.silent.answer(kSilent);
  for (std::uint64_t i = 1; i < WaitChannels::kSilentPasses; ++i) {
    EXPECT_EQ(fixture.pass(kSilent), "") << i;
  }
  EXPECT_EQ(*fixture.asked, 1);
  EXPECT_EQ(fixture.pass(kSilent), "late");
}

TEST(WaitChannels, InTheMiddleOfAnExecItIsNotAsked) {
  Fixture fixture;
  fixture.tree.write("proc/7/statm", "1 1 0 0 0 1 0\n");
  fixture.tree.write("proc/7/task/7/wchan", "x");
  EXPECT_EQ(fixture.pass(kSilent), "");
  EXPECT_EQ(*fixture.asked, 0);
}

}  // namespace
}  // namespace tidegauge
