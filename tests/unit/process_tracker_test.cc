// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_tracker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace tidegauge {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

struct Proc {
  std::uint32_t pid = 0;
  std::uint64_t start_ns = 0;
  std::string comm{};
  std::uint64_t faults = 0;
  bool alive = true;
};

ProcessSample sample_of(const Proc& proc) {
  ProcessSample sample;
  sample.key = {.pid = proc.pid, .start_ns = proc.start_ns};
  sample.comm.assign(proc.comm);
  sample.alive = proc.alive;
  sample.counters.set(TaskCounter::kMajorFaults, proc.faults);
  sample.gauges.set(TaskGauge::kThreads, 1);
  return sample;
}

using Totals = std::map<std::string, std::uint64_t>;

// A tracker whose groups are names of processes, one pass a second.
class Fixture {
 public:
  explicit Fixture(std::size_t max_groups = 100, std::size_t top = 3) : tracker(max_groups, top) {}

  void run(const std::vector<Proc>& procs, const std::vector<ExitedSample>& exited = {}) {
    TaskPass pass;
    for (const Proc& proc : procs) {
      pass.processes.push_back(sample_of(proc));
    }
    pass.exited = exited;
    update(pass);
  }

  void update(const TaskPass& pass) {
    now_ns += kSecondNs;
    tracker.update(
        pass, now_ns,
        [this](const ProcessSample& sample) {
          ++classified;
          return Classified{.group = {std::string(sample.comm.view())}, .owner = nullptr};
        },
        [](const ExitedSample& sample) { return GroupName{std::string(sample.comm.view())}; });
  }

  // Major faults by group, those without any left out.
  [[nodiscard]] Totals totals() const {
    Totals out;
    tracker.groups().for_each([&](const ProcessGroup& group) {
      if (group.counters[TaskCounter::kMajorFaults] != 0) {
        out[group.name] = group.counters[TaskCounter::kMajorFaults];
      }
    });
    return out;
  }

  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t out = 0;
    for (const auto& [name, faults] : totals()) {
      out += faults;
    }
    return out;
  }

  [[nodiscard]] ProcessGroup group(const std::string& name) const {
    ProcessGroup out;
    tracker.groups().for_each([&](const ProcessGroup& group) {
      if (group.name == name) {
        out = group;
      }
    });
    return out;
  }

  // "pid" or "pid gone".
  [[nodiscard]] std::set<std::string> shown() const {
    std::set<std::string> out;
    for (const TrackedProcess* process : tracker.top()) {
      out.insert(std::to_string(process->sample.key.pid) + (process->sample.alive ? "" : " gone"));
    }
    return out;
  }

  ProcessTracker tracker;
  std::int64_t now_ns = 1000 * kSecondNs;
  int classified = 0;
};

// A command line that could be read once and hangs now: what is known is not forgotten.
TEST(ProcessTracker, AnIncompleteAnswerKeepsTheGroup) {
  ProcessTracker tracker(100, 3);
  for (int i = 1; i <= 3; ++i) {
    TaskPass pass;
    pass.processes.push_back(sample_of({.pid = 7, .start_ns = 1, .comm = "python3", .faults = 5}));
    tracker.update(
        pass, i * kSecondNs,
        [&](const ProcessSample&) {
          return i == 1 ? Classified{{"port 8123"}, nullptr, true}
                        : Classified{{"python3"}, nullptr, false};
        },
        [](const ExitedSample&) { return GroupName{}; });
    EXPECT_EQ(tracker.groups()[tracker.find(7)->group].name, "port 8123") << "pass " << i;
  }
}

TEST(ProcessTracker, IdleProcessesAreNamedOnly) {
  ProcessTracker tracker(100, 3);
  const auto classify = [](const ProcessSample& sample) {
    return Classified{.group = {std::string(sample.comm.view())}, .owner = nullptr};
  };
  const auto exited = [](const ExitedSample&) { return GroupName{}; };
  TaskPass pass;
  pass.processes.push_back(sample_of({.pid = 7, .start_ns = 1, .comm = "sleeper", .faults = 5}));
  pass.processes.push_back(sample_of({.pid = 8, .start_ns = 1, .comm = "sleeper", .faults = 5}));
  tracker.update(pass, kSecondNs, classify, exited);
  pass.clear();
  pass.idle = {{.pid = 7, .start_ns = 1}, {.pid = 8, .start_ns = 1}};
  for (int i = 2; i < 30; ++i) {
    tracker.update(pass, i * kSecondNs, classify, exited);
    ASSERT_EQ(tracker.groups()[tracker.find(7)->group].processes, 2U) << i;
  }
  EXPECT_EQ(tracker.size(), 2U) << "nobody is forgotten";
  EXPECT_FALSE(tracker.wants_all());
  pass.idle.push_back({.pid = 9, .start_ns = 1});
  tracker.update(pass, 30 * kSecondNs, classify, exited);
  EXPECT_TRUE(tracker.wants_all()) << "a stranger is not known by name";
}

constexpr std::uint64_t kOld = 5 * kSecondNs;  // started long before the first pass

struct Step {
  std::vector<Proc> procs;
  Totals expected;
};

void check(const std::vector<Step>& steps) {
  Fixture fixture;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    fixture.run(steps[i].procs);
    EXPECT_EQ(fixture.totals(), steps[i].expected) << "pass " << i;
  }
}

TEST(ProcessTracker, ANewProcessCountsItsWholePast) {
  check({{{{1, kOld, "a", 500}}, {{"a", 500}}},
         {{{1, kOld, "a", 510}}, {{"a", 510}}},
         {{{1, kOld, "a", 510}, {2, kOld + 1, "a", 7}}, {{"a", 517}}}});
}

TEST(ProcessTracker, ANewNameTakesLaterGrowthOnly) {
  check({{{{1, kOld, "sh", 500}}, {{"sh", 500}}},
         {{{1, kOld, "make", 520}}, {{"sh", 500}, {"make", 20}}},
         {{{1, kOld, "sh", 521}}, {{"sh", 501}, {"make", 20}}}});
}

TEST(ProcessTracker, AnEndCountsItsLastDoingsAndTheGroupStays) {
  check({{{{1, kOld, "a", 500}}, {{"a", 500}}},
         {{{1, kOld, "a", 530, false}}, {{"a", 530}}},
         {{}, {{"a", 530}}}});
}

TEST(ProcessTracker, AProcessThatIsOnlySeenGone) {
  check({{{{1, kOld, "a", 30, false}}, {{"a", 30}}}, {{}, {{"a", 30}}}});
}

TEST(ProcessTracker, PidComesAgain) {
  check({{{{1, kOld, "a", 500}}, {{"a", 500}}},
         {{{1, kOld, "a", 530, false}, {1, kOld + 9, "b", 4}}, {{"a", 530}, {"b", 4}}},
         {{{1, kOld + 9, "b", 6}}, {{"a", 530}, {"b", 6}}}});
}

TEST(ProcessTracker, PidComesAgainAndTheSuccessorIsToldFirst) {
  check({{{{1, kOld, "a", 500}}, {{"a", 500}}},
         {{{1, kOld + 9, "b", 4}, {1, kOld, "a", 530, false}}, {{"a", 530}, {"b", 4}}},
         {{{1, kOld + 9, "b", 6}}, {{"a", 530}, {"b", 6}}}});
}

TEST(ProcessTracker, PidComesAgainWithoutTheOldOnesEnd) {
  check({{{{1, kOld, "a", 500}}, {{"a", 500}}},
         {{{1, kOld + 9, "a", 4}}, {{"a", 504}}},
         {{{1, kOld, "a", 530, false}, {1, kOld + 9, "a", 4}}, {{"a", 504}}}});  // late: not twice
}

TEST(ProcessTracker, TwoOwnersOfOnePidInAPass) {
  check({{{{1, kOld, "a", 500}}, {{"a", 500}}},
         {{{1, kOld, "a", 510, false}, {1, kOld + 5, "b", 3, false}, {1, kOld + 9, "c", 4}},
          {{"a", 510}, {"b", 3}, {"c", 4}}}});
}

TEST(ProcessTracker, MissingInAPass) {
  check({{{{1, kOld, "a", 500}}, {{"a", 500}}},
         {{}, {{"a", 500}}},
         {{{1, kOld, "a", 510}}, {{"a", 510}}}});
}

// Longer than it is remembered: not counted from zero again.
TEST(ProcessTracker, MissingForLong) {
  Fixture fixture;
  fixture.run({{1, kOld, "a", 500}});
  for (int i = 0; i < 15; ++i) {
    fixture.run({});
  }
  EXPECT_EQ(fixture.tracker.size(), 0U);
  fixture.run({{1, kOld, "a", 510}});
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 500}}));
  fixture.run({{1, kOld, "a", 517}, {2, kOld + 1, "a", 100}});
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 607}}));
  EXPECT_EQ(fixture.group("a").started, 2U);
}

TEST(ProcessTracker, AFieldThatCannotBeToldForAWhileIsNotCountedAgain) {
  Fixture fixture;
  fixture.run({{1, kOld, "a", 500}});
  TaskPass pass;
  pass.processes.push_back(sample_of({1, kOld, "a", 0}));
  pass.processes[0].counters = {};
  fixture.update(pass);
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 500}}));
  EXPECT_FALSE(fixture.tracker.find(1)->sample.counters.present(TaskCounter::kMajorFaults));
  fixture.run({{1, kOld, "a", 503}});
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 503}}));
}

TEST(ProcessTracker, AskedOnceUntilSomethingChanges) {
  Fixture fixture;
  TaskPass pass;
  pass.processes.push_back(sample_of({1, kOld, "a", 1}));
  ProcessSample& sample = pass.processes[0];
  sample.cgroup_key = 3;
  for (int i = 0; i < 200; ++i) {
    fixture.update(pass);
  }
  EXPECT_EQ(fixture.classified, 1);
  sample.uid = 5;
  fixture.update(pass);
  EXPECT_EQ(fixture.classified, 2);
  sample.cgroup_key = 9;
  fixture.update(pass);
  EXPECT_EQ(fixture.classified, 3);
  sample.comm.assign("b");
  sample.alive = false;  // exec, then gone
  fixture.update(pass);
  EXPECT_EQ(fixture.classified, 4);
  EXPECT_EQ(fixture.group("b").started, 1U);
}

TEST(ProcessTracker, AskedAgainWhereTheSourceCannotTellTheCgroup) {
  Fixture fixture;
  TaskPass pass;
  pass.processes.push_back(sample_of({1, kOld, "a", 1}));
  pass.processes[0].cgroup_key = 0;
  fixture.update(pass);
  fixture.update(pass);  // services move right after they started
  EXPECT_EQ(fixture.classified, 2);
  for (int i = 0; i < 64; ++i) {
    fixture.update(pass);
  }
  EXPECT_EQ(fixture.classified, 3);
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 1}}));
}

TEST(ProcessTracker, StartedAndPresent) {
  Fixture fixture;
  fixture.run({{1, kOld, "a", 0}, {2, kOld, "a", 0}});
  EXPECT_EQ(fixture.group("a").processes, 2U);
  EXPECT_EQ(fixture.group("a").gauges[TaskGauge::kThreads], 2U);
  EXPECT_EQ(fixture.group("a").started, 2U);
  fixture.run({{1, kOld, "a", 0, false}, {2, kOld, "b", 0}});
  EXPECT_EQ(fixture.group("a").processes, 0U);
  EXPECT_FALSE(fixture.group("a").gauges.present(TaskGauge::kThreads));
  EXPECT_EQ(fixture.group("a").started, 2U);
  EXPECT_EQ(fixture.group("b").started, 1U);
  ExitedSample storm;
  storm.comm.assign("a");
  storm.processes = 30;
  storm.counters.set(TaskCounter::kMajorFaults, 60);
  fixture.run({{2, kOld, "b", 0}}, {storm});
  EXPECT_EQ(fixture.group("a").started, 32U);
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 60}}));
}

// Another source knows the same processes under other start times.
TEST(ProcessTracker, Rebase) {
  Fixture fixture;
  fixture.run({{1, kOld, "a", 500}, {2, kOld, "b", 40}});
  fixture.run({{1, kOld, "a", 600}, {2, kOld, "b", 40}});
  EXPECT_FALSE(fixture.tracker.top().empty());
  const auto young = static_cast<std::uint64_t>(fixture.now_ns + 1);
  fixture.tracker.rebase();
  EXPECT_TRUE(fixture.tracker.top().empty());
  fixture.run({{1, kOld + 1, "a", 605}, {2, kOld + 1, "b", 40}, {3, young, "c", 9}});
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 600}, {"b", 40}, {"c", 9}}));
  EXPECT_EQ(fixture.group("a").started, 1U) << "the same process";
  fixture.run({{1, kOld + 1, "a", 607}, {2, kOld + 1, "b", 40}, {3, young, "c", 10}});
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 602}, {"b", 40}, {"c", 10}}));
}

TEST(ProcessTracker, ADepartedMemberKeepsItsRowUntilTheHoldIsOver) {
  Fixture fixture;
  fixture.run({{1, kOld, "a", 0}});
  fixture.run({{1, kOld, "a", 1000}});
  EXPECT_EQ(fixture.shown(), (std::set<std::string>{"1"}));
  fixture.run({{1, kOld, "a", 1200, false}});
  const std::int64_t left_ns = fixture.now_ns;
  while (fixture.now_ns - left_ns < TopProcesses::kHoldNs - kSecondNs) {
    ASSERT_EQ(fixture.shown(), (std::set<std::string>{"1 gone"})) << fixture.now_ns - left_ns;
    EXPECT_EQ(fixture.tracker.top()[0]->sample.counters[TaskCounter::kMajorFaults], 1200U);
    fixture.run({});
  }
  fixture.run({});
  fixture.run({});
  EXPECT_EQ(fixture.shown(), (std::set<std::string>{}));
}

// Rows are told apart by pid: two of one pid would be one series twice.
TEST(ProcessTracker, ASuccessorTakesTheRowOfItsPid) {
  for (const bool end_is_told : {true, false}) {
    Fixture fixture;
    fixture.run({{1, kOld, "a", 0}});
    fixture.run({{1, kOld, "a", 1000}});
    const auto start = static_cast<std::uint64_t>(fixture.now_ns + 1);
    std::vector<Proc> both = {{1, start, "a", 900}};
    if (end_is_told) {
      both.push_back({1, kOld, "a", 1001, false});
    }
    fixture.run(both);
    fixture.run({{1, start, "a", 1900}});
    EXPECT_EQ(fixture.shown(), (std::set<std::string>{"1"})) << end_is_told;
    EXPECT_EQ(fixture.tracker.top().size(), 1U) << end_is_told;
  }
}

TEST(ProcessTracker, OtherTakesWhatFindsNoRoom) {
  Fixture fixture(2);
  fixture.run({{1, kOld, "a", 1}, {2, kOld, "b", 2}, {3, kOld, "c", 4}, {4, kOld, "d", 8}});
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 1}, {"b", 2}, {"other", 12}}));
  EXPECT_EQ(fixture.tracker.overflows(), 2U);
  EXPECT_EQ(fixture.group("other").processes, 2U);
}

// A group whose members were away for longer than groups are remembered (a suspended machine, a long
// interval) still has them: its place is not another's.
TEST(ProcessTracker, AGroupWithMembersKeepsItsPlaceHoweverLongThePassTook) {
  Fixture fixture(1);
  fixture.run({{1, kOld, "a", 100}});
  fixture.now_ns += 7200 * kSecondNs;
  fixture.run({{2, kOld, "b", 5}, {1, kOld, "a", 107}});
  EXPECT_EQ(fixture.totals(), (Totals{{"a", 107}, {"other", 5}}));
  fixture.run({{1, kOld, "a", 107, false}, {2, kOld, "b", 5}});
  fixture.now_ns += 7200 * kSecondNs;
  fixture.run({{2, kOld, "b", 5}, {3, kOld, "c", 1}});
  EXPECT_EQ(fixture.totals(), (Totals{{"c", 1}, {"other", 5}})) << "now it is free";
}

TEST(ProcessTracker, AHundredThousandNamesAreBounded) {
  Fixture fixture(200);
  std::uint64_t total = 0;
  for (std::uint32_t pass = 0; pass < 100; ++pass) {
    std::vector<Proc> procs;
    std::vector<ExitedSample> exited;
    for (std::uint32_t i = 0; i < 500; ++i) {
      const std::uint32_t n = pass * 1000 + i;
      procs.push_back({n + 1, kOld + n, "p" + std::to_string(n), 1, i % 2 == 0});
      ExitedSample& one = exited.emplace_back();
      one.comm.assign("x" + std::to_string(n));
      one.processes = 1;
      one.counters.set(TaskCounter::kMajorFaults, 1);
      total += 2;
    }
    fixture.run(procs, exited);
    std::size_t groups = 0;
    fixture.tracker.groups().for_each([&](const ProcessGroup&) { ++groups; });
    ASSERT_LE(groups, 201U);
    ASSERT_EQ(fixture.total(), total);
  }
  EXPECT_GT(fixture.tracker.overflows(), 99'000U);
  EXPECT_LT(fixture.tracker.size(), 250U * 12U) << "those never heard of again are forgotten";
}

// Sums over groups are sums over processes, and no group's counter ever falls.
TEST(ProcessTracker, SumsStayTrueWhateverHappens) {
  std::mt19937 random(11);
  for (int round = 0; round < 20; ++round) {
    Fixture fixture(8, 3);
    std::vector<Proc> live;
    std::uint64_t total = 0;
    Totals before;
    for (int step = 0; step < 300; ++step) {
      std::vector<Proc> procs;
      std::vector<Proc> kept;
      for (Proc& proc : live) {
        if (random() % 5 == 0) {
          kept.push_back(proc);  // missing for once
          continue;
        }
        const std::uint64_t more = random() % 50;
        proc.faults += more;
        total += more;
        proc.comm = random() % 10 == 0 ? "n" + std::to_string(random() % 12) : proc.comm;
        proc.alive = random() % 8 != 0;
        procs.push_back(proc);
        if (proc.alive) {
          kept.push_back(proc);
        }
      }
      live = kept;
      for (std::uint32_t pid = 1; pid < 6; ++pid) {
        const bool taken = std::any_of(live.begin(), live.end(),
                                       [&](const Proc& proc) { return proc.pid == pid; });
        if (!taken && random() % 3 == 0) {
          live.push_back({pid, static_cast<std::uint64_t>(fixture.now_ns),
                          "n" + std::to_string(pid), random() % 9});
          procs.push_back(live.back());
          total += live.back().faults;
        }
      }
      std::shuffle(procs.begin(), procs.end(), random);
      fixture.run(procs);
      const Totals now = fixture.totals();
      ASSERT_EQ(fixture.total(), total) << "round " << round << " step " << step;
      for (const auto& [name, value] : before) {
        ASSERT_TRUE(now.contains(name) && now.at(name) >= value) << name;
      }
      before = now;
      ASSERT_EQ(fixture.shown().size(), fixture.tracker.top().size());
    }
  }
}

}  // namespace
}  // namespace tidegauge
