// SPDX-License-Identifier: Apache-2.0
// Fake procfs trees that change between passes.
#include "collectors/process/proc_tasks.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collectors/process/hidden_processes.h"
#include "collectors/process/process_entry.h"
#include "tests/unit/fake_processes.h"
#include "tests/unit/silent_processes.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;
using testing::Fake;
using testing::FixtureTree;
using testing::Host;
using testing::io_text;
using testing::MaybeIo;
using testing::stat_text;

TEST(ProcTasks, OneProcessInFull) {
  Host host;
  host.tree.write("proc/sys/kernel/task_delayacct", "1\n");
  host.put(7, {.comm = "a b",
               .ppid = 3,
               .minor = 11,
               .major = 2,
               .user = 5,
               .system = 6,
               .start = 42,
               .block_delay = 9,
               .io = 100});
  const TaskPass& out = host.pass();
  ASSERT_EQ(out.processes.size(), 1U);
  const ProcessSample& sample = out.processes[0];
  EXPECT_EQ(sample.key, (ProcessKey{7, 420'000'000}));
  EXPECT_EQ(sample.parent_pid, 3U);
  EXPECT_EQ(sample.uid, 1000U);
  EXPECT_EQ(sample.comm.view(), "a b");
  EXPECT_EQ(sample.state, 'S');
  EXPECT_FALSE(sample.kernel_thread);
  EXPECT_TRUE(sample.alive);
  const std::map<TaskCounter, std::uint64_t> expected{
      {TaskCounter::kUserNs, 50'000'000},       {TaskCounter::kSystemNs, 60'000'000},
      {TaskCounter::kMinorFaults, 11},          {TaskCounter::kMajorFaults, 2},
      {TaskCounter::kStorageWriteBytes, 100},   {TaskCounter::kSyscallReadBytes, 1000},
      {TaskCounter::kBlockDelayNs, 90'000'000}, {TaskCounter::kVoluntarySwitches, 5},
      {TaskCounter::kInvoluntarySwitches, 1},   {TaskCounter::kRunDelayNs, 70},
  };
  for (const auto& [counter, value] : expected) {
    EXPECT_TRUE(sample.counters.present(counter)) << static_cast<int>(counter);
    EXPECT_EQ(sample.counters[counter], value) << static_cast<int>(counter);
  }
  EXPECT_EQ(sample.gauges[TaskGauge::kThreads], 1U);
  EXPECT_EQ(sample.gauges[TaskGauge::kAnonBytes], 3072U);
  EXPECT_EQ(sample.gauges[TaskGauge::kFileBytes], 4096U);
  EXPECT_EQ(sample.gauges[TaskGauge::kShmemBytes], 5120U);
  EXPECT_EQ(sample.gauges[TaskGauge::kSwapBytes], 6144U);
  ASSERT_EQ(out.missing.size(), 1U);
  EXPECT_EQ(out.missing[0].field, "syncs");
  EXPECT_EQ(out.threads, 1U);
}

TEST(ProcTasks, TellsWhenEachProcessWasReadIfAsked) {
  Host host;
  host.put(7, {});
  host.put(9, {});
  host.pass();
  EXPECT_EQ(host.find(7)->read_after_us, 0U);
  static std::int64_t now_ns;
  now_ns = 0;
  host.pass([] { return now_ns += 5'000'000; });
  EXPECT_EQ(host.find(7)->read_after_us, 5'000U);
  EXPECT_EQ(host.find(9)->read_after_us, 10'000U);
  host.pass();
  EXPECT_EQ(host.find(9)->read_after_us, 0U);
}

TEST(ProcTasks, TwoHundredEndAtOnce) {
  Host host;
  host.put(1, {.ppid = 0, .start = 1});
  for (int pid = 1000; pid < 1200; ++pid) {
    host.put(pid, {.ppid = 1, .minor = 3, .io = 10});
  }
  EXPECT_EQ(host.pass().processes.size(), 201U);
  for (int pid = 1000; pid < 1200; ++pid) {
    host.gone(pid);
  }
  host.put(1, {.ppid = 0, .child_minor = 600, .start = 1, .io = 2001});
  const TaskPass& out = host.pass();
  EXPECT_EQ(out.processes.size(), 201U);
  EXPECT_EQ(host.io(1), MaybeIo(1));
  EXPECT_EQ(out.lost_exits, 0U);
  EXPECT_EQ(host.pass().processes.size(), 1U);
}

TEST(ProcTasks, IoThatFallsNeverGoesBack) {
  Host host;
  host.put(10, {.io = 500});
  host.pass();
  host.put(10, {.io = 300});
  host.pass();
  EXPECT_EQ(host.io(10), MaybeIo(500));
  host.put(10, {.io = 301});
  host.pass();
  EXPECT_EQ(host.io(10), MaybeIo(501));
}

TEST(ProcTasks, MissingIo) {
  Host host;
  host.put(10, {.io = 500});
  host.put(11, {.io = 500});
  host.put(12, {.io = 500});
  host.tree.remove("proc/10/io");
  host.tree.write("proc/11/io", "rchar: x\n");
  host.pass();
  EXPECT_EQ(host.io(10), std::nullopt);
  EXPECT_EQ(host.io(11), std::nullopt);
  EXPECT_EQ(host.io(12), MaybeIo(500));
  EXPECT_EQ(host.missing("io", "CONFIG_TASK_IO_ACCOUNTING"), 1U);
  EXPECT_EQ(host.missing("io", "malformed"), 1U);
  EXPECT_TRUE(host.find(10)->counters.present(TaskCounter::kUserNs));
  host.tree.write("proc/11/io", io_text(600));
  host.pass();
  EXPECT_EQ(host.io(11), MaybeIo(600));
}

TEST(ProcTasks, BlockDelayNeedsDelayAccounting) {
  const auto has = [](const Host& host, std::uint32_t pid) {
    return host.find(pid)->counters.present(TaskCounter::kBlockDelayNs);
  };
  Host host;
  host.tree.write("proc/sys/kernel/task_delayacct", "0\n");
  host.put(10, {});
  host.pass();
  EXPECT_FALSE(has(host, 10));
  EXPECT_EQ(host.missing("block_delay", "kernel.task_delayacct=1"), 1U);
  host.tree.write("proc/sys/kernel/task_delayacct", "1\n");
  host.put(11, {});
  host.pass();
  EXPECT_FALSE(has(host, 10)) << "born while it was off";
  EXPECT_TRUE(has(host, 11));
  EXPECT_EQ(host.missing("block_delay"), 1U);

  Host old;  // before 5.14
  old.put(10, {});
  old.put(11, {});
  old.pass();
  EXPECT_FALSE(has(old, 10));
  EXPECT_EQ(old.missing("block_delay", "nodelayacct"), 2U);
  old.put(11, {.block_delay = 4});
  old.pass();
  EXPECT_TRUE(has(old, 10));
  EXPECT_EQ(old.find(11)->counters[TaskCounter::kBlockDelayNs], 40'000'000U);
  EXPECT_EQ(old.missing("block_delay"), 0U);
}

TEST(ProcTasks, RunDelayNeedsSchedInfo) {
  Host host;
  host.put(10, {.user = 4});
  host.put(11, {.user = 4});
  host.put(12, {.user = 4});
  host.tree.remove("proc/10/schedstat");
  host.tree.write("proc/11/schedstat", "0 0 0\n");
  host.pass();
  EXPECT_FALSE(host.find(10)->counters.present(TaskCounter::kRunDelayNs));
  EXPECT_FALSE(host.find(11)->counters.present(TaskCounter::kRunDelayNs));
  EXPECT_TRUE(host.find(12)->counters.present(TaskCounter::kRunDelayNs));
  EXPECT_EQ(host.missing("run_delay", "CONFIG_SCHED_INFO"), 2U);
}

TEST(ProcTasks, MemoryOfOldKernelsAndOfNone) {
  Host host;
  host.put(10, {});
  host.put(11, {});
  host.tree.write("proc/10/status", "Uid:\t0\t0\nVmRSS:\t 12 kB\nThreads:\t1\n");
  host.pass();
  EXPECT_FALSE(host.find(10)->gauges.present(TaskGauge::kAnonBytes));
  EXPECT_EQ(host.missing("memory", "4.5"), 1U);
  EXPECT_EQ(host.missing("switches"), 1U);
  EXPECT_TRUE(host.find(11)->gauges.present(TaskGauge::kAnonBytes));
  host.tree.write("proc/11/stat", stat_text(11, {.state = 'Z', .memory = 0, .pages = 0}));
  host.tree.write("proc/11/status", "Uid:\t1000\t0\nThreads:\t1\n");
  host.pass();
  EXPECT_FALSE(host.find(11)->gauges.present(TaskGauge::kAnonBytes));
  EXPECT_EQ(host.missing("memory"), 1U);
}

TEST(ProcTasks, DetailsAreReadAgainWhenItRan) {
  Host host;
  host.put(10, {.voluntary = 5});
  host.pass();
  host.put(10, {.voluntary = 6});
  host.pass();
  EXPECT_EQ(host.find(10)->counters[TaskCounter::kVoluntarySwitches], 5U) << "idle by its stat";
  host.put(10, {.user = 1, .voluntary = 7, .run_delay = 90});
  host.pass();
  EXPECT_EQ(host.find(10)->counters[TaskCounter::kVoluntarySwitches], 7U);
  EXPECT_EQ(host.find(10)->counters[TaskCounter::kRunDelayNs], 90U);
}

TEST(ProcTasks, DetailsOfTheBusyAreReadInTurn) {
  Host host({.details = 2});
  for (int round = 0; round < 4; ++round) {
    for (int pid = 10; pid < 15; ++pid) {
      host.put(pid, {.user = static_cast<std::uint64_t>(round),
                     .voluntary = 100 + static_cast<std::uint64_t>(round)});
    }
    host.pass();
    std::size_t fresh = 0;
    for (std::uint32_t pid = 10; pid < 15; ++pid) {
      EXPECT_EQ(host.find(pid)->uid, 1000U) << "new ones are read at once";
      const auto switches = host.find(pid)->counters[TaskCounter::kVoluntarySwitches];
      fresh += static_cast<std::size_t>(switches == 100 + static_cast<std::uint64_t>(round));
    }
    EXPECT_EQ(fresh, round == 0 ? 5U : 2U);
  }
  // 10 11, 12 13, 14 10: nobody waits while another has a second turn.
  EXPECT_EQ(host.find(14)->counters[TaskCounter::kVoluntarySwitches], 103U);
}

TEST(ProcTasks, SumsOverThreadsNeverFall) {
  Host host;
  host.tree.write("proc/sys/kernel/task_delayacct", "1\n");
  host.put(10, {.threads = 2});
  host.thread(10, 10, {.threads = 2, .block_delay = 1, .voluntary = 100, .run_delay = 1000});
  host.thread(10, 11, {.threads = 2, .block_delay = 2, .voluntary = 40, .run_delay = 400});
  const auto counter = [&](TaskCounter which) { return host.find(10)->counters[which]; };
  host.pass();
  EXPECT_EQ(counter(TaskCounter::kVoluntarySwitches), 140U);
  EXPECT_EQ(counter(TaskCounter::kRunDelayNs), 1400U);
  EXPECT_EQ(counter(TaskCounter::kBlockDelayNs), 30'000'000U);
  host.tree.remove("proc/10/task/11");
  host.put(10, {.user = 1, .voluntary = 103, .run_delay = 1010});
  host.pass();
  EXPECT_EQ(counter(TaskCounter::kVoluntarySwitches), 140U);
  host.put(10, {.user = 2, .voluntary = 110, .run_delay = 1020});
  host.pass();
  EXPECT_EQ(counter(TaskCounter::kVoluntarySwitches), 147U);
  EXPECT_EQ(counter(TaskCounter::kRunDelayNs), 1410U);
}

TEST(ProcTasks, TooManyThreadsToSum) {
  Host host({.threads = 2});
  host.put(10, {.threads = 3});
  for (int tid = 10; tid < 13; ++tid) {
    host.thread(10, tid, {.threads = 3});
  }
  host.pass();
  EXPECT_FALSE(host.find(10)->counters.present(TaskCounter::kVoluntarySwitches));
  EXPECT_EQ(host.missing("switches", "more threads"), 1U);
  EXPECT_EQ(host.find(10)->uid, 1000U);
}

// proc_task_readdir may step over a thread once.
TEST(ProcTasks, AThreadThatAWalkMissedIsNoBurst) {
  Host host;
  const Fake main{.threads = 3, .voluntary = 100, .run_delay = 1000};
  const Fake old{.threads = 3, .voluntary = 5000, .run_delay = 90'000};
  const auto counter = [&](TaskCounter which) { return host.find(10)->counters[which]; };
  const auto put = [&](std::uint64_t user) {
    host.put(10, {.user = user, .threads = 3});
    host.thread(10, 10, main);
    host.thread(10, 11, main);
  };
  put(0);
  host.thread(10, 12, old);
  host.pass();
  EXPECT_EQ(counter(TaskCounter::kVoluntarySwitches), 5200U);
  put(1);
  host.tree.remove("proc/10/task/12");
  host.pass();
  EXPECT_EQ(counter(TaskCounter::kVoluntarySwitches), 5200U);
  host.thread(10, 12, old);
  host.pass();  // looked at again although it has not run
  EXPECT_EQ(counter(TaskCounter::kVoluntarySwitches), 5200U) << "nothing has happened";
  EXPECT_EQ(counter(TaskCounter::kRunDelayNs), 92'000U);
  put(2);
  host.thread(10, 12, {.threads = 3, .voluntary = 5001, .run_delay = 90'010});
  host.pass();
  EXPECT_EQ(counter(TaskCounter::kVoluntarySwitches), 5201U);
  EXPECT_EQ(counter(TaskCounter::kRunDelayNs), 92'010U);
}

TEST(ProcTasks, ThreadsThatAreReallyFewerAreBelievedTheSecondTime) {
  Host host;
  const auto switches = [&] { return host.find(10)->counters[TaskCounter::kVoluntarySwitches]; };
  host.put(10, {.threads = 3});
  for (int tid = 10; tid < 13; ++tid) {
    host.thread(10, tid, {.threads = 3, .voluntary = 100});
  }
  host.pass();
  EXPECT_EQ(switches(), 300U);
  host.tree.remove("proc/10/task/12");
  host.pass();  // idle: not looked at
  host.put(10, {.user = 1, .threads = 3});
  host.pass();
  host.thread(10, 11, {.threads = 3, .voluntary = 110});
  host.pass();
  EXPECT_EQ(switches(), 300U);
  host.put(10, {.user = 2, .threads = 3});
  host.thread(10, 11, {.threads = 3, .voluntary = 117});
  host.pass();
  host.pass();
  EXPECT_EQ(switches(), 307U);
}

TEST(ProcTasks, AWalkThatIsCutTellsNothing) {
  Host host({.threads = 2});
  host.put(10, {.threads = 2});
  for (int tid = 10; tid < 13; ++tid) {  // one more since
    host.thread(10, tid, {.threads = 3});
  }
  for (int i = 0; i < 3; ++i) {
    host.pass();
    EXPECT_FALSE(host.find(10)->counters.present(TaskCounter::kVoluntarySwitches));
  }
  host.tree.remove("proc/10/task/12");
  host.pass();
  EXPECT_EQ(host.find(10)->counters[TaskCounter::kVoluntarySwitches], 10U);
}

constexpr std::string_view kNoAnswer = "do not answer";

TEST(ProcTasksSilent, OneProcessCostsNoOtherAnything) {
  Host host;
  for (int pid = 10; pid < 13; ++pid) {
    host.put(pid, {.ppid = 0, .io = 100});
  }
  host.pass();
  host.silent.silence(11);
  host.put(11, {.ppid = 0, .io = 900});
  for (std::uint64_t i = 1; i < 20; ++i) {
    host.put(10, {.ppid = 0, .user = i, .io = 100 + i, .voluntary = 5 + i});
    host.put(12, {.ppid = 0, .io = 100 + i});
    const TaskPass& out = host.pass();
    EXPECT_EQ(out.processes.size(), 3U);
    EXPECT_EQ(out.threads, 3U);
    EXPECT_EQ(host.io(10), MaybeIo(100 + i));
    EXPECT_EQ(host.find(10)->counters[TaskCounter::kVoluntarySwitches], 5 + i);
    EXPECT_EQ(host.io(11), MaybeIo(100)) << "as last seen";
    EXPECT_EQ(host.io(12), MaybeIo(100 + i));
    EXPECT_EQ(host.missing("process", kNoAnswer), 1U);
  }
  EXPECT_EQ(host.silent.waiting(), 1);
  host.silent.answer(11);
  EXPECT_TRUE(testing::comes_true([&] {
    host.pass();
    return host.missing("process") == 0;
  }));
  EXPECT_EQ(host.io(11), MaybeIo(900));
}

TEST(ProcTasksSilent, OneNobodyHasSeenIsOnlyCounted) {
  Host host;
  host.silent.silence(11);
  host.put(10, {.ppid = 0, .io = 1});
  host.put(11, {.ppid = 0, .io = 1});
  host.put(12, {.ppid = 0, .io = 1});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(host.pass().processes.size(), 2U);
    EXPECT_EQ(host.missing("process", kNoAnswer), 1U);
  }
}

TEST(ProcTasksSilent, ItsEndIsSeen) {
  Host host;
  host.put(1, {.ppid = 0, .start = 1});
  host.put(11, {.minor = 4, .io = 10});
  host.pass();
  host.silent.silence(11);
  host.pass();
  host.gone(11);
  host.put(1, {.ppid = 0, .child_minor = 4, .start = 1, .io = 10});
  const TaskPass& out = host.pass();
  EXPECT_EQ(host.io(11, false), MaybeIo(10));
  EXPECT_EQ(host.io(1), MaybeIo(0));
  EXPECT_EQ(out.lost_exits, 0U);
  EXPECT_EQ(host.missing("process"), 0U);
}

// Its stat answered a moment ago; now the walk over its threads hangs, or the check whether it left.
TEST(ProcTasksSilent, AfterItWasRead) {
  for (const bool late : {false, true}) {
    Host host;
    host.put(500, {.ppid = 0, .minor = 1, .io = 1000});
    host.put(20, {.ppid = 500, .minor = 30, .threads = 2, .io = 200});
    host.thread(20, 20, {.threads = 2});
    host.thread(20, 21, {.threads = 2});
    host.put(30, {.ppid = 500, .minor = 30, .io = 7});
    host.pass();
    host.all_read = [&] { host.silent.silence(20); };
    host.put(20, {.ppid = 500, .minor = 31, .user = 1, .threads = 2, .io = 201});
    host.put(30, {.ppid = 500, .minor = 30, .user = 1, .io = 8, .voluntary = 9});
    host.put(500, {.ppid = 0, .minor = 1, .child_minor = late ? 900U : 0U, .io = 1001});
    EXPECT_EQ(host.pass().processes.size(), 3U);
    EXPECT_EQ(host.io(20), MaybeIo(201));
    EXPECT_EQ(host.io(30), MaybeIo(8));
    EXPECT_EQ(host.io(500), MaybeIo(1001));
    EXPECT_EQ(host.find(30)->counters[TaskCounter::kVoluntarySwitches], 9U);
    EXPECT_EQ(host.missing("process", kNoAnswer), 1U);
  }
}

TEST(ProcTasksSilent, TooManyFailThePassAndLoseNothing) {
  Host host;
  for (int pid = 10; pid < 20; ++pid) {
    host.put(pid, {.ppid = 0, .io = 5});
  }
  host.pass();
  for (std::uint32_t pid = 12; pid < 18; ++pid) {
    host.silent.silence(pid);
  }
  EXPECT_NE(host.failing_pass().find("do not answer"), std::string::npos);
  EXPECT_NE(host.failing_pass().find("do not answer"), std::string::npos);
  host.silent.answer_all();
  EXPECT_TRUE(testing::comes_true([&] { return host.failing_pass().empty(); }));
  for (int pid = 10; pid < 20; ++pid) {
    host.put(pid, {.ppid = 0, .io = 6});
  }
  EXPECT_TRUE(testing::comes_true([&] {
    host.pass();
    return host.missing("process") == 0;
  }));
  for (std::uint32_t pid = 10; pid < 20; ++pid) {
    EXPECT_EQ(host.io(pid), MaybeIo(6)) << pid;
    EXPECT_EQ(host.find(pid, false), nullptr);
  }
}

TEST(ProcTasks, ThreadsInD) {
  Host host;
  host.put(10, {.comm = "leader", .state = 'D', .voluntary = 8, .involuntary = 2});
  host.put(20, {.threads = 3});
  host.thread(20, 20, {.threads = 3});
  host.thread(20, 21, {.comm = "worker", .state = 'D', .threads = 3, .voluntary = 3});
  host.thread(20, 22, {.threads = 3});
  for (int i = 0; i < 3; ++i) {
    const TaskPass& out = host.pass();
    ASSERT_EQ(out.stuck.size(), 2U) << i;
    EXPECT_EQ(out.stuck_threads, 2U);
    const StuckThread& leader = out.stuck[out.stuck[0].tid == 10 ? 0U : 1U];
    const StuckThread& worker = out.stuck[out.stuck[0].tid == 10 ? 1U : 0U];
    EXPECT_EQ(leader.switches, 10U);
    EXPECT_EQ(leader.comm.view(), "leader");
    EXPECT_EQ(worker.tid, 21U);
    EXPECT_EQ(worker.process.pid, 20U);
    EXPECT_EQ(worker.comm.view(), "worker");
    EXPECT_EQ(worker.switches, 4U);
  }
}

TEST(ProcTasks, ThreadsAreLookedAtInTurn) {
  Host host({.scanned = 4});
  for (int pid = 10; pid < 40; pid += 10) {
    host.put(pid, {.threads = 3});
    for (int tid = pid; tid < pid + 3; ++tid) {
      host.thread(pid, tid, {.threads = 3});
    }
  }
  host.pass();
  host.thread(30, 32, {.state = 'D', .threads = 3});
  std::array<std::uint64_t, 6> found{};
  for (std::uint64_t& one : found) {
    one = host.pass().stuck_threads;
  }
  // One of three per pass; once found it is looked at each time.
  EXPECT_EQ(std::vector<std::uint64_t>(found.begin() + 3, found.end()),
            (std::vector<std::uint64_t>{1, 1, 1}));
}

TEST(ProcTasks, StuckThreadsAreBounded) {
  Host host;
  for (int pid = 1; pid <= 300; ++pid) {
    host.put(pid, {.state = 'D'});
  }
  const TaskPass& out = host.pass();
  EXPECT_EQ(out.stuck.size(), kMaxStuckThreads);
  EXPECT_EQ(out.stuck_threads, 300U);
}

TEST(ProcTasks, NamesMayHoldAnything) {
  Host host;
  const std::vector<std::string> names{") R 1 (", "a\nb", "\"\\", "\xff\xfe", "", "((sd-pam))"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    host.put(static_cast<int>(i) + 10, {.comm = names[i]});
  }
  host.put(20, {.comm = "kworker/u8:3-events_unbound", .flags = 0x00200000});
  host.put(21, {.comm = "kworker/0:1+ev", .flags = 0x00200000});
  host.put(22, {.comm = "kworker/R-xfs", .flags = 0x00200000});
  host.pass();
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(host.find(static_cast<std::uint32_t>(10 + i))->comm.view(), names[i]);
    EXPECT_EQ(host.find(static_cast<std::uint32_t>(10 + i))->state, 'S');
  }
  EXPECT_TRUE(host.find(20)->kernel_thread);
  EXPECT_EQ(host.find(20)->comm.view(), "kworker/u8:3");
  EXPECT_EQ(host.find(21)->comm.view(), "kworker/0:1");
  EXPECT_EQ(host.find(22)->comm.view(), "kworker/R-xfs");
}

TEST(ProcTasks, BadTreesDoNoHarm) {
  Host host;
  host.put(10, {.io = 1});
  host.put(11, {.io = 2});
  host.pass();
  host.tree.write("proc/10/stat", "garbage\xff");
  host.tree.write("proc/123", "a file\n");
  host.tree.write("proc/1234567890123/stat", "x");
  host.tree.write("proc/0012/stat", stat_text(12, {}));
  host.tree.write("proc/40/stat/deeper", "a directory\n");
  std::filesystem::create_directories(host.tree.path("proc/41"));
  ASSERT_EQ(::mkfifo(host.tree.path("proc/41/stat").c_str(), 0600), 0);
  host.tree.write("proc/42/stat", std::string(5000, '1'));
  host.put(43, {});
  host.tree.remove("proc/43/io");
  ASSERT_EQ(::mkfifo(host.tree.path("proc/43/io").c_str(), 0600), 0);
  host.tree.remove("proc/43/status");
  ASSERT_EQ(::mkfifo(host.tree.path("proc/43/status").c_str(), 0600), 0);
  host.put(123456789, {});
  const TaskPass& out = host.pass();
  EXPECT_EQ(out.processes.size(), 3U);
  EXPECT_EQ(host.missing("process", "malformed"), 7U);
  EXPECT_EQ(host.missing("io", "malformed"), 1U);
  EXPECT_EQ(host.find(10, false), nullptr) << "it has not ended";
  EXPECT_EQ(host.find(43)->uid, kUnknownUid);
  EXPECT_NE(host.find(123456789), nullptr);
  host.put(10, {.io = 5});
  host.pass();
  EXPECT_EQ(host.io(10), MaybeIo(5));
}

TEST(ProcTasks, NoProcfs) {
  FixtureTree tree;
  const auto source = make_proc_tasks(tree.files());
  EXPECT_EQ(source->name(), "procfs");
  ReadBuffer buffer;
  CollectContext context{.realtime_ns = 0, .boottime_ns = 0, .buffer = &buffer};
  TaskPass out;
  const auto done = source->pass(context, out);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kMissing);
}

TEST(ProcTasks, HidepidIsTold) {
  for (const char* option : {"hidepid=2", "hidepid=invisible", "gid=4,hidepid=ptraceable"}) {
    Host host;
    host.put(10, {});
    host.tree.write("proc/self/mountinfo",
                    std::string("22 27 0:21 / /proc rw,relatime - proc proc rw,") + option + "\n");
    host.tree.write("proc/loadavg", "0.20 0.18 0.12 1/80 11206\n");
    host.pass();
    EXPECT_EQ(host.missing("processes", "procfs is mounted with hidepid="), 79U) << option;
    host.tree.write("proc/loadavg", "0.20 0.18 0.12 1/2 11206\n");
    host.pass();
    EXPECT_EQ(host.missing("processes"), 0U) << "sees all the same";
  }
  Host host;
  host.put(10, {});
  host.tree.write("proc/self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw,hidepid=off\n");
  host.tree.write("proc/loadavg", "0.20 0.18 0.12 1/80 11206\n");
  host.pass();
  EXPECT_EQ(host.missing("processes"), 0U) << "a container sees few, and nothing is hidden";
}

TEST(ProcTasks, HidepidOfTheRightMount) {
  const std::string_view text =
      "22 27 0:21 / /proc rw - proc proc rw,hidepid=1\n"
      "40 27 0:55 / /host/proc rw - proc proc rw,hidepid=noaccess,gid=0\n"
      "41 27 0:56 / /other rw - tmpfs tmpfs rw,hidepid=2\n";
  EXPECT_EQ(hidepid_option(text, "/proc", 0, 21), "hidepid=1");
  EXPECT_EQ(hidepid_option(text, "/host/proc", 0, 55), "hidepid=noaccess");
  EXPECT_EQ(hidepid_option(text, "/x", 0, 56), "");
  EXPECT_EQ(hidepid_option("garbage", "/proc", 0, 0), "");
  EXPECT_EQ(threads_of_loadavg("0.1 0.2 0.3 4/567 89\n"), 567U);
  for (const std::string_view bad : {"", "0.1 0.2 0.3 4567 89\n", "0.1 0.2 0.3 4/x 89\n"}) {
    EXPECT_FALSE(threads_of_loadavg(bad)) << bad;
  }
}

}  // namespace
}  // namespace tidegauge
