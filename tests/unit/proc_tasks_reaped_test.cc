// SPDX-License-Identifier: Apache-2.0
// Who got the I/O of a process that ended, in fake procfs trees.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "collectors/process/proc_tasks.h"
#include "tests/unit/fake_processes.h"

namespace tidegauge {
namespace {

using testing::Fake;
using testing::Host;
using testing::MaybeIo;

// What the passes must show of one counter, step by step. A step changes the tree, then a pass is
// made; `io` tells what is published then, "d" before a pid meaning its last sight.
struct Step {
  const char* what;
  void (*change)(const Host& host);
  std::map<std::string, std::uint64_t> io;
  std::uint64_t lost = 0;
};

void run_steps(const std::vector<Step>& steps) {
  Host host;
  for (const Step& step : steps) {
    step.change(host);
    const TaskPass& out = host.pass();
    std::map<std::string, std::uint64_t> io;
    for (const ProcessSample& sample : out.processes) {
      if (const MaybeIo told = host.io(sample.key.pid, sample.alive)) {
        io[(sample.alive ? "" : "d") + std::to_string(sample.key.pid)] = *told;
      }
    }
    EXPECT_EQ(io, step.io) << step.what;
    EXPECT_EQ(out.lost_exits, step.lost) << step.what;
  }
}

void family(const Host& host) {
  host.put(1, {.ppid = 0, .start = 1, .io = 0});
  host.put(10, {.ppid = 1, .minor = 50, .io = 1000});
  host.put(20, {.ppid = 10, .minor = 30, .io = 200});
}

TEST(ProcTasksReaped, ChildSeenThenReaped) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"the child did 5 more, faulted 2 more and was reaped; the parent wrote 7 itself",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 51, .child_minor = 32, .io = 1212});
       },
       {{"1", 0}, {"10", 1012}, {"d20", 200}}},
      {"after",
       [](const Host& host) { host.put(10, {.minor = 51, .child_minor = 32, .io = 1213}); },
       {{"1", 0}, {"10", 1013}}},
  });
}

TEST(ProcTasksReaped, ChildNeverSeenStaysWithItsParent) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"reaped another one",
       [](const Host& host) { host.put(10, {.minor = 50, .child_minor = 400, .io = 1300}); },
       {{"1", 0}, {"10", 1300}, {"20", 200}}},
      {"and now this one",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 50, .child_minor = 430, .io = 1500});
       },
       {{"1", 0}, {"10", 1300}, {"d20", 200}}},
  });
}

TEST(ProcTasksReaped, ReapedBeforeTheFirstPassIsTheParents) {
  run_steps({
      {"before",
       [](const Host& host) {
         host.put(10, {.ppid = 0, .minor = 9, .child_minor = 900, .io = 1000});
         host.put(20, {.ppid = 10, .minor = 3, .io = 20});
       },
       {{"10", 1000}, {"20", 20}}},
      {"SIGCHLD ignored: the old children are no proof",
       [](const Host& host) { host.gone(20); },
       {{"10", 1000}, {"d20", 20}},
       1},
  });
}

void three_generations(const Host& host) {
  family(host);
  host.put(30, {.ppid = 20, .minor = 10, .io = 40});
}

TEST(ProcTasksReaped, GrandchildAndChildInOneInterval) {
  run_steps({
      {"before", three_generations, {{"1", 0}, {"10", 1000}, {"20", 200}, {"30", 40}}},
      {"20 reaped 30 (1 more), 10 reaped 20 (2 more)",
       [](const Host& host) {
         host.gone(20);
         host.gone(30);
         host.put(10, {.minor = 50, .child_minor = 41, .io = 1243});
       },
       {{"1", 0}, {"10", 1003}, {"d20", 200}, {"d30", 40}}},
  });
}

TEST(ProcTasksReaped, ChildThatHadReapedBefore) {
  run_steps({
      {"before", three_generations, {{"1", 0}, {"10", 1000}, {"20", 200}, {"30", 40}}},
      {"20 reaped 30",
       [](const Host& host) {
         host.gone(30);
         host.put(20, {.ppid = 10, .minor = 30, .child_minor = 10, .io = 240});
       },
       {{"1", 0}, {"10", 1000}, {"20", 200}, {"d30", 40}}},
      {"10 reaped 20, and gets both",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 50, .child_minor = 40, .io = 1240});
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}}},
  });
}

TEST(ProcTasksReaped, OrphanReapedByInit) {
  run_steps({
      {"before", three_generations, {{"1", 0}, {"10", 1000}, {"20", 200}, {"30", 40}}},
      {"10 reaped 20; 1 inherited 30 and reaped it",
       [](const Host& host) {
         host.gone(20);
         host.gone(30);
         host.put(10, {.minor = 50, .child_minor = 30, .io = 1200});
         host.put(1, {.ppid = 0, .child_minor = 11, .start = 1, .io = 45});
       },
       {{"1", 5}, {"10", 1000}, {"d20", 200}, {"d30", 40}}},
  });
}

TEST(ProcTasksReaped, OrphanReapedByASubreaperBetween) {
  run_steps({
      {"before",
       [](const Host& host) {
         three_generations(host);
         host.put(40, {.ppid = 30, .minor = 7, .io = 3});
       },
       {{"1", 0}, {"10", 1000}, {"20", 200}, {"30", 40}, {"40", 3}}},
      {"30 ended and 20 got both, as a subreaper",
       [](const Host& host) {
         host.gone(30);
         host.gone(40);
         host.put(20, {.ppid = 10, .minor = 30, .child_minor = 17, .io = 243});
       },
       {{"1", 0}, {"10", 1000}, {"20", 200}, {"d30", 40}, {"d40", 3}}},
  });
}

TEST(ProcTasksReaped, SigchldIgnored) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"nobody reaped; the parent wrote 300 itself",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 90, .io = 1300});
       },
       {{"1", 0}, {"10", 1300}, {"d20", 200}},
       1},
      {"it stays so", [](const Host&) {}, {{"1", 0}, {"10", 1300}}, 1},
  });
}

TEST(ProcTasksReaped, TooFewFaultsAreNoProof) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"reaped a small one nobody saw",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 50, .child_minor = 29, .io = 1900});
       },
       {{"1", 0}, {"10", 1900}, {"d20", 200}},
       1},
  });
}

TEST(ProcTasksReaped, TwoAtOnce) {
  run_steps({
      {"before",
       [](const Host& host) {
         family(host);
         host.put(21, {.ppid = 10, .minor = 5, .major = 2, .io = 70});
       },
       {{"1", 0}, {"10", 1000}, {"20", 200}, {"21", 70}}},
      {"both reaped",
       [](const Host& host) {
         host.gone(20);
         host.gone(21);
         host.put(10, {.minor = 50, .child_minor = 35, .child_major = 2, .io = 1270});
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}, {"d21", 70}}},
  });
}

TEST(ProcTasksReaped, PidReusedInBetween) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"20 reaped, and its number taken again",
       [](const Host& host) {
         host.put(10, {.minor = 50, .child_minor = 30, .io = 1200});
         host.put(20, {.ppid = 10, .minor = 2, .start = 500, .io = 9});
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}, {"20", 9}}},
  });
}

TEST(ProcTasksReaped, AYoungerNamesakeIsNoParent) {
  run_steps({
      {"before", three_generations, {{"1", 0}, {"10", 1000}, {"20", 200}, {"30", 40}}},
      {"20 reaped 30 and was reaped; another 20 reaps as well",
       [](const Host& host) {
         host.gone(30);
         host.put(10, {.minor = 50, .child_minor = 40, .io = 1240});
         host.put(20, {.ppid = 10, .minor = 2, .child_minor = 99, .start = 500, .io = 77});
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}, {"20", 77}, {"d30", 40}}},
  });
}

TEST(ProcTasksReaped, LeftAfterItsParentWasRead) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"listed, then gone; the parent was read before",
       [](const Host& host) { host.hollow(20); },
       {{"1", 0}, {"10", 1000}, {"d20", 200}}},
      {"now the parent shows it",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 50, .child_minor = 30, .io = 1204});
       },
       {{"1", 0}, {"10", 1004}}},
  });
}

TEST(ProcTasksReaped, LeftAfterItsParentWasReadAndNobodyReaped) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"listed, then gone",
       [](const Host& host) { host.hollow(20); },
       {{"1", 0}, {"10", 1000}, {"d20", 200}}},
      {"nothing", [](const Host& host) { host.gone(20); }, {{"1", 0}, {"10", 1000}}, 1},
  });
}

TEST(ProcTasksReaped, ChainWhoseMiddleLeftDuringThePass) {
  run_steps({
      {"before", three_generations, {{"1", 0}, {"10", 1000}, {"20", 200}, {"30", 40}}},
      {"20 reaped 30, then 10 reaped 20 after 10 was read",
       [](const Host& host) {
         host.gone(30);
         host.hollow(20);
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}, {"d30", 40}}},
      {"10 shows both",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 50, .child_minor = 40, .io = 1240});
       },
       {{"1", 0}, {"10", 1000}}},
  });
}

TEST(ProcTasksReaped, IoThatShowsOnePassLate) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"reaped between the reads of io and stat; 10 of its own",
       [](const Host& host) {
         host.hollow(20);
         host.put(10, {.minor = 50, .child_minor = 30, .io = 1010});
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}}},
      {"io has it now, and 3 more of its own",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 50, .child_minor = 30, .io = 1213});
       },
       {{"1", 0}, {"10", 1013}}},
      {"the debt is paid",
       [](const Host& host) { host.put(10, {.minor = 50, .child_minor = 30, .io = 1413}); },
       {{"1", 0}, {"10", 1213}}},
  });
}

TEST(ProcTasksReaped, FaultsThatIoDoesNotConfirmAreNoProof) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"faults say reaped, io does not",
       [](const Host& host) {
         host.hollow(20);
         host.put(10, {.minor = 50, .child_minor = 30, .io = 1000});
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}}},
      {"still not: it reaped another one",
       [](const Host& host) { host.gone(20); },
       {{"1", 0}, {"10", 1000}},
       1},
      {"its own",
       [](const Host& host) { host.put(10, {.minor = 50, .child_minor = 30, .io = 1100}); },
       {{"1", 0}, {"10", 1100}},
       1},
  });
}

TEST(ProcTasksReaped, AReaperThatEndsWithItsIoBehind) {
  run_steps({
      {"before", three_generations, {{"1", 0}, {"10", 1000}, {"20", 200}, {"30", 40}}},
      {"20 reaped 30, io behind",
       [](const Host& host) {
         host.hollow(30);
         host.put(20, {.ppid = 10, .minor = 30, .child_minor = 10, .io = 200});
       },
       {{"1", 0}, {"10", 1000}, {"20", 200}, {"d30", 40}}},
      {"10 reaped 20 with all of it",
       [](const Host& host) {
         host.gone(20);
         host.gone(30);
         host.put(10, {.minor = 50, .child_minor = 40, .io = 1240});
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}}},
  });
}

TEST(ProcTasksReaped, ZombiesAndKernelThreadsLoseNothing) {
  run_steps({
      {"before",
       [](const Host& host) {
         family(host);
         host.put(20, {.state = 'Z', .ppid = 10, .minor = 30, .memory = 0, .io = 200});
         host.put(30, {.ppid = 2, .flags = 0x00200000, .memory = 0, .io = 5});
       },
       {{"1", 0}, {"10", 1000}, {"20", 200}, {"30", 5}}},
      {"both gone without a trace",
       [](const Host& host) {
         host.gone(20);
         host.gone(30);
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}, {"d30", 5}}},
  });
}

TEST(ProcTasksReaped, AParentThatIsNewAndReapsAtOnce) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"a shell with a life of its own",
       [](const Host& host) { host.put(40, {.minor = 5, .child_minor = 80, .io = 60}); },
       {{"1", 0}, {"10", 1000}, {"20", 200}, {"40", 60}}},
  });
}

TEST(ProcTasksReaped, ParentsInARingEnd) {
  run_steps({
      {"before",
       [](const Host& host) {
         host.put(10, {.ppid = 11, .io = 1});
         host.put(11, {.ppid = 10, .io = 1});
         host.put(20, {.ppid = 10, .minor = 1, .io = 1});
       },
       {{"10", 1}, {"11", 1}, {"20", 1}}},
      {"gone", [](const Host& host) { host.gone(20); }, {{"10", 1}, {"11", 1}, {"d20", 1}}, 1},
  });
}

TEST(ProcTasksReaped, BetweenTheReadsOfItAndOfItsParent) {
  Host host;
  host.put(500, {.ppid = 0, .minor = 50, .io = 1000});
  host.put(20, {.ppid = 500, .minor = 30, .io = 200});
  host.put(21, {.ppid = 500, .minor = 30, .io = 5});
  host.pass();
  host.put(20, {.ppid = 500, .minor = 31, .io = 210});
  host.put(500, {.ppid = 0, .minor = 50, .child_minor = 31, .io = 1213});
  host.all_read = [&] { host.gone(20); };
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(500), MaybeIo(1003));
  EXPECT_EQ(host.io(20), std::nullopt);
  EXPECT_EQ(host.io(20, false), MaybeIo(210));
  EXPECT_EQ(host.io(21), MaybeIo(5));
  host.all_read = {};
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(500), MaybeIo(1003));
  EXPECT_EQ(host.find(20, false), nullptr);
}

TEST(ProcTasksReaped, AReaperThatLeavesInTheSamePass) {
  Host host;
  host.put(500, {.ppid = 0, .minor = 50, .io = 1000});
  host.put(20, {.ppid = 500, .minor = 30, .io = 200});
  host.put(30, {.ppid = 20, .minor = 8, .io = 40});
  host.pass();
  host.gone(30);
  host.put(20, {.ppid = 500, .minor = 30, .child_minor = 8, .io = 240});
  host.put(500, {.ppid = 0, .minor = 50, .child_minor = 38, .io = 1240});
  host.all_read = [&] { host.gone(20); };
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(500), MaybeIo(1000));
  EXPECT_EQ(host.io(20, false), MaybeIo(200));
  EXPECT_EQ(host.io(30, false), MaybeIo(40));
}

// The pids of children below that of their reaper: they came round. Both left between the reads of
// themselves and of 500; the parent of 30 is no reaper that one can see.
TEST(ProcTasksReaped, GrandchildBetweenTheReadsOfItAndOfItsReaper) {
  Host host;
  host.put(500, {.ppid = 0, .minor = 50, .io = 1000});
  host.put(20, {.ppid = 500, .minor = 30, .io = 200});
  host.put(30, {.ppid = 20, .minor = 8, .io = 40});
  host.pass();
  host.put(500, {.ppid = 0, .minor = 50, .child_minor = 38, .io = 1243});
  host.all_read = [&] {
    host.gone(20);
    host.gone(30);
  };
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(500), MaybeIo(1003));
  EXPECT_EQ(host.io(20, false), MaybeIo(200));
  EXPECT_EQ(host.io(30, false), MaybeIo(40));
  EXPECT_EQ(host.io(30), std::nullopt);
  host.all_read = {};
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(500), MaybeIo(1003));
  EXPECT_EQ(host.find(30, false), nullptr);
}

TEST(ProcTasksReaped, BetweenTheReadsOfItAndOfItsParentInTheFirstPass) {
  Host host;
  host.put(500, {.ppid = 0, .minor = 50, .child_minor = 900, .io = 5000});
  host.put(20, {.ppid = 500, .minor = 30, .io = 200});
  host.all_read = [&] { host.gone(20); };
  EXPECT_EQ(host.pass().processes.size(), 1U) << "nobody was told of 20";
  EXPECT_EQ(host.io(500), MaybeIo(5000));
  host.all_read = {};
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(500), MaybeIo(5000));
}

// 20 is new in this pass, so that who reaped it keeps what it did; 40 is not.
TEST(ProcTasksReaped, ThroughOneThatNobodyWasToldOf) {
  Host host;
  host.put(500, {.ppid = 0, .minor = 50, .io = 1000});
  host.put(40, {.ppid = 500, .minor = 7, .io = 9});
  host.pass();
  host.put(20, {.ppid = 500, .minor = 30, .io = 200});
  host.put(40, {.ppid = 20, .minor = 7, .io = 9});
  host.put(500, {.ppid = 0, .minor = 50, .child_minor = 37, .io = 1209});
  host.all_read = [&] {
    host.gone(20);
    host.gone(40);
  };
  EXPECT_EQ(host.pass().processes.size(), 2U) << "500 and the end of 40";
  EXPECT_EQ(host.io(500), MaybeIo(1200));
  EXPECT_EQ(host.io(40, false), MaybeIo(9));
  host.all_read = {};
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(500), MaybeIo(1200));
}

// The kernel gives the parent all of it first, and takes the child out of /proc then. In between it
// shows X, and no parent once its signal handlers are gone.
TEST(ProcTasksReaped, StillThereAfterItsParentGotIt) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"10 has it",
       [](const Host& host) {
         host.put(10, {.minor = 50, .child_minor = 30, .io = 1204});
         host.put(20, {.state = 'X', .ppid = 0, .minor = 30, .threads = 0, .io = 204});
       },
       {{"1", 0}, {"10", 1004}, {"d20", 200}}},
      {"the reaper does not get on", [](const Host&) {}, {{"1", 0}, {"10", 1004}}},
      {"gone", [](const Host& host) { host.gone(20); }, {{"1", 0}, {"10", 1004}}},
  });
}

TEST(ProcTasksReaped, WaitedForLongBeforeItsParentGetsIt) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"the reaper has marked it, no more",
       [](const Host& host) { host.put(20, {.state = 'X', .ppid = 10, .minor = 30, .io = 200}); },
       {{"1", 0}, {"10", 1000}, {"d20", 200}}},
      {"and does not get on", [](const Host&) {}, {{"1", 0}, {"10", 1000}}},
      {"still not", [](const Host&) {}, {{"1", 0}, {"10", 1000}}},
      {"10 was read before it got it; 20 was listed and is gone",
       [](const Host& host) { host.hollow(20); },
       {{"1", 0}, {"10", 1000}}},
      {"10 shows it",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 50, .child_minor = 30, .io = 1203});
       },
       {{"1", 0}, {"10", 1003}}},
  });
}

TEST(ProcTasksReaped, FirstSeenWhenItWasWaitedFor) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"nobody saw 21 before",
       [](const Host& host) {
         host.put(10, {.minor = 50, .child_minor = 9, .io = 1070});
         host.put(21, {.state = 'X', .ppid = 0, .minor = 9, .threads = 0, .io = 70});
       },
       {{"1", 0}, {"10", 1070}, {"20", 200}}},
      {"gone", [](const Host& host) { host.gone(21); }, {{"1", 0}, {"10", 1070}, {"20", 200}}},
  });
}

constexpr std::int64_t kPatient = 60'000'000'000;

TEST(ProcTasksReaped, ALeaderThatAnotherThreadReplacesHasNotLeft) {
  Host host({}, kPatient);
  family(host);
  host.pass();
  host.put(20, {.state = 'X', .ppid = 10, .minor = 31, .io = 201});
  int reads = 0;
  host.before_read = [&](std::uint32_t pid) {
    if (pid == 20 && ++reads == 3) {  // io, stat, and stat again
      host.put(20, {.ppid = 10, .minor = 32, .io = 202});
    }
  };
  EXPECT_EQ(host.pass().processes.size(), 3U);
  EXPECT_EQ(host.io(20), MaybeIo(201));
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(20), MaybeIo(202));
}

// 20 and 21 leave during a pass; 10 got the one before it was read, the other after.
TEST(ProcTasksReaped, TheGrowthOfOneIsNotClaimedByAnother) {
  run_steps({
      {"before",
       [](const Host& host) {
         family(host);
         host.put(21, {.ppid = 10, .minor = 36, .child_minor = 33, .io = 450});
       },
       {{"1", 0}, {"10", 1000}, {"20", 200}, {"21", 450}}},
      {"10 shows the growth of 21, which would do for 20",
       [](const Host& host) {
         host.hollow(20);
         host.hollow(21);
         host.put(10, {.minor = 50, .child_minor = 69, .io = 1450});
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}, {"d21", 450}}},
      {"and that of 20",
       [](const Host& host) {
         host.gone(20);
         host.gone(21);
         host.put(10, {.minor = 50, .child_minor = 101, .io = 1700});
       },
       {{"1", 0}, {"10", 1050}}},
  });
}

// 20 reaped 30 and was reaped before the pass; 21 left after 10 was read.
TEST(ProcTasksReaped, WhoMayShowLaterClaimsLater) {
  run_steps({
      {"before",
       [](const Host& host) {
         three_generations(host);
         host.put(21, {.ppid = 10, .minor = 10, .io = 40});
       },
       {{"1", 0}, {"10", 1000}, {"20", 200}, {"21", 40}, {"30", 40}}},
      {"20 with 30",
       [](const Host& host) {
         host.gone(20);
         host.gone(30);
         host.hollow(21);
         host.put(10, {.minor = 50, .child_minor = 41, .io = 1244});
       },
       {{"1", 0}, {"10", 1000}, {"d20", 200}, {"d21", 40}, {"d30", 40}}},
      {"and 21",
       [](const Host& host) {
         host.gone(21);
         host.put(10, {.minor = 50, .child_minor = 51, .io = 1285});
       },
       {{"1", 0}, {"10", 1005}}},
  });
}

// Nothing that was published can be taken back, so it waits.
TEST(ProcTasksReaped, WhatMayBeAChildsIsHeldBackForOnePass) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"10 reaped a small one nobody saw and wrote 300 itself; SIGCHLD ignored for 20",
       [](const Host& host) {
         host.hollow(20);
         host.put(10, {.minor = 50, .child_minor = 3, .io = 1310});
       },
       {{"1", 0}, {"10", 1110}, {"d20", 200}}},
      {"20 was not in it", [](const Host& host) { host.gone(20); }, {{"1", 0}, {"10", 1310}}, 1},
  });
}

TEST(ProcTasksReaped, ByOneWhoseIoCannotBeReadJustThen) {
  run_steps({
      {"before", family, {{"1", 0}, {"10", 1000}, {"20", 200}}},
      {"its io is garbage",
       [](const Host& host) {
         host.gone(20);
         host.put(10, {.minor = 50, .child_minor = 30, .io = 1207});
         host.tree.write("proc/10/io", "rchar: x\n");
       },
       {{"1", 0}, {"d20", 200}}},
      {"again",
       [](const Host& host) { host.put(10, {.minor = 50, .child_minor = 30, .io = 1208}); },
       {{"1", 0}, {"10", 1008}}},
  });
}

// A process that does not answer may have been reaped before its parent was read.
TEST(ProcTasksReaped, WhileItDidNotAnswer) {
  Host host;
  host.put(500, {.ppid = 0, .minor = 50, .io = 1000});
  host.put(20, {.ppid = 500, .minor = 30, .io = 200});
  host.pass();
  host.silent.silence(20);
  host.put(500, {.ppid = 0, .minor = 50, .child_minor = 30, .io = 1203});
  host.pass();
  EXPECT_EQ(host.io(20), MaybeIo(200)) << "as last seen";
  EXPECT_EQ(host.io(500), MaybeIo(1003));
  host.gone(20);
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(20, false), MaybeIo(200));
  EXPECT_EQ(host.io(500), MaybeIo(1003));
}

TEST(ProcTasksReaped, ByOneThatDoesNotAnswer) {
  Host host;
  family(host);
  host.pass();
  host.silent.silence(10);
  host.gone(20);
  EXPECT_EQ(host.pass().lost_exits, 1U) << "nothing shows who reaped";
  EXPECT_EQ(host.io(20, false), MaybeIo(200));
  host.put(10, {.minor = 50, .child_minor = 30, .io = 1203});
  host.silent.answer(10);
  EXPECT_TRUE(testing::comes_true([&] {
    host.pass();
    return host.missing("process") == 0;
  }));
  EXPECT_EQ(host.io(10), MaybeIo(1003)) << "not counted twice all the same";
}

// More than are looked at again: the others are suspect.
TEST(ProcTasksReaped, SoManyThatMayHaveLeftBeforeTheirParentWasRead) {
  constexpr int kChildren = 1100;
  constexpr std::uint64_t kParent = 5000;
  Host host;
  host.put(kParent, {.ppid = 0, .minor = 50, .io = 1000});
  for (int pid = 10; pid < 10 + kChildren; ++pid) {
    host.put(pid, {.ppid = kParent, .minor = 30, .io = 200});
  }
  host.pass();
  host.put(kParent, {.ppid = 0, .minor = 50, .child_minor = 60, .io = 1405});
  constexpr int kFirst = 10;
  constexpr int kLast = 10 + kChildren - 1;
  host.all_read = [&] {
    host.gone(kFirst);
    host.gone(kLast);
  };
  host.pass();
  EXPECT_EQ(host.io(kFirst, false), MaybeIo(200));
  EXPECT_EQ(host.io(kLast), MaybeIo(200)) << "was not looked at";
  EXPECT_EQ(host.io(kParent), MaybeIo(1000));
  host.all_read = {};
  EXPECT_EQ(host.pass().lost_exits, 0U);
  EXPECT_EQ(host.io(kLast, false), MaybeIo(200));
  EXPECT_EQ(host.io(kParent), MaybeIo(1005));
}

TEST(ProcTasksReaped, APassThatFailsLosesNoProof) {
  Host host;
  host.put(500, {.ppid = 0, .minor = 50, .io = 1000});
  host.put(10, {.ppid = 0, .minor = 50, .io = 1000});
  host.put(20, {.ppid = 10, .minor = 30, .io = 200});
  for (int pid = 30; pid < 36; ++pid) {
    host.put(pid, {.ppid = 0, .io = 5});
  }
  host.pass();
  for (std::uint32_t pid = 30; pid < 36; ++pid) {
    host.silent.silence(pid);
  }
  host.gone(20);
  host.put(10, {.minor = 50, .child_minor = 30, .io = 1203});
  EXPECT_NE(host.failing_pass().find("do not answer"), std::string::npos);
  host.silent.answer_all();
  EXPECT_TRUE(testing::comes_true([&] { return host.failing_pass().empty(); }));
  EXPECT_EQ(host.io(10), MaybeIo(1003));
  EXPECT_EQ(host.pass().lost_exits, 0U);
}

}  // namespace
}  // namespace tidegauge
