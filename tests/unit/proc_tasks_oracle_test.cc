// SPDX-License-Identifier: Apache-2.0
// A small kernel of processes that fork, write, end and are reaped between any two reads of a pass.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "collectors/process/proc_tasks.h"
#include "tests/unit/fake_processes.h"

namespace tidegauge {
namespace {

using testing::error_text;
using testing::Fake;
using testing::FixtureTree;
using testing::io_text;
using testing::stat_text;

constexpr std::uint64_t kInit = 1;
constexpr std::size_t kMaxProcesses = 20;
// Numbers come round: children below and above their parent. Not within one pass.
constexpr std::uint64_t kHighestPid = 150;

// What happens follows kernel/exit.c: a child that ends is a zombie; who waits for it marks it (X), gets
// its figures, and takes it out of /proc, in three steps, and does nothing else in between. The children
// of one that ends go to the nearest subreaper above, or to pid 1.
class Kernel {
 public:
  struct Process {
    Fake figures;
    bool subreaper = false;
    bool ignores_children = false;  // SIGCHLD: they leave without a trace
    bool given = false;             // its figures are with its parent
    std::uint64_t waits_for = 0;
  };

  Kernel(std::uint64_t seed, bool may_ignore) : random_(seed), may_ignore_(may_ignore) {
    processes_[kInit].figures = {.ppid = 0, .start = 1};
  }

  void step() {
    const std::uint64_t what = random_() % 10;
    if (what < 2) {
      fork();
    } else if (what < 3) {
      end();
    } else if (what < 7) {
      go_on();
    } else {
      work(any());
    }
  }
  // Who waits for somebody gets done with it.
  void rest() {
    std::vector<std::uint64_t> waiting;
    for (const auto& [pid, process] : processes_) {
      if (process.waits_for != 0) {
        waiting.push_back(pid);
      }
    }
    for (const std::uint64_t pid : waiting) {
      while (processes_.at(pid).waits_for != 0) {
        go_on(pid);
      }
    }
  }

  void begin_pass() { forks_ = 0; }

  [[nodiscard]] const std::map<std::uint64_t, Process>& processes() const { return processes_; }
  [[nodiscard]] std::uint64_t written() const { return written_; }
  std::uint64_t random(std::uint64_t below) { return random_() % below; }

 private:
  // One that runs, or none.
  Process* any() { return find(any_pid()); }
  std::uint64_t any_pid() {
    auto at = processes_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random_() % processes_.size()));
    return at->second.figures.state == 'S' && at->second.waits_for == 0 ? at->first : 0;
  }
  Process* find(std::uint64_t pid) {
    const auto at = processes_.find(pid);
    return at == processes_.end() ? nullptr : &at->second;
  }

  void work(Process* one) {
    if (one == nullptr) {
      return;
    }
    one->figures.minor += random_() % 4;
    one->figures.major += random_() % 50 == 0 ? 1U : 0U;
    const std::uint64_t bytes = random_() % 3 == 0 ? random_() % 100 : 0;
    one->figures.io += bytes;
    written_ += bytes;
  }

  void fork() {
    const std::uint64_t parent = any_pid();
    if (parent == 0 || processes_.size() > kMaxProcesses || forks_ > kHighestPid / 2) {
      return;
    }
    ++forks_;
    do {
      last_pid_ = last_pid_ % kHighestPid + 1;
    } while (processes_.contains(last_pid_));
    Process& child = processes_[last_pid_];
    child.figures = {.ppid = parent, .minor = 1, .start = ++clock_};
    child.subreaper = random_() % 8 == 0;
    child.ignores_children = may_ignore_ && random_() % 4 == 0;
  }

  void end() {
    const std::uint64_t pid = any_pid();
    if (pid == 0 || pid == kInit) {
      return;
    }
    const std::uint64_t heir = heir_of(pid);
    for (auto& [number, process] : processes_) {
      if (process.figures.ppid == pid) {
        process.figures.ppid = heir;
      }
    }
    Process& process = processes_.at(pid);
    process.figures.state = 'Z';
    process.figures.memory = 0;
    forget_ignored();
  }
  std::uint64_t heir_of(std::uint64_t pid) {
    std::uint64_t heir = processes_.at(pid).figures.ppid;
    while (heir != kInit &&
           (!processes_.at(heir).subreaper || processes_.at(heir).figures.state != 'S')) {
      heir = processes_.at(heir).figures.ppid;
    }
    return heir;
  }
  void forget_ignored() {
    std::erase_if(processes_, [&](const auto& one) {
      return one.second.figures.state == 'Z' &&
             processes_.at(one.second.figures.ppid).ignores_children;
    });
  }

  // Somebody waits for a zombie, or gets on with it.
  void go_on() {
    std::vector<std::uint64_t> parents;
    for (const auto& [pid, process] : processes_) {
      if (process.waits_for != 0) {
        parents.push_back(pid);
      } else if (process.figures.state == 'Z' && find(process.figures.ppid)->waits_for == 0) {
        parents.push_back(process.figures.ppid);
      }
    }
    if (!parents.empty()) {
      go_on(parents[random_() % parents.size()]);
    }
  }
  void go_on(std::uint64_t pid) {
    Process& parent = processes_.at(pid);
    Process* const child = find(parent.waits_for);
    if (child == nullptr) {
      for (auto& [number, process] : processes_) {
        if (process.figures.ppid == pid && process.figures.state == 'Z') {
          process.figures.state = 'X';
          parent.waits_for = number;
          return;
        }
      }
    } else if (!child->given) {
      parent.figures.child_minor += child->figures.minor + child->figures.child_minor;
      parent.figures.child_major += child->figures.major + child->figures.child_major;
      parent.figures.io += child->figures.io;
      child->given = true;
    } else {
      processes_.erase(parent.waits_for);
      parent.waits_for = 0;
    }
  }

  std::mt19937_64 random_;
  bool may_ignore_;
  std::map<std::uint64_t, Process> processes_;
  std::uint64_t last_pid_ = kInit;
  std::uint64_t forks_ = 0;  // in this pass
  std::uint64_t clock_ = 100;
  std::uint64_t written_ = 0;
};

// Passes over /proc of such a kernel, which goes on before each file is read.
class Oracle {
 public:
  Oracle(std::uint64_t seed, bool may_ignore) : kernel_(seed, may_ignore) {
    source_ = make_proc_tasks(
        tree_.files(), {.limits = {},
                        .all_read = {},
                        .guard = {.limit_ns = 60'000'000'000,
                                  .before_read = [this](std::uint32_t pid) { before_read(pid); }}});
  }

  // `busy`: how many steps the kernel makes between two reads, at most.
  void pass(std::uint64_t busy) {
    for (std::uint64_t i = 0; busy != 0 && i < kernel_.random(60); ++i) {
      kernel_.step();
    }
    busy_ = busy;
    if (busy == 0) {
      kernel_.rest();
    }
    kernel_.begin_pass();
    for (std::uint64_t pid = kInit; pid <= kHighestPid; ++pid) {
      show(pid);
    }
    out_.clear();
    CollectContext context{.realtime_ns = 0, .boottime_ns = 0, .buffer = &buffer_};
    const auto done = source_->pass(context, out_);
    ASSERT_TRUE(done) << error_text(done);
    for (const ProcessSample& sample : out_.processes) {
      std::uint64_t& last = last_[{sample.key.pid, sample.key.start_ns}];
      const std::uint64_t now = sample.counters[TaskCounter::kStorageWriteBytes];
      ASSERT_GE(now, last) << sample.key.pid;
      last = now;
      ends_ += sample.alive ? 0U : 1U;
    }
  }

  [[nodiscard]] std::uint64_t told() const {
    std::uint64_t sum = 0;
    for (const auto& [key, bytes] : last_) {
      sum += bytes;
    }
    return sum;
  }
  [[nodiscard]] std::uint64_t written() const { return kernel_.written(); }
  [[nodiscard]] std::uint64_t lost() const { return out_.lost_exits; }
  [[nodiscard]] std::uint64_t ends() const { return ends_; }

 private:
  void before_read(std::uint32_t pid) {
    for (std::uint64_t i = kernel_.random(busy_ + 1); i > 0; --i) {
      kernel_.step();
    }
    show(pid);
  }

  void show(std::uint64_t pid) {
    const auto at = kernel_.processes().find(pid);
    if (at == kernel_.processes().end()) {
      if (shown_.contains({pid, "/stat"})) {
        hide(pid);
      }
      return;
    }
    Fake figures = at->second.figures;
    if (at->second.given) {
      figures.ppid = 0;
      figures.threads = 0;
    }
    write(pid, "/stat", stat_text(static_cast<int>(pid), figures));
    write(pid, "/io", io_text(figures.io));
  }
  void hide(std::uint64_t pid) {
    tree_.remove("proc/" + std::to_string(pid));
    shown_.erase({pid, "/stat"});
    shown_.erase({pid, "/io"});
  }
  void write(std::uint64_t pid, const std::string& file, const std::string& text) {
    std::string& shown = shown_[{pid, file}];
    if (shown != text) {
      const std::string path = "proc/" + std::to_string(pid) + file;
      tree_.remove(path);  // some file systems flush what is written over
      tree_.write(path, text);
      shown = text;
    }
  }

  Kernel kernel_;
  FixtureTree tree_;
  std::unique_ptr<TaskSource> source_;
  ReadBuffer buffer_;
  TaskPass out_;
  std::map<std::pair<std::uint64_t, std::string>, std::string> shown_;
  std::uint64_t busy_ = 0;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> last_;
  std::uint64_t ends_ = 0;
};

void check_sums(std::uint64_t seed, bool may_ignore) {
  Oracle oracle(seed, may_ignore);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 6; ++i) {
      oracle.pass(1 + seed % 6);
      ASSERT_LE(oracle.told(), oracle.written()) << "seed " << seed << " round " << round;
    }
    for (int i = 0; i < 2; ++i) {
      oracle.pass(0);
    }
    if (may_ignore) {
      ASSERT_LE(oracle.told(), oracle.written()) << "seed " << seed << " round " << round;
    } else {
      ASSERT_EQ(oracle.told(), oracle.written()) << "seed " << seed << " round " << round;
      ASSERT_EQ(oracle.lost(), 0U) << "seed " << seed << " round " << round;
    }
  }
  EXPECT_GT(oracle.ends(), 30U) << "nobody was seen to end: this tells nothing";
}

// More of them in the slow part of the checks: TIDEGAUGE_ORACLE_SEEDS.
std::uint64_t seeds() {
  const char* const wanted = std::getenv("TIDEGAUGE_ORACLE_SEEDS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 30;
}

TEST(ProcTasksOracle, SumsOverAnyHistoryAreExact) {
  for (std::uint64_t seed = 0; seed < seeds(); ++seed) {
    check_sums(seed, false);
  }
}

TEST(ProcTasksOracle, NothingIsCountedTwiceWhereSomeAreNotReaped) {
  for (std::uint64_t seed = 0; seed < seeds(); ++seed) {
    check_sums(seed, true);
  }
}

}  // namespace
}  // namespace tidegauge
