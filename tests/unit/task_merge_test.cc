// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_merge.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "collectors/process/task_counters.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::uint32_t kAllFeatures =
    TG_FEATURE_STORAGE | TG_FEATURE_SYSCALLS | TG_FEATURE_DELAYS | TG_FEATURE_RUN_DELAY;
constexpr std::uint32_t kSleeping = 1;
constexpr std::uint32_t kUninterruptible = 2;

using Field = std::pair<__u64 tg_task_counters::*, std::uint64_t>;

tg_task_counters work(std::initializer_list<Field> fields) {
  tg_task_counters out{};
  for (const auto& [member, value] : fields) {
    out.*member = value;
  }
  return out;
}

tg_task_counters faulting(std::uint64_t count) {
  return work({{&tg_task_counters::min_flt, count}});
}

struct Task {
  tg_process_key process{};
  std::uint32_t tid = 0;
  tg_task_counters own{};
  std::uint32_t state = kSleeping;
  std::uint32_t flags = 0;
};

struct Leader {
  Task task;
  std::uint64_t start_ns = 1000;
  std::string comm = "worker";
  std::uint32_t threads = 1;
  std::uint32_t uid = 7;
  std::uint64_t cgroup_key = 11;
};

template <class T>
void append(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

tg_thread_record thread_record(const Task& task) {
  tg_thread_record record{};
  record.flags = task.flags;
  record.bytes = sizeof(record);
  record.process = task.process;
  record.tid = task.tid;
  record.state = task.state;
  record.own = task.own;
  return record;
}

std::string record_of(const Task& task) {
  std::string out;
  append(out, thread_record(task));
  return out;
}

tg_leader_record leader_record(const Leader& leader) {
  tg_leader_record record{};
  record.thread = thread_record(leader.task);
  record.thread.flags |= TG_LEADER;
  record.thread.bytes = sizeof(record);
  record.start_ns = leader.start_ns;
  record.cgroup_key = leader.cgroup_key;
  record.parent = 1;
  record.uid = leader.uid;
  record.threads = leader.threads;
  leader.comm.copy(record.comm, sizeof(record.comm));
  record.file_pages = 1;
  record.anon_pages = 2;
  record.swap_pages = 3;
  record.shmem_pages = 4;
  return record;
}

std::string record_of(const Leader& leader) {
  std::string out;
  append(out, leader_record(leader));
  return out;
}

std::string record_of(const Leader& leader, const tg_task_counters& base) {
  tg_leader_record record = leader_record(leader);
  record.thread.flags |= TG_HAS_BASE;
  record.thread.bytes = sizeof(record) + sizeof(base);
  std::string out;
  append(out, record);
  append(out, base);
  return out;
}

std::string same(std::uint32_t tid, std::uint32_t flags = 0, std::uint32_t state = kSleeping) {
  const tg_same_record record{
      .flags = TG_SAME | flags, .bytes = sizeof(record), .tid = tid, .state = state};
  std::string out;
  append(out, record);
  return out;
}

struct Exit {
  tg_process_key process{};
  tg_task_counters sum{};
  std::uint64_t processes = 0;
  std::uint64_t delays = 0;
  std::string comm = "worker";
  std::uint32_t flags = 0;
};

struct Step {
  std::string records;
  std::vector<Exit> exits = {};
};

constexpr tg_process_key kFirst{.signal = 0xFFFF888000001000, .tgid = 100, .zero = 0};
constexpr tg_process_key kSecond{.signal = 0xFFFF888000002000, .tgid = 100, .zero = 0};

TaskPass run(TaskMerge& merge, const Step& step, std::uint32_t features = kAllFeatures) {
  TaskPass out;
  merge.begin();
  const auto added = merge.add_records({step.records.data(), step.records.size()});
  EXPECT_TRUE(added) << testing::error_text(added);
  merge.set_features(features);
  for (const Exit& one : step.exits) {
    tg_exit ended{};
    ended.sum = one.sum;
    ended.tasks = 1;
    ended.processes = one.processes;
    ended.delays = one.delays;
    ended.cgroup_key = 11;
    ended.uid = 7;
    ended.flags = one.flags;
    one.comm.copy(ended.comm, sizeof(ended.comm));
    merge.add_exit(one.process, ended, out);
  }
  merge.finish(out);
  return out;
}

// Of one process in one pass: what its minor faults came to, and whether it lived.
struct Seen {
  std::uint32_t pid = 100;
  std::uint64_t faults = 0;
  bool alive = true;
  friend bool operator==(const Seen&, const Seen&) = default;
};

void PrintTo(const Seen& seen, std::ostream* out) {
  *out << seen.pid << ": " << seen.faults << (seen.alive ? "" : " gone");
}

std::vector<Seen> seen_in(const TaskPass& pass) {
  std::vector<Seen> out;
  for (const ProcessSample& sample : pass.processes) {
    out.push_back({sample.key.pid, sample.counters[TaskCounter::kMinorFaults], sample.alive});
  }
  return out;
}

std::uint64_t exited_faults(const TaskPass& pass) {
  std::uint64_t out = 0;
  for (const ExitedSample& exited : pass.exited) {
    out += exited.counters[TaskCounter::kMinorFaults];
  }
  return out;
}

struct Expected {
  Step step;
  std::vector<Seen> processes;
  std::uint64_t exited = 0;  // faults of those known from the exit map alone
  std::uint64_t lost_exits = 0;
};

Leader leader_of(const tg_process_key& key, std::uint64_t faults, std::uint64_t start_ns = 1000,
                 std::uint32_t threads = 1) {
  return {.task = {.process = key, .tid = key.tgid, .own = faulting(faults)},
          .start_ns = start_ns,
          .threads = threads};
}

std::string lead(const tg_process_key& key, std::uint64_t faults, std::uint64_t start_ns = 1000,
                 std::uint32_t threads = 1) {
  return record_of(leader_of(key, faults, start_ns, threads));
}

std::string thread(const tg_process_key& key, std::uint32_t tid, std::uint64_t faults) {
  return record_of(Task{.process = key, .tid = tid, .own = faulting(faults)});
}

Exit ended(const tg_process_key& key, std::uint64_t faults, std::uint64_t processes = 0) {
  return {.process = key, .sum = faulting(faults), .processes = processes};
}

void check(const std::vector<Expected>& steps) {
  TaskMerge merge;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const TaskPass pass = run(merge, steps[i].step);
    EXPECT_EQ(seen_in(pass), steps[i].processes) << "pass " << i;
    EXPECT_EQ(exited_faults(pass), steps[i].exited) << "pass " << i;
    EXPECT_EQ(pass.lost_exits, steps[i].lost_exits) << "pass " << i;
  }
}

TEST(TaskMerge, OneProcess) {
  check({
      {{lead(kFirst, 5)}, {{.faults = 5}}},
      {{lead(kFirst, 9)}, {{.faults = 9}}},
      {{"", {ended(kFirst, 12, 1)}}, {{.faults = 12, .alive = false}}},
      {{""}, {}},
  });
}

TEST(TaskMerge, ThreadEndsBetweenPasses) {
  check({
      {{lead(kFirst, 5) + thread(kFirst, 101, 20)}, {{.faults = 25}}},
      {{lead(kFirst, 6), {ended(kFirst, 21)}}, {{.faults = 27}}},
      {{lead(kFirst, 6)}, {{.faults = 27}}},
  });
}

TEST(TaskMerge, ThreadInNeitherPlaceHoldsTheSum) {
  check({
      {{lead(kFirst, 5) + thread(kFirst, 101, 20)}, {{.faults = 25}}},
      {{lead(kFirst, 7)}, {{.faults = 25}}},                       // not 7
      {{lead(kFirst, 8), {ended(kFirst, 30)}}, {{.faults = 38}}},  // caught up
  });
}

// Seen alive in a pass, its end came during it.
TEST(TaskMerge, ThreadsExitIsDrainedInThePassAfter) {
  check({
      {{lead(kFirst, 5) + thread(kFirst, 101, 20) + thread(kFirst, 102, 1)}, {{.faults = 26}}},
      {{lead(kFirst, 5) + thread(kFirst, 102, 1), {ended(kFirst, 20)}}, {{.faults = 26}}},
  });
}

TEST(TaskMerge, AllThreadsEndWithTheLeader) {
  check({
      {{lead(kFirst, 5) + thread(kFirst, 101, 20)}, {{.faults = 25}}},
      {{"", {ended(kFirst, 30, 1)}}, {{.faults = 30, .alive = false}}},
      // A callback of another CPU came later: nobody's but the name's.
      {{"", {ended(kFirst, 4)}}, {}, 4},
  });
}

std::string zombie(const tg_process_key& key, std::uint64_t faults, std::uint64_t start_ns = 1000) {
  Leader leader = leader_of(key, faults, start_ns);
  leader.task.flags = TG_ACCOUNTED;
  return record_of(leader);
}

// Its leader came and left (pthread_exit) between two passes, another thread works on.
TEST(TaskMerge, AProcessWhoseLeaderWasNeverSeenAliveIsShown) {
  Leader leader = leader_of(kFirst, 5);
  leader.task.flags = TG_ACCOUNTED;
  leader.threads = 2;
  const std::string both = record_of(leader) + thread(kFirst, 101, 20);
  check({
      {{both, {ended(kFirst, 5)}}, {{.faults = 20}}, 5},
      {{both}, {{.faults = 20}}},
  });
}

// What it did is in the exit map from the moment it is on its way out.
TEST(TaskMerge, AZombieIsCountedOnce) {
  check({
      {{lead(kFirst, 5)}, {{.faults = 5}}},
      {{zombie(kFirst, 8)}, {{.faults = 5}}},  // its end is in the other map
      {{zombie(kFirst, 8), {ended(kFirst, 8, 1)}}, {{.faults = 8}}},
      {{zombie(kFirst, 8)}, {{.faults = 8}}},
      {{""}, {{.faults = 8, .alive = false}}},
  });
}

TEST(TaskMerge, AZombieNobodySawAliveIsToldAmongTheEnded) {
  check({
      {{zombie(kFirst, 8), {ended(kFirst, 8, 1)}}, {}, 8},
      {{zombie(kFirst, 8)}, {}},
      {{""}, {}},
  });
  std::vector<Expected> steps = {{{thread(kFirst, 101, 20)}, {}}};
  steps.push_back({{zombie(kFirst, 5), {ended(kFirst, 30, 1)}}, {}, 30});
  steps.push_back({{zombie(kFirst, 5)}, {}});
  check(steps);
}

TEST(TaskMerge, AThreadOnItsWayOutIsCountedOnce) {
  Task leaving{.process = kFirst, .tid = 101, .own = faulting(20), .flags = TG_ACCOUNTED};
  check({
      {{lead(kFirst, 5) + thread(kFirst, 101, 19)}, {{.faults = 24}}},
      {{lead(kFirst, 5) + record_of(leaving), {ended(kFirst, 20)}}, {{.faults = 25}}},
      {{lead(kFirst, 6)}, {{.faults = 26}}},
  });
}

TEST(TaskMerge, ALeaderThatEndsBeforeItsThreads) {
  check({
      {{lead(kFirst, 5) + thread(kFirst, 101, 20)}, {{.faults = 25}}},
      {{zombie(kFirst, 6) + thread(kFirst, 101, 21), {ended(kFirst, 6)}}, {{.faults = 27}}},
      {{zombie(kFirst, 6), {ended(kFirst, 30, 1)}}, {{.faults = 36}}},
      {{""}, {{.faults = 36, .alive = false}}},
  });
}

TEST(TaskMerge, AZombieOfBeforeTheDaemon) {
  TaskMerge merge;
  Leader leader = leader_of(kFirst, 8);
  leader.task.flags = TG_ACCOUNTED;
  const std::string record = record_of(leader, faulting(100));
  // Its end may have come after the tracepoint was attached: not twice.
  EXPECT_EQ(seen_in(run(merge, {record, {ended(kFirst, 8, 1)}})),
            (std::vector<Seen>{{.faults = 108}}));
  const TaskPass last = run(merge, {""});
  EXPECT_EQ(seen_in(last), (std::vector<Seen>{{.faults = 108, .alive = false}}));
  EXPECT_EQ(last.lost_exits, 0U);
}

TEST(TaskMerge, VanishesWithoutAnExitRecord) {
  check({
      {{lead(kFirst, 5)}, {{.faults = 5}}},
      {{""}, {}},
      {{""}, {}},
      {{""}, {}},
      {{""}, {}},
      {{""}, {{.faults = 5, .alive = false}}, 0, 1},
      {{""}, {}, 0, 1},
      {{"", {ended(kFirst, 9, 1)}}, {}, 9, 1},
  });
}

TEST(TaskMerge, ComesBackWithinTheLinger) {
  check({
      {{lead(kFirst, 5)}, {{.faults = 5}}},
      {{""}, {}},
      {{lead(kFirst, 6)}, {{.faults = 6}}},
  });
}

TEST(TaskMerge, PidComesAgainInOnePass) {
  check({
      {{lead(kFirst, 5)}, {{.faults = 5}}},
      {{lead(kSecond, 2, 2000), {ended(kFirst, 8, 1)}},
       {{.faults = 8, .alive = false}, {.faults = 2}}},
      {{lead(kSecond, 3, 2000)}, {{.faults = 3}}},
  });
}

// The allocator hands out what was freed last: with few pids the same pair can come within a pass.
TEST(TaskMerge, PidAndSignalComeAgainInOnePass) {
  check({
      {{lead(kFirst, 5)}, {{.faults = 5}}},
      {{thread(kFirst, 99, 1) + lead(kFirst, 2, 2000), {ended(kFirst, 8, 1)}},
       {{.faults = 8, .alive = false}, {.faults = 3}}},
      {{lead(kFirst, 4, 2000)}, {{.faults = 4}}},
      {{lead(kFirst, 1, 3000)}, {{.faults = 4, .alive = false}, {.faults = 1}}, 0, 1},
  });
}

TEST(TaskMerge, ThreadsBeforeTheirLeader) {
  check({{{thread(kFirst, 90, 20) + lead(kFirst, 5)}, {{.faults = 25}}}});
}

// The iterator had passed the leader's number when it was born; later passes see all.
TEST(TaskMerge, ThreadsWithoutTheirLeader) {
  std::vector<Expected> steps(7);  // a leader is new to a daemon that runs
  steps.push_back({{thread(kFirst, 101, 20)}, {}});
  steps.push_back({{lead(kFirst, 5) + thread(kFirst, 101, 21)}, {{.faults = 26}}});
  check(steps);
  steps.back() = {{"", {ended(kFirst, 30, 1)}}, {}, 30};
  steps.push_back({{""}, {}});
  check(steps);
}

TEST(TaskMerge, ExecChangesTheName) {
  TaskMerge merge;
  Leader leader = leader_of(kFirst, 5);
  leader.comm = "sh";
  EXPECT_EQ(run(merge, {record_of(leader)}).processes.at(0).comm.view(), "sh");
  leader.comm = "a name of sixteen and more";  // no NUL: cut
  EXPECT_EQ(run(merge, {record_of(leader)}).processes.at(0).comm.view(), "a name of sixte");
  Exit last = ended(kFirst, 5, 1);
  last.comm = "make";
  EXPECT_EQ(run(merge, {"", {last}}).processes.at(0).comm.view(), "make");
}

TEST(TaskMerge, BaseCountsAtFirstSightOnly) {
  TaskMerge merge;
  const tg_task_counters base = faulting(1000);
  EXPECT_EQ(seen_in(run(merge, {record_of(leader_of(kFirst, 5), base)})),
            (std::vector<Seen>{{.faults = 1005}}));
  EXPECT_EQ(seen_in(run(merge, {record_of(leader_of(kFirst, 6), base)})),
            (std::vector<Seen>{{.faults = 1006}}));
}

// Freed before the first pass began, so that signal_struct had its counters: not twice. What it does
// not sum up is only in the exit record.
TEST(TaskMerge, BaseHoldsWhatEndedBeforeIt) {
  TaskMerge merge;
  const TaskPass first =
      run(merge,
          {record_of(leader_of(kFirst, 5), faulting(1000)),
           {{.process = kFirst,
             .sum = work({{&tg_task_counters::min_flt, 40}, {&tg_task_counters::run_delay_ns, 9}}),
             .processes = 0}}});
  EXPECT_EQ(seen_in(first), (std::vector<Seen>{{.faults = 1005}}));
  EXPECT_EQ(first.processes.at(0).counters[TaskCounter::kRunDelayNs], 9U);
  EXPECT_EQ(seen_in(run(merge, {lead(kFirst, 5), {ended(kFirst, 7)}})),
            (std::vector<Seen>{{.faults = 1012}}));
}

TEST(TaskMerge, ShortLivedProcessIsKnownFromTheExitMapAlone) {
  TaskMerge merge;
  Exit one = ended(kFirst, 8, 1);
  one.comm = "a\nb\"\\\xFF";
  const TaskPass pass = run(merge, {"", {one}});
  EXPECT_TRUE(pass.processes.empty());
  ASSERT_EQ(pass.exited.size(), 1U);
  EXPECT_EQ(pass.exited[0].comm.view(), "a\nb\"\\\xFF");
  EXPECT_EQ(pass.exited[0].processes, 1U);
  EXPECT_EQ(pass.exited[0].uid, 7U);
  EXPECT_EQ(pass.exited[0].cgroup_key, 11U);
  EXPECT_FALSE(pass.exited[0].kernel_thread);
  EXPECT_EQ(merge.size(), 0U);
}

TEST(TaskMerge, SummedEntriesAreOfNoProcess) {
  constexpr tg_process_key kSummed{.signal = kFirst.signal, .tgid = 0, .zero = 0};
  TaskMerge merge;
  run(merge, {lead(kFirst, 5)});
  Exit many = ended(kSummed, 50, 12);
  many.flags = TG_KERNEL_THREAD;
  const Exit nameless = {.process = {}, .sum = faulting(6), .processes = 3, .comm = ""};
  const TaskPass pass = run(merge, {lead(kFirst, 5), {many, nameless}});
  EXPECT_EQ(seen_in(pass), (std::vector<Seen>{{.faults = 5}}));
  ASSERT_EQ(pass.exited.size(), 2U);
  EXPECT_EQ(pass.exited[0].processes, 12U);
  EXPECT_TRUE(pass.exited[0].kernel_thread);
  EXPECT_EQ(pass.exited[1].comm.view(), "");
  EXPECT_EQ(pass.exited[1].processes, 3U);
}

TEST(TaskMerge, AFailedPassLeavesNothingBehind) {
  TaskMerge merge;
  EXPECT_EQ(seen_in(run(merge, {lead(kFirst, 5)})), (std::vector<Seen>{{.faults = 5}}));
  merge.begin();
  const std::string records = lead(kFirst, 6);
  ASSERT_TRUE(merge.add_records({records.data(), records.size()}));
  // The next read failed: no finish().
  EXPECT_EQ(seen_in(run(merge, {lead(kFirst, 7)})), (std::vector<Seen>{{.faults = 7}}));
}

TEST(TaskMerge, Fields) {
  TaskMerge merge;
  Leader leader = leader_of(kFirst, 5);
  leader.task.flags = TG_HAS_MM;
  leader.task.state = 0;
  leader.threads = 3;
  leader.task.own = work({{&tg_task_counters::exec_ns, 1000},
                          {&tg_task_counters::utime_ns, 3},
                          {&tg_task_counters::stime_ns, 1},
                          {&tg_task_counters::min_flt, 10},
                          {&tg_task_counters::maj_flt, 11},
                          {&tg_task_counters::read_bytes, 12},
                          {&tg_task_counters::write_bytes, 13},
                          {&tg_task_counters::cancelled_write_bytes, 14},
                          {&tg_task_counters::rchar, 15},
                          {&tg_task_counters::wchar, 16},
                          {&tg_task_counters::syscr, 17},
                          {&tg_task_counters::syscw, 18},
                          {&tg_task_counters::blkio_delay_ns, 19},
                          {&tg_task_counters::nvcsw, 20},
                          {&tg_task_counters::nivcsw, 21},
                          {&tg_task_counters::run_delay_ns, 22}});
  const TaskPass pass = run(merge, {record_of(leader)});
  const ProcessSample& sample = pass.processes.at(0);
  EXPECT_EQ(sample.key, (ProcessKey{.pid = 100, .start_ns = 1000}));
  EXPECT_EQ(sample.parent_pid, 1U);
  EXPECT_EQ(sample.uid, 7U);
  EXPECT_EQ(sample.state, 'R');
  EXPECT_FALSE(sample.kernel_thread);
  const std::pair<TaskCounter, std::uint64_t> kExpected[] = {
      {TaskCounter::kUserNs, 750},
      {TaskCounter::kSystemNs, 250},
      {TaskCounter::kMinorFaults, 10},
      {TaskCounter::kMajorFaults, 11},
      {TaskCounter::kStorageReadBytes, 12},
      {TaskCounter::kStorageWriteBytes, 13},
      {TaskCounter::kStorageCancelledBytes, 14},
      {TaskCounter::kSyscallReadBytes, 15},
      {TaskCounter::kSyscallWriteBytes, 16},
      {TaskCounter::kReadSyscalls, 17},
      {TaskCounter::kWriteSyscalls, 18},
      {TaskCounter::kVoluntarySwitches, 20},
      {TaskCounter::kInvoluntarySwitches, 21},
      {TaskCounter::kRunDelayNs, 22},
  };
  for (const auto& [field, value] : kExpected) {
    EXPECT_TRUE(sample.counters.present(field)) << static_cast<int>(field);
    EXPECT_EQ(sample.counters[field], value) << static_cast<int>(field);
  }
  EXPECT_FALSE(sample.counters.present(TaskCounter::kBlockDelayNs)) << "no TG_DELAYS";
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  EXPECT_EQ(sample.gauges[TaskGauge::kThreads], 3U);
  EXPECT_EQ(sample.gauges[TaskGauge::kFileBytes], page);
  EXPECT_EQ(sample.gauges[TaskGauge::kAnonBytes], 2 * page);
  EXPECT_EQ(sample.gauges[TaskGauge::kSwapBytes], 3 * page);
  EXPECT_EQ(sample.gauges[TaskGauge::kShmemBytes], 4 * page);
  EXPECT_EQ(pass.threads, 1U);
}

TEST(TaskMerge, NoMemoryWithoutAnAddressSpace) {
  TaskMerge merge;
  Leader leader = leader_of(kFirst, 5);
  leader.task.flags = TG_KERNEL_THREAD;
  const TaskPass pass = run(merge, {record_of(leader)});
  EXPECT_TRUE(pass.processes.at(0).kernel_thread);
  EXPECT_FALSE(pass.processes.at(0).gauges.present(TaskGauge::kAnonBytes));
  EXPECT_TRUE(pass.processes.at(0).gauges.present(TaskGauge::kThreads));
}

TEST(TaskMerge, WhatTheKernelDoesNotCountIsAbsent) {
  struct Case {
    std::uint32_t feature;
    std::vector<TaskCounter> fields;
  };
  const Case kCases[] = {
      {TG_FEATURE_STORAGE,
       {TaskCounter::kStorageReadBytes, TaskCounter::kStorageWriteBytes,
        TaskCounter::kStorageCancelledBytes}},
      {TG_FEATURE_SYSCALLS,
       {TaskCounter::kSyscallReadBytes, TaskCounter::kSyscallWriteBytes, TaskCounter::kReadSyscalls,
        TaskCounter::kWriteSyscalls}},
      {TG_FEATURE_RUN_DELAY, {TaskCounter::kRunDelayNs}},
  };
  for (const Case& one : kCases) {
    for (const bool with : {false, true}) {
      TaskMerge merge;
      const std::uint32_t features = with ? one.feature : kAllFeatures & ~one.feature;
      const TaskPass pass = run(merge, {lead(kFirst, 5), {ended(kSecond, 1, 1)}}, features);
      for (const TaskCounter field : one.fields) {
        EXPECT_EQ(pass.processes.at(0).counters.present(field), with) << static_cast<int>(field);
        EXPECT_EQ(pass.exited.at(0).counters.present(field), with) << static_cast<int>(field);
      }
      EXPECT_TRUE(pass.processes.at(0).counters.present(TaskCounter::kMinorFaults));
    }
  }
}

// One thread with delay accounting makes the sum mean something, and it stays so.
TEST(TaskMerge, DelaysOfAnyThread) {
  TaskMerge merge;
  const auto present = [](const TaskPass& pass) {
    return pass.processes.at(0).counters.present(TaskCounter::kBlockDelayNs);
  };
  EXPECT_FALSE(present(run(merge, {lead(kFirst, 5)})));
  const Task accounted = {.process = kFirst,
                          .tid = 101,
                          .own = work({{&tg_task_counters::blkio_delay_ns, 77}}),
                          .flags = TG_DELAYS};
  EXPECT_TRUE(present(run(merge, {lead(kFirst, 5) + record_of(accounted)})));
  const TaskPass later = run(merge, {lead(kFirst, 5)});
  EXPECT_TRUE(present(later));
  EXPECT_EQ(later.processes.at(0).counters[TaskCounter::kBlockDelayNs], 77U);
  Exit one = ended(kSecond, 1, 1);
  EXPECT_FALSE(run(merge, {"", {one}}).exited.at(0).counters.present(TaskCounter::kBlockDelayNs));
  one.delays = 1;
  EXPECT_TRUE(run(merge, {"", {one}}).exited.at(0).counters.present(TaskCounter::kBlockDelayNs));
}

TEST(TaskMerge, StateLetters) {
  const std::pair<std::uint32_t, char> kCases[] = {
      {0x0, 'R'},    {0x1, 'S'},   {0x2, 'D'},    {0x4, 'T'},        {0x8, 't'},
      {0x10, 'X'},   {0x20, 'Z'},  {0x40, 'P'},   {0x402, 'I'},      {0x102, 'D'},
      {0x80, 'R'},   {0xA0, 'Z'},  {0x8000, 'D'}, {0x1000, 'D'},     {0x2001, 'S'},
      {0x2402, 'I'}, {0x400, 'R'}, {0x30, 'Z'},   {0xFFFF0000, 'R'}, {0x401, 'S'},
  };
  for (const auto& [state, letter] : kCases) {
    EXPECT_EQ(task_state_letter(state), letter) << std::hex << state;
  }
}

TEST(TaskMerge, StuckThreads) {
  TaskMerge merge;
  Leader leader = leader_of(kFirst, 5);
  leader.task.state = kUninterruptible;
  leader.task.own.nvcsw = 3;
  leader.task.own.nivcsw = 4;
  Task other = {.process = kFirst, .tid = 101, .state = kUninterruptible};
  const Task orphan = {.process = kSecond, .tid = 200, .state = kUninterruptible};
  const TaskPass pass = run(merge, {record_of(leader) + record_of(other) + record_of(orphan)});
  EXPECT_EQ(pass.stuck_threads, 3U);
  ASSERT_EQ(pass.stuck.size(), 2U) << "a thread whose process is unknown has no files to ask";
  EXPECT_EQ(pass.stuck[0].process.pid, 100U);
  EXPECT_EQ(pass.stuck[0].switches, 7U);
  EXPECT_EQ(pass.stuck[0].comm.view(), "worker");
  EXPECT_EQ(pass.stuck[1].tid, 101U);

  std::string many = record_of(leader);
  for (std::uint32_t tid = 101; tid < 101 + 2 * kMaxStuckThreads; ++tid) {
    other.tid = tid;
    many += record_of(other);
  }
  const TaskPass flood = run(merge, {many});
  EXPECT_EQ(flood.stuck.size(), kMaxStuckThreads);
  EXPECT_EQ(flood.stuck_threads, 2 * kMaxStuckThreads + 1);
}

TEST(TaskMerge, WhoHasNotRunIsAsBefore) {
  check({
      {{lead(kFirst, 5, 1000, 2) + thread(kFirst, 101, 20)}, {{.faults = 25}}},
      {{same(100, TG_LEADER) + same(101)}, {{.faults = 25}}},
      {{same(100, TG_LEADER) + thread(kFirst, 101, 23)}, {{.faults = 28}}},
      {{lead(kFirst, 6, 1000, 2) + same(101)}, {{.faults = 29}}},
      {{same(100, TG_LEADER), {ended(kFirst, 24)}}, {{.faults = 30}}},
      {{same(100, TG_LEADER)}, {{.faults = 30}}},
      {{same(100, TG_LEADER) + thread(kFirst, 102, 1)}, {{.faults = 31}}},
      {{"", {ended(kFirst, 7, 1)}}, {{.faults = 31, .alive = false}}},
  });
}

TEST(TaskMerge, WhoHasNotRunNeedOnlyBeNamed) {
  TaskMerge merge;
  run(merge, {lead(kFirst, 5)});
  TaskPass out;
  out.idle_by_key = true;
  const auto pass = [&](const std::string& records) {
    out.clear();
    merge.begin();
    EXPECT_TRUE(merge.add_records({records.data(), records.size()}));
    merge.set_features(kAllFeatures & ~std::uint32_t{TG_FEATURE_DELAYS});
    merge.finish(out);
  };
  pass(same(100, TG_LEADER));
  EXPECT_TRUE(out.processes.empty());
  EXPECT_EQ(out.idle, (std::vector<ProcessKey>{{.pid = 100, .start_ns = 1000}}));
  pass(lead(kFirst, 6));
  EXPECT_TRUE(out.idle.empty());
  EXPECT_EQ(seen_in(out), (std::vector<Seen>{{.faults = 6}}));
}

TEST(TaskMerge, WhoIsLeftAloneIsAsBefore) {
  check({
      {{lead(kFirst, 5, 1000, 2) + thread(kFirst, 101, 20)}, {{.faults = 25}}},
      {{same(100, TG_LEADER), {ended(kFirst, 20)}}, {{.faults = 25}}},
      {{same(100, TG_LEADER)}, {{.faults = 25}}},
      {{lead(kFirst, 6)}, {{.faults = 26}}},
      {{same(100, TG_LEADER)}, {{.faults = 26}}},
  });
}

TEST(TaskMerge, AStuckThreadNeedNotRunToBeSeen) {
  TaskMerge merge;
  Leader leader = leader_of(kFirst, 5);
  leader.task.state = kUninterruptible;
  leader.task.own.nvcsw = 3;
  run(merge, {record_of(leader)});
  const TaskPass pass = run(merge, {same(100, TG_LEADER, kUninterruptible)});
  ASSERT_EQ(pass.stuck.size(), 1U);
  EXPECT_EQ(pass.stuck[0].switches, 3U);
  EXPECT_EQ(pass.processes.at(0).state, 'D');
}

TEST(TaskMerge, SameAsNothingIsRefused) {
  for (const std::uint32_t tid : {99U, 101U}) {
    TaskMerge merge;
    run(merge, {lead(kFirst, 5)});
    const std::string records = same(tid);
    merge.begin();
    EXPECT_FALSE(merge.add_records({records.data(), records.size()})) << tid;
  }
  TaskMerge merge;
  run(merge, {lead(kFirst, 5)});
  merge.begin();  // a pass that saw nobody
  const std::string records = same(100, TG_LEADER);
  merge.begin();
  EXPECT_FALSE(merge.add_records({records.data(), records.size()}));
}

TEST(TaskMerge, TheLastSliceOfTheEndedIsSampled) {
  TaskMerge merge;
  tg_exit ended{};
  ended.tasks = 500;
  ended.processes = 500;
  ended.sum.exec_ns = 100'000'000;
  ended.sum.utime_ns = 400'000'000;
  ended.sum.stime_ns = 100'000'000;
  const auto total = [&] {
    TaskPass out;
    merge.begin();
    merge.set_features(kAllFeatures);
    merge.add_exit({}, ended, out);
    merge.finish(out);
    const TaskCounters& counters = out.exited.at(0).counters;
    return counters[TaskCounter::kUserNs] + counters[TaskCounter::kSystemNs];
  };
  EXPECT_EQ(total(), 500'000'000U);
  ended.tasks = 1;  // has run for ten milliseconds since at most: the rest is the sampling's error
  EXPECT_EQ(total(), 110'000'000U);
  ended.sum.utime_ns = 0;
  EXPECT_EQ(total(), 100'000'000U);
}

TEST(TaskMerge, OfWhoIsGoneNobodyLives) {
  // Its mark was forgotten while it hangs on its way out: the iterator tells it as alive.
  check({
      {{lead(kFirst, 5)}, {{.faults = 5}}},
      {{lead(kFirst, 9), {ended(kFirst, 9, 1)}}, {{.faults = 9}}},
      {{lead(kFirst, 9)}, {{.faults = 9}}},
      {{""}, {{.faults = 9, .alive = false}}},
  });
}

TEST(TaskMerge, ZombiesNobodySawAliveAreCountedAsSuch) {
  TaskMerge merge;
  const TaskPass pass = run(merge, {zombie(kFirst, 5) + lead(kSecond, 1)});
  EXPECT_EQ(pass.unlisted_zombies, 1U);
  EXPECT_EQ(pass.threads, 2U);
  EXPECT_EQ(pass.processes.size(), 1U);
}

TEST(TaskMerge, DelaysAreWithdrawnWhenTheyAreSwitchedOff) {
  TaskMerge merge;
  Leader leader = leader_of(kFirst, 5);
  leader.task.flags = TG_DELAYS;
  const TaskPass on = run(merge, {record_of(leader)});
  EXPECT_TRUE(on.processes.at(0).counters.present(TaskCounter::kBlockDelayNs));
  const TaskPass off =
      run(merge, {same(100, TG_LEADER)}, kAllFeatures & ~std::uint32_t{TG_FEATURE_DELAYS});
  EXPECT_FALSE(off.processes.at(0).counters.present(TaskCounter::kBlockDelayNs));
}

// A thread that calls exec while it is looked at shows its leader's number ahead of its turn.
TEST(TaskMerge, OnesMetTwiceAreCountedOnceAndJumpsAreRefused) {
  const tg_process_key other{.signal = 0xFFFF888000003000, .tgid = 70, .zero = 0};
  TaskMerge merge;
  const TaskPass twice = run(merge, {lead(kFirst, 5) + lead(kFirst, 5)});
  EXPECT_EQ(seen_in(twice), (std::vector<Seen>{{.faults = 5}}));
  merge.begin();
  const std::string jump = lead(kFirst, 6) + lead(other, 3) + lead(kFirst, 6);
  EXPECT_FALSE(merge.add_records({jump.data(), jump.size()}));
  const TaskPass again = run(merge, {lead(other, 3) + lead(kFirst, 6)});
  EXPECT_EQ(seen_in(again), (std::vector<Seen>{{.faults = 6}, {.pid = 70, .faults = 3}}));
}

TEST(TaskMerge, BrokenRecordsAreRefused) {
  const std::string good = lead(kFirst, 5) + thread(kFirst, 101, 1);
  for (std::size_t length = 1; length < good.size(); ++length) {
    TaskMerge merge;
    merge.begin();
    const auto added = merge.add_records({good.data(), length});
    EXPECT_EQ(static_cast<bool>(added), length == sizeof(tg_leader_record)) << length;
    if (!added) {
      EXPECT_EQ(added.error().kind, ErrorKind::kMalformed);
    }
    TaskPass out;
    merge.finish(out);
  }
  for (const std::uint32_t bytes : {0U, 1U, 7U, 183U, 185U, 4096U, 0xFFFFFFFFU}) {
    TaskMerge merge;
    merge.begin();
    std::string wrong = good;
    std::memcpy(wrong.data() + offsetof(tg_thread_record, bytes), &bytes, sizeof(bytes));
    EXPECT_FALSE(merge.add_records({wrong.data(), wrong.size()})) << bytes;
  }
}

TEST(TaskMerge, RandomBytesDoNoHarm) {
  std::mt19937 random(20240229);
  TaskMerge merge;
  for (int i = 0; i < 2000; ++i) {
    std::string records = lead(kFirst, 5) + thread(kSecond, 101, 1);
    for (int n = 0; n < 4; ++n) {
      records[random() % records.size()] = static_cast<char>(random());
    }
    merge.begin();
    (void)merge.add_records({records.data(), records.size()});
    TaskPass out;
    merge.finish(out);
    for (const ProcessSample& sample : out.processes) {
      EXPECT_LT(sample.comm.view().size(), 16U);
    }
  }
}

// Sampled times jump about, the exact one does not: neither part falls and both make up the whole.
TEST(TaskMerge, CpuTimeIsMonotoneAndExact) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 50; ++round) {
    TaskMerge merge;
    tg_task_counters own{};
    std::uint64_t most = 0;
    std::uint64_t user = 0;
    std::uint64_t system = 0;
    for (int step = 0; step < 200; ++step) {
      // Now and then less than before: a thread is in neither place.
      own.exec_ns = random() % 10 == 0 ? own.exec_ns / 2 : own.exec_ns + random() % 1'000'000'000;
      own.utime_ns = random() % 3 == 0 ? 0 : random() % (1ULL << (random() % 63));
      own.stime_ns = random() % 3 == 0 ? 0 : random() % (1ULL << (random() % 63));
      most = std::max<std::uint64_t>(most, own.exec_ns);
      Leader leader = leader_of(kFirst, 0);
      leader.task.own = own;
      const TaskPass pass = run(merge, {record_of(leader)});
      const TaskCounters& now = pass.processes.at(0).counters;
      ASSERT_GE(now[TaskCounter::kUserNs], user);
      ASSERT_GE(now[TaskCounter::kSystemNs], system);
      user = now[TaskCounter::kUserNs];
      system = now[TaskCounter::kSystemNs];
      ASSERT_EQ(user + system, most);
    }
  }
}

// Tracks every thread by itself. Threads are born, work and end, leaders before others too; zombies are
// reaped some passes later; ends happen before the pass or during it; pids come again.
class Oracle {
 public:
  explicit Oracle(std::uint64_t seed) : random_(seed) {}

  Step next() {
    for (int i = 0; i < 4; ++i) {
      act();
    }
    std::vector<Exit> drained = std::exchange(freed_during_, {});
    free_some(drained);
    Step step{.records = dump(), .exits = sum_up(drained)};
    // While the pass runs: seen alive, and the end goes to the other map.
    if (random_() % 2 == 0) {
      end_one();
    }
    free_some(freed_during_);
    return step;
  }

  Step quiet() {
    std::vector<Exit> drained = std::exchange(freed_during_, {});
    for (Ended& one : limbo_) {
      drained.push_back(one.exit);
    }
    limbo_.clear();
    return {.records = dump(), .exits = sum_up(drained)};
  }

  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] std::uint64_t born() const { return born_; }

 private:
  struct Thread {
    std::uint32_t tid;
    std::uint64_t faults;
    bool ended = false;
  };
  struct Process {
    tg_process_key key;
    std::uint64_t start_ns;
    std::vector<Thread> threads;  // the leader first; zombies until they are reaped
  };
  struct Ended {
    Exit exit;
  };

  void act() {
    switch (random_() % 8) {
      case 0:
        return give_birth();
      case 1:
        return end_one();
      case 2:
        if (Process* one = any(); one != nullptr && running(*one) != 0) {
          one->threads.push_back({random_() % 2 == 0 ? low_tid_++ : high_tid_++, 0});
        }
        return;
      case 3:
        return reap();
      default:
        if (Process* one = any()) {
          Thread& thread = one->threads[random_() % one->threads.size()];
          const std::uint64_t more = thread.ended ? 0 : random_() % 100;
          thread.faults += more;
          total_ += more;
        }
    }
  }

  void give_birth() {
    if (live_.size() >= 12) {
      return;
    }
    ++born_;
    const auto pid = static_cast<std::uint32_t>(1'000'000 + random_() % 20);
    for (const Process& one : live_) {
      if (one.key.tgid == pid) {
        return static_cast<void>(--born_);
      }
    }
    live_.push_back({{.signal = born_ * 64, .tgid = pid, .zero = 0}, born_ * 1000, {{pid, 0}}});
  }

  static std::ptrdiff_t running(const Process& one) {
    return std::count_if(one.threads.begin(), one.threads.end(),
                         [](const Thread& thread) { return !thread.ended; });
  }

  void end_one() {
    Process* one = any();
    if (one == nullptr) {
      return;
    }
    Thread& which = one->threads[random_() % one->threads.size()];
    if (!which.ended) {
      which.ended = true;
      limbo_.push_back({ended(one->key, which.faults, running(*one) == 0 ? 1 : 0)});
    }
  }

  // Threads at any time, a leader when it is the last.
  void reap() {
    Process* one = any();
    if (one == nullptr) {
      return;
    }
    const auto others = one->threads.begin() + 1;
    one->threads.erase(std::remove_if(others, one->threads.end(),
                                      [](const Thread& thread) { return thread.ended; }),
                       one->threads.end());
    if (one->threads.size() == 1 && one->threads[0].ended) {
      live_.erase(live_.begin() + (one - live_.data()));
    }
  }

  // In order here; out of order is AllThreadsEndWithTheLeader's business.
  void free_some(std::vector<Exit>& map) {
    while (!limbo_.empty() && random_() % 3 != 0) {
      map.push_back(limbo_.front().exit);
      limbo_.erase(limbo_.begin());
    }
  }

  // By rising tid; what has not changed in short or in full.
  std::string dump() {
    std::map<std::uint32_t, std::string> now;
    for (const Process& one : live_) {
      for (std::size_t i = 1; i < one.threads.size(); ++i) {
        const Thread& other = one.threads[i];
        now[other.tid] = record_of(Task{.process = one.key,
                                        .tid = other.tid,
                                        .own = faulting(other.faults),
                                        .flags = other.ended ? std::uint32_t{TG_ACCOUNTED} : 0U});
      }
      const Thread& first = one.threads[0];
      now[first.tid] = first.ended ? zombie(one.key, first.faults, one.start_ns)
                                   : lead(one.key, first.faults, one.start_ns,
                                          static_cast<std::uint32_t>(one.threads.size()));
    }
    std::string records;
    for (const auto& [tid, record] : now) {
      const auto last = told_.find(tid);
      const bool unchanged = last != told_.end() && last->second == record;
      tg_thread_record head{};
      std::memcpy(&head, record.data(), sizeof(head));
      const bool ended = (head.flags & TG_ACCOUNTED) != 0;
      records +=
          unchanged && !ended && random_() % 4 != 0 ? same(tid, head.flags & TG_LEADER) : record;
    }
    told_ = std::move(now);
    return records;
  }

  static std::vector<Exit> sum_up(const std::vector<Exit>& ends) {
    std::vector<Exit> out;
    for (const Exit& one : ends) {
      auto at = std::find_if(out.begin(), out.end(), [&](const Exit& sum) {
        return sum.process.signal == one.process.signal;
      });
      if (at == out.end()) {
        out.push_back(one);
      } else {
        at->sum.min_flt += one.sum.min_flt;
        at->processes += one.processes;
      }
    }
    return out;
  }

  Process* any() { return live_.empty() ? nullptr : &live_[random_() % live_.size()]; }

  std::mt19937_64 random_;
  std::vector<Process> live_;
  std::vector<Ended> limbo_;  // in neither place
  std::vector<Exit> freed_during_;
  std::uint32_t low_tid_ = 1;  // numbers come round: threads below and above their leader
  std::uint32_t high_tid_ = 2'000'000;
  std::map<std::uint32_t, std::string> told_;  // by tid: the record in full of the last pass
  std::uint64_t born_ = 0;
  std::uint64_t total_ = 0;
};

// What a reader of passes adds up: last counters of each identity, and what is summed by name.
class Reader {
 public:
  void add(const TaskPass& pass) {
    for (const ProcessSample& sample : pass.processes) {
      auto& last = last_[{sample.key.pid, sample.key.start_ns}];
      const std::uint64_t now = sample.counters[TaskCounter::kMinorFaults];
      ASSERT_GE(now, last) << sample.key.pid;
      last = now;
      ends_ += sample.alive ? 0 : 1;
    }
    exited_ += exited_faults(pass);
    for (const ExitedSample& exited : pass.exited) {
      ends_ += exited.processes;
    }
  }
  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t out = exited_;
    for (const auto& [key, value] : last_) {
      out += value;
    }
    return out;
  }
  [[nodiscard]] std::uint64_t ends() const { return ends_; }

 private:
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> last_;
  std::uint64_t exited_ = 0;
  std::uint64_t ends_ = 0;
};

TEST(TaskMerge, RandomStepsAgreeWithTheOracle) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Oracle oracle(seed);
    TaskMerge merge;
    Reader reader;
    for (int step = 0; step < 500; ++step) {
      const TaskPass pass = run(merge, oracle.next());
      reader.add(pass);
      ASSERT_LE(reader.total(), oracle.total()) << "seed " << seed << " step " << step;
      ASSERT_EQ(pass.lost_exits, 0U) << "seed " << seed << " step " << step;
    }
    for (int i = 0; i < 2; ++i) {
      reader.add(run(merge, oracle.quiet()));
    }
    ASSERT_EQ(reader.total(), oracle.total()) << "seed " << seed;
    ASSERT_EQ(reader.ends() + merge.size(), oracle.born()) << "seed " << seed;
  }
}

TEST(TaskPass, KeepsNoRoomForACrowdThatIsNamedOnly) {
  TaskPass pass;
  pass.processes.resize(10'000);
  pass.clear();
  EXPECT_GE(pass.processes.capacity(), 10'000U);  // what took so much may do so again
  pass.processes.resize(100);
  pass.clear();
  EXPECT_LT(pass.processes.capacity(), 1'000U);
}

}  // namespace
}  // namespace tidegauge
