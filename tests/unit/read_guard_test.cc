// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/read_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "collectors/procfs/task_directory.h"
#include "tests/unit/silent_processes.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::comes_true;
using testing::FixtureTree;
using testing::SilentProcesses;
using Outcome = ReadGuard::Outcome;

// Asks the processes 1 to 9 for their number.
class Walk {
 public:
  explicit Walk(ReadGuardHooks hooks) : guard(std::in_place, std::move(hooks)) {
    tree.write("proc/1/stat", "");
    root = ::open(tree.path("proc").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~Walk() { ::close(root); }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  // Who does not answer in this pass.
  std::vector<std::uint32_t> pass() {
    guard->begin_pass();
    next = 1;
    read.clear();
    skipped.clear();
    std::vector<std::uint32_t> stuck;
    while (true) {
      const auto ran = guard->run([this] { go_on(); });
      outcome = ran.outcome;
      if (outcome != Outcome::kStuck) {
        return stuck;
      }
      stuck.push_back(ran.pid);
    }
  }

  FixtureTree tree;
  int root = -1;
  std::optional<ReadGuard> guard;
  std::vector<std::uint32_t> read;
  std::vector<std::uint32_t> skipped;
  Outcome outcome = Outcome::kDone;

 private:
  void go_on() {
    while (next < 10) {
      const std::uint32_t pid = next++;
      if (guard->skips(root, pid)) {
        skipped.push_back(pid);
      } else {
        read.push_back(guard->read(pid, [pid] { return pid; }));
      }
    }
  }

  std::uint32_t next = 1;
};

using Pids = std::vector<std::uint32_t>;

TEST(ReadGuard, AllAnswer) {
  const SilentProcesses silent;
  Walk walk(silent.hooks());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(walk.pass(), Pids{});
    EXPECT_EQ(walk.read, (Pids{1, 2, 3, 4, 5, 6, 7, 8, 9}));
    EXPECT_EQ(walk.outcome, Outcome::kDone);
  }
}

TEST(ReadGuard, OneDoesNotAnswer) {
  const SilentProcesses silent;
  Walk walk(silent.hooks());
  silent.silence(4);
  EXPECT_EQ(walk.pass(), Pids{4});
  EXPECT_EQ(walk.read, (Pids{1, 2, 3, 5, 6, 7, 8, 9}));
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(walk.pass(), Pids{});
    EXPECT_EQ(walk.read, (Pids{1, 2, 3, 5, 6, 7, 8, 9}));
    EXPECT_EQ(walk.skipped, Pids{4});
  }
  EXPECT_EQ(silent.waiting(), 1) << "nobody else is sent after the first";
  silent.answer(4);
  EXPECT_TRUE(comes_true([&] { return walk.guard->stuck() == 0; }));
  EXPECT_EQ(walk.pass(), Pids{});
  EXPECT_EQ(walk.read.size(), 9U);
}

TEST(ReadGuard, WhoHangsAgainAndAgainIsAskedLessOften) {
  const SilentProcesses silent;
  Walk walk(silent.hooks());
  for (const int skipped : {0, 7, 15, 31, 63, 127, 255, 255}) {
    silent.silence(4);
    EXPECT_EQ(walk.pass(), Pids{4});
    silent.answer(4);
    EXPECT_TRUE(comes_true([&] { return walk.guard->stuck() == 0; }));
    for (int i = 0; i < skipped; ++i) {
      EXPECT_EQ(walk.pass(), Pids{});
      EXPECT_EQ(walk.skipped, Pids{4}) << i << " of " << skipped;
    }
  }
  for (int i = 0; i < 1000; ++i) {
    walk.pass();
  }
  silent.silence(4);
  EXPECT_EQ(walk.pass(), Pids{4});
  silent.answer(4);
  EXPECT_TRUE(comes_true([&] { return walk.guard->stuck() == 0; }));
  walk.pass();
  EXPECT_EQ(walk.read.size(), 9U) << "long forgotten";
}

TEST(ReadGuard, FromTwoOnThoseInExecAreNotAsked) {
  const SilentProcesses silent;
  Walk walk(silent.hooks());
  for (const std::uint32_t pid : {2U, 4U, 6U, 8U}) {
    walk.tree.write("proc/" + std::to_string(pid) + "/statm", "1 1 0 0 0 1 0\n");
    silent.silence(pid);
  }
  // statm answers even so: it is the hooks that do not know files.
  silent.answer(6);
  silent.answer(8);
  walk.tree.write("proc/9/statm", "4226 2727 947 1 0 2064 0\n");
  EXPECT_EQ(walk.pass(), (Pids{2, 4}));
  EXPECT_EQ(walk.skipped, (Pids{6, 8}));
  EXPECT_EQ(walk.read, (Pids{1, 3, 5, 7, 9}));
  EXPECT_EQ(walk.pass(), Pids{});
  EXPECT_EQ(walk.skipped, (Pids{2, 4, 6, 8}));
}

TEST(ReadGuard, RefusesWhenTooManyHang) {
  const SilentProcesses silent;
  Walk walk(silent.hooks());
  for (std::uint32_t pid = 2; pid < 9; ++pid) {
    silent.silence(pid);
  }
  EXPECT_EQ(walk.pass().size(), static_cast<std::size_t>(ReadGuard::kMaxStuck));
  EXPECT_EQ(walk.outcome, Outcome::kRefused);
  EXPECT_EQ(walk.pass(), Pids{});
  EXPECT_EQ(walk.outcome, Outcome::kRefused);
  EXPECT_EQ(silent.waiting(), ReadGuard::kMaxStuck);
  silent.answer_all();
  EXPECT_TRUE(comes_true([&] { return walk.guard->stuck() == 0; }));
  EXPECT_EQ(walk.pass(), Pids{});
  EXPECT_EQ(walk.outcome, Outcome::kDone);
  EXPECT_EQ(walk.read.size(), 9U);
}

TEST(ReadGuard, ThreadsLeftBehindOutliveTheGuard) {
  const SilentProcesses silent;
  {
    Walk walk(silent.hooks());
    silent.silence(4);
    EXPECT_EQ(walk.pass(), Pids{4});
  }
  EXPECT_EQ(silent.waiting(), 1);
  silent.answer(4);
  EXPECT_TRUE(comes_true([&] { return silent.is_alone(); }));
}

TEST(ReadGuard, WhatTheWorkThrowsTheCallerGets) {
  ReadGuard guard;
  EXPECT_THROW(guard.run([] { throw std::runtime_error("no"); }), std::runtime_error);
  bool elsewhere = false;
  const auto self = std::this_thread::get_id();
  EXPECT_EQ(guard.run([&] { elsewhere = std::this_thread::get_id() != self; }).outcome,
            Outcome::kDone);
  EXPECT_TRUE(elsewhere);
}

// Work that takes long between reads, or in many, is not stuck.
TEST(ReadGuard, SlowIsNotStuck) {
  ReadGuard guard({.limit_ns = 4'000'000, .before_read = {}});
  const auto ran = guard.run([&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(40);
    while (std::chrono::steady_clock::now() < end) {
      guard.read(1, [] { return 0; });
    }
  });
  EXPECT_EQ(ran.outcome, Outcome::kDone);
  EXPECT_GT(ran.cpu_ns, 0);
}

TEST(ReadGuard, StatmOfExec) {
  const std::pair<std::string_view, bool> kCases[] = {
      {"1 1 0 0 0 1 0\n", true},   {"4226 2727 947 1 0 2064 0\n", false},
      {"0 0 0 0 0 0 0\n", false},  // a kernel thread, a zombie
      {"33 1 0 0", true},          {"33 1 0", false},
      {"33 1 0 x 0 0 0\n", false}, {"", false},
      {"-1 0 0 0 0 0 0\n", false},
  };
  for (const auto& [text, expected] : kCases) {
    EXPECT_EQ(is_statm_of_exec(text), expected) << text;
  }
  ReadBuffer own;
  EXPECT_FALSE(is_statm_of_exec(read_file("/proc/self/statm", own).value_or("1 1 0 0")));
}

}  // namespace
}  // namespace tidegauge
