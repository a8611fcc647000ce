// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/processes.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "tests/unit/silent_processes.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::FixtureTree;
using testing::flatten;
using testing::make;
using testing::run;
using testing::run_once;

using Series = std::map<std::string, double>;

std::string stat_line(int pid, char state, int threads) {
  std::string line = std::to_string(pid) + " (x y) " + state +
                     " 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 " + std::to_string(threads);
  for (int field = 21; field <= 52; ++field) {
    line += " 0";
  }
  return line + "\n";
}

void write_task(const FixtureTree& tree, int pid, int tid, char state, int threads) {
  const std::string base = "proc/" + std::to_string(pid);
  if (pid == tid) {
    tree.write(base + "/stat", stat_line(tid, state, threads));
  }
  tree.write(base + "/task/" + std::to_string(tid) + "/stat", stat_line(tid, state, threads));
}

void write_limits(const FixtureTree& tree) {
  tree.write("proc/sys/kernel/threads-max", "1000\n");
  tree.write("proc/sys/kernel/pid_max", "32768\n");
}

std::uint64_t sum(const TaskStates& states) {
  return std::accumulate(states.begin(), states.end(), std::uint64_t{0});
}

TEST(Processes, Linux612) {
  const auto section = run_once(kProcessesCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_EQ(flatten(*section), (Series{{"node_processes_pids", 10},
                                       {"node_processes_threads", 14},
                                       {"node_processes_max_processes", 4194304},
                                       {"node_processes_max_threads", 127216},
                                       {"node_processes_state{state=\"D\"}", 1},
                                       {"node_processes_state{state=\"I\"}", 1},
                                       {"node_processes_state{state=\"R\"}", 1},
                                       {"node_processes_state{state=\"S\"}", 6},
                                       {"node_processes_state{state=\"Z\"}", 1},
                                       {"node_processes_threads_state{thread_state=\"D\"}", 2},
                                       {"node_processes_threads_state{thread_state=\"I\"}", 1},
                                       {"node_processes_threads_state{thread_state=\"R\"}", 2},
                                       {"node_processes_threads_state{thread_state=\"S\"}", 8},
                                       {"node_processes_threads_state{thread_state=\"Z\"}", 1}}));
}

TEST(Processes, EarlierKernels) {
  for (const auto& [name, max_threads, idle] :
       {std::tuple("linux-3.10", 30887.0, 0.0), std::tuple("linux-4.19", 31298.0, 1.0),
        std::tuple("linux-5.10", 63413.0, 1.0)}) {
    const auto section = run_once(kProcessesCollector, testing::fixture(name));
    ASSERT_TRUE(section) << name << testing::error_text(section);
    Series series = flatten(*section);
    EXPECT_EQ(series["node_processes_max_threads"], max_threads) << name;
    EXPECT_EQ(series["node_processes_state{state=\"S\"}"], 7 - idle) << name;
    EXPECT_EQ(series.count("node_processes_state{state=\"I\"}"), idle) << name;
    EXPECT_EQ(series["node_processes_threads_state{thread_state=\"S\"}"], 10 - idle) << name;
  }
}

TEST(Processes, AStateThatEmptiesIsAbsentAndTheShapeStays) {
  FixtureTree tree;
  write_limits(tree);
  write_task(tree, 1, 1, 'S', 1);
  write_task(tree, 7, 7, 'D', 1);
  const auto collector = make(kProcessesCollector, tree.files());
  ASSERT_TRUE(collector);
  const auto first = run(**collector);
  ASSERT_TRUE(first) << testing::error_text(first);
  EXPECT_EQ(flatten(*first).at("node_processes_state{state=\"D\"}"), 1);

  write_task(tree, 7, 7, 'S', 1);
  const auto second = run(**collector);
  ASSERT_TRUE(second);
  EXPECT_EQ(flatten(*second).count("node_processes_state{state=\"D\"}"), 0U);
  EXPECT_EQ(flatten(*second).at("node_processes_state{state=\"S\"}"), 2);
  ASSERT_EQ(first->tables.size(), second->tables.size());
  for (std::size_t i = 0; i < first->tables.size(); ++i) {
    EXPECT_EQ(first->tables[i].shape, second->tables[i].shape) << i;
  }

  tree.remove("proc/7");
  const auto third = run(**collector);
  ASSERT_TRUE(third);
  EXPECT_EQ(flatten(*third).at("node_processes_pids"), 1);
}

TEST(Processes, TasksThatLeaveAreNotCounted) {
  FixtureTree tree;
  write_limits(tree);
  write_task(tree, 1, 1, 'S', 3);
  write_task(tree, 1, 2, 'R', 3);
  tree.write("proc/1/task/3/comm", "left\n");  // listed, but its stat is gone
  tree.write("proc/9/comm", "left\n");
  tree.write("proc/10/stat", stat_line(10, 'R', 2));  // its task directory is gone
  const auto section = run_once(kProcessesCollector, tree.files());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_EQ(flatten(*section), (Series{{"node_processes_pids", 2},
                                       {"node_processes_threads", 5},
                                       {"node_processes_max_processes", 32768},
                                       {"node_processes_max_threads", 1000},
                                       {"node_processes_state{state=\"R\"}", 1},
                                       {"node_processes_state{state=\"S\"}", 1},
                                       {"node_processes_threads_state{thread_state=\"R\"}", 1},
                                       {"node_processes_threads_state{thread_state=\"S\"}", 1}}));
}

TEST(Processes, MoreThanOneDirectoryRead) {
  FixtureTree tree;
  write_limits(tree);
  for (int pid = 1; pid <= 600; ++pid) {
    tree.write("proc/" + std::to_string(pid) + "/stat", stat_line(pid, pid % 4 ? 'S' : 'D', 3));
  }
  const auto counts = count_processes(tree.path("proc"));
  ASSERT_TRUE(counts) << testing::error_text(counts);
  EXPECT_EQ(counts->processes, 600U);
  EXPECT_EQ(counts->threads, 1800U);
  EXPECT_EQ(counts->process_states['D'], 150U);
  EXPECT_EQ(sum(counts->thread_states), 0U);
}

TEST(Processes, OneWhoseStatDoesNotAnswerIsCountedByItsStatus) {
  FixtureTree tree;
  for (int pid = 1; pid < 6; ++pid) {
    write_task(tree, pid, pid, 'S', 1);
  }
  tree.write("proc/3/status", "Name:\tx\nUmask:\t0022\nState:\tD (disk sleep)\nThreads:\t1\n");
  const testing::SilentProcesses silent;
  auto hooks = silent.hooks();
  // Its first read is that of stat.
  hooks.before_read = [wait = hooks.before_read,
                       first = std::make_shared<std::atomic<bool>>(true)](std::uint32_t pid) {
    if (pid == 3 && first->exchange(false)) {
      wait(pid);
    }
  };
  silent.silence(3);
  const auto counts = count_processes(tree.path("proc"), hooks);
  ASSERT_TRUE(counts) << testing::error_text(counts);
  EXPECT_EQ(counts->processes, 5U);
  EXPECT_EQ(counts->threads, 5U);
  EXPECT_EQ(counts->process_states['D'], 1U);
  EXPECT_EQ(counts->process_states['S'], 4U);
  EXPECT_EQ(counts->thread_states['D'], 1U);
  EXPECT_EQ(counts->thread_states['S'], 4U);

  // Where status does not answer either, the others are counted.
  const auto fewer = count_processes(tree.path("proc"), silent.hooks());
  ASSERT_TRUE(fewer) << testing::error_text(fewer);
  EXPECT_EQ(fewer->processes, 4U);
}

TEST(Processes, BrokenFilesAreErrorsThatNameTheFile) {
  FixtureTree tree;
  write_limits(tree);
  write_task(tree, 1, 1, 'S', 1);
  const auto text = [&] {
    return testing::error_text(run_once(kProcessesCollector, tree.files()));
  };
  EXPECT_EQ(text(), "");

  tree.write("proc/77/stat", "");
  EXPECT_NE(text().find("proc/77/stat line 1: expected a name in parentheses"), std::string::npos)
      << text();
  tree.write("proc/77/stat", stat_line(77, 'S', 1).substr(0, 40));
  EXPECT_NE(text().find("proc/77/stat line 1: expected"), std::string::npos) << text();
  std::string many;
  while (many.size() < 100'000) {
    many += stat_line(77, 'S', 1);
  }
  tree.write("proc/77/stat", many);
  EXPECT_NE(text().find("proc/77/stat line 1: expected a shorter line"), std::string::npos);
  tree.remove("proc/77/stat");
  ASSERT_EQ(::mkfifo(tree.path("proc/77/stat").c_str(), 0600), 0);
  EXPECT_NE(text(), "");
  tree.remove("proc/77");

  tree.write("proc/sys/kernel/pid_max", "many\n");
  EXPECT_NE(text().find("sys/kernel/pid_max line 1: expected a number"), std::string::npos);
  tree.remove("proc/sys/kernel/threads-max");
  EXPECT_NE(text().find("missing: "), std::string::npos) << text();
}

TEST(Processes, NoProcfs) {
  FixtureTree tree;
  const auto counts = count_processes(tree.path("proc"));
  ASSERT_FALSE(counts);
  EXPECT_EQ(counts.error().kind, ErrorKind::kMissing);
}

std::size_t open_descriptors() {
  const auto names = list_directory("/proc/self/fd");
  return names ? names->size() : 0;
}

TEST(Processes, ThisMachine) {
  std::latch started(3);
  std::latch end(1);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      started.count_down();
      end.wait();
    });
  }
  started.wait();
  const std::size_t before = open_descriptors();
  // Others come and go during the walk, so one that nobody disturbed is waited for.
  bool undisturbed = false;
  for (int i = 0; i < 50 && !undisturbed; ++i) {
    const auto counts = count_processes("/proc");
    ASSERT_TRUE(counts) << testing::error_text(counts);
    EXPECT_GE(counts->processes, 1U);
    EXPECT_GE(counts->threads, counts->processes + 3);
    EXPECT_EQ(sum(counts->process_states), counts->processes);
    EXPECT_GE(counts->thread_states['R'], 1U) << "the thread that reads runs";
    undisturbed = sum(counts->thread_states) == counts->threads;
  }
  EXPECT_TRUE(undisturbed);
  // A thread that was left behind, because its read took too long, closes what it has open when it comes back.
  for (int i = 0; i < 500 && open_descriptors() != before; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(open_descriptors(), before);
  end.count_down();
}

}  // namespace
}  // namespace tidegauge
