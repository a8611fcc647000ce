// SPDX-License-Identifier: Apache-2.0
// What switches the kernel's counting needs CAP_SYS_ADMIN; tests of it are skipped without.
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <map>
#include <string>

#include "collectors/ebpf/counting_child.h"
#include "collectors/ebpf/counting_windows.h"
#include "collectors/ebpf/program_report.h"
#include "collectors/ebpf/run_time_counting.h"

namespace tidegauge {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(CountingWindows, TheFirstIsNowAndStandsForItself) {
  CountingWindows windows;
  EXPECT_TRUE(windows.is_due(1'000 * kSecond));
  windows.begin(1'000 * kSecond);
  EXPECT_TRUE(windows.is_open());
  EXPECT_FALSE(windows.wants_look(1'001 * kSecond));
  ASSERT_TRUE(windows.wants_look(1'005 * kSecond));
  const auto growth = windows.look(1'005 * kSecond);
  EXPECT_EQ(growth.elapsed_ns, 5 * kSecond);
  EXPECT_DOUBLE_EQ(growth.times, 1);
  windows.end();
  EXPECT_FALSE(windows.wants_look(1'010 * kSecond));
}

TEST(CountingWindows, EveryTwoMinutesInPassesOfFiveSeconds) {
  CountingWindows windows;
  double told_seconds = 0;
  std::int64_t on_seconds = 0;
  int looks = 0;
  // Passes come a little early and a little late in turn.
  for (std::int64_t pass = 0; pass < 24 * 30 + 2; ++pass) {
    const std::int64_t now_ns = 5 * pass * kSecond + (pass % 2 == 0 ? 1 : -1) * kSecond / 10;
    if (windows.wants_look(now_ns)) {
      const auto growth = windows.look(now_ns);
      told_seconds += static_cast<double>(growth.elapsed_ns) / kSecond * growth.times;
      ++looks;
      windows.end();
    } else if (windows.is_due(now_ns)) {
      windows.begin(now_ns);
    }
    on_seconds += windows.is_open() ? 5 : 0;
  }
  EXPECT_EQ(looks, 31);
  EXPECT_EQ(on_seconds, 5 * 31);
  // What grows evenly is told in full.
  EXPECT_NEAR(told_seconds, 5 * (24 * 30 + 1), 0.5);
}

TEST(CountingWindows, ItStaysOpenUntilItIsEnded) {
  CountingWindows windows;
  windows.begin(0);
  static_cast<void>(windows.look(5 * kSecond));
  windows.end();
  EXPECT_FALSE(windows.is_due(119 * kSecond));
  ASSERT_TRUE(windows.is_due(120 * kSecond));
  windows.begin(120 * kSecond);
  const auto first = windows.look(125 * kSecond);
  EXPECT_EQ(first.elapsed_ns, 5 * kSecond);
  EXPECT_DOUBLE_EQ(first.times, 24);
  EXPECT_FALSE(windows.is_due(1'000 * kSecond)) << "it is open";
  const auto second = windows.look(130 * kSecond);
  EXPECT_EQ(second.elapsed_ns, 5 * kSecond);
  EXPECT_DOUBLE_EQ(second.times, 1);
}

TEST(CountingWindows, WhatFailedIsTriedAgainAndStoodFor) {
  CountingWindows windows;
  windows.begin(0);
  static_cast<void>(windows.look(5 * kSecond));
  windows.end();
  windows.begin(120 * kSecond);
  windows.fail(125 * kSecond);
  EXPECT_FALSE(windows.is_open());
  EXPECT_FALSE(windows.is_due(240 * kSecond));
  ASSERT_TRUE(windows.is_due(245 * kSecond));
  windows.begin(245 * kSecond);
  EXPECT_DOUBLE_EQ(windows.look(250 * kSecond).times, 49);
}

TEST(CountingWindows, RarePassesDoNotCountAllTheTime) {
  CountingWindows windows;
  windows.begin(0);
  static_cast<void>(windows.look(60 * kSecond));
  windows.end();
  EXPECT_FALSE(windows.is_due(1'199 * kSecond));
  EXPECT_TRUE(windows.is_due(1'200 * kSecond));
}

TEST(ProgramCosts, WhatGrewTimesOver) {
  const auto program = [](const char* name, std::uint64_t run_ns, std::uint64_t runs) {
    SeenProgram seen;
    seen.object = "files";
    seen.status.name = name;
    seen.run_ns = run_ns;
    seen.runs = runs;
    return seen;
  };
  ProgramCosts costs;
  costs.add({program("old", 1'000, 10)}, {program("old", 1'600, 12), program("new", 30, 3)}, 1);
  EXPECT_EQ(costs.of(program("old", 0, 0)).run_ns, 600U);
  EXPECT_EQ(costs.of(program("old", 0, 0)).runs, 2U);
  EXPECT_EQ(costs.of(program("new", 0, 0)).run_ns, 30U) << "loaded in between";
  costs.add({program("old", 1'600, 12)}, {program("old", 1'700, 13)}, 24);
  EXPECT_EQ(costs.of(program("old", 0, 0)).run_ns, 3'000U);
  EXPECT_EQ(costs.of(program("old", 0, 0)).runs, 26U);
  costs.add({program("old", 1'700, 13)}, {program("old", 5, 1)}, 24);
  EXPECT_EQ(costs.of(program("old", 0, 0)).run_ns, 3'000U) << "loaded anew";
  // One that came within the window ran no more than that, however long ago the window before was.
  costs.add({program("old", 5, 1)}, {program("old", 5, 1), program("late", 100, 4)}, 24);
  EXPECT_EQ(costs.of(program("late", 0, 0)).run_ns, 100U);
  EXPECT_EQ(costs.of(program("late", 0, 0)).runs, 4U);
  auto attached = program("waited", 50, 2);
  attached.status.fd = 3;
  costs.add({program("waited", 0, 0)}, {attached}, 24);
  EXPECT_EQ(costs.of(attached).run_ns, 50U) << "known, but not loaded before";
}

std::map<std::string, std::string> status_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  std::map<std::string, std::string> out;
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    const std::size_t text = line.find_first_not_of(" \t", colon + 1);
    out[line.substr(0, colon)] = text == std::string::npos ? "" : line.substr(text);
  }
  return out;
}

// How a process ends that may make few calls and makes this one: its signal, or minus its exit code.
int end_after(long call, long argument) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    keep_few_calls();
    ::syscall(call, argument, nullptr, 0);
    ::syscall(SYS_exit_group, 7);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

TEST(CountingChild, AnyOtherCallKills) {
  if (end_after(SYS_getpid, 0) == -7) {
    GTEST_SKIP() << "this kernel does not filter system calls";
  }
  for (const long call : {SYS_getpid, SYS_openat, SYS_socket, SYS_execve, SYS_prctl, SYS_mmap}) {
    EXPECT_EQ(end_after(call, 0), SIGSYS) << call;
  }
  EXPECT_EQ(end_after(SYS_bpf, BPF_PROG_LOAD), SIGSYS);
  EXPECT_EQ(end_after(SYS_bpf, BPF_MAP_CREATE), SIGSYS);
  EXPECT_EQ(end_after(SYS_bpf, BPF_ENABLE_STATS), -7);
  EXPECT_EQ(end_after(SYS_close, 1000), -7);
  EXPECT_EQ(end_after(SYS_read, 1000), -7);
}

class Helper : public ::testing::Test {
 protected:
  void SetUp() override {
    helper_ = CountingHelper::start();
    if (helper_ == nullptr) {
      GTEST_SKIP() << "the kernel does not count for this process";
    }
  }
  std::unique_ptr<CountingHelper> helper_;
};

TEST_F(Helper, MayDoOneThing) {
  auto status = status_of(helper_->pid());
  EXPECT_EQ(status["Name"], "bpf-stats");
  for (const char* set : {"CapPrm", "CapEff"}) {
    EXPECT_EQ(status[set], "0000000000200000") << set;
  }
  EXPECT_EQ(status["CapInh"], "0000000000000000");
  EXPECT_EQ(status["NoNewPrivs"], "1");
  EXPECT_EQ(status["Seccomp"], "2");
}

TEST_F(Helper, SwitchesAndEnds) {
  const pid_t pid = helper_->pid();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(helper_->set(false));
    EXPECT_TRUE(helper_->set(true));
  }
  helper_.reset();
  EXPECT_EQ(::kill(pid, 0), -1) << "neither alive nor a zombie";
}

TEST_F(Helper, OneThatDiedIsLostAndNoZombie) {
  ::kill(helper_->pid(), SIGKILL);
  siginfo_t end{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(helper_->pid()), &end, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(helper_->set(false));
  EXPECT_TRUE(helper_->is_lost());
  EXPECT_FALSE(helper_->set(true));
  EXPECT_EQ(::kill(helper_->pid(), 0), -1);
}

TEST_F(Helper, OneThatDoesNotAnswerIsKilled) {
  ::kill(helper_->pid(), SIGSTOP);
  EXPECT_FALSE(helper_->set(false));
  EXPECT_TRUE(helper_->is_lost());
  const pid_t pid = helper_->pid();
  helper_.reset();
  EXPECT_EQ(::kill(pid, 0), -1);
}

// The kernel reaps it then, and its number may be another process's.
TEST_F(Helper, WithSigchldIgnoredOneThatDiedIsLost) {
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(::sigaction(SIGCHLD, &ignore, &before), 0);
  const pid_t pid = helper_->pid();
  ::kill(pid, SIGKILL);
  for (int i = 0; i < 2'000 && ::kill(pid, 0) == 0; ++i) {
    ::usleep(1'000);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_FALSE(helper_->set(false));
  EXPECT_TRUE(helper_->is_lost());
  helper_.reset();
  ASSERT_EQ(::sigaction(SIGCHLD, &before, nullptr), 0);
}

TEST(RunTimeCounting, WishesShareAHelper) {
  EXPECT_EQ(RunTimeCounting::make(CountingChoice::kOff), nullptr);
  auto one = RunTimeCounting::make(CountingChoice::kSampled);
  if (!one->is_on()) {
    EXPECT_FALSE(one->set(true));
    GTEST_SKIP() << "the kernel does not count for this process";
  }
  EXPECT_FALSE(one->is_for_good());
  auto other = RunTimeCounting::make(CountingChoice::kSampled);
  EXPECT_FALSE(other->is_on()) << "only the first begins at once";
  EXPECT_TRUE(other->set(true));
  EXPECT_TRUE(one->set(false));
  EXPECT_FALSE(one->is_on());
  EXPECT_TRUE(other->is_on());
  one.reset();
  EXPECT_TRUE(other->set(false));
  EXPECT_FALSE(other->is_on());
  EXPECT_TRUE(other->set(true));
}

}  // namespace
}  // namespace tidegauge
