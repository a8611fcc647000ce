// SPDX-License-Identifier: Apache-2.0
#pragma once

// Fake procfs trees that change between passes, and within them.

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "collectors/process/proc_tasks.h"
#include "tests/unit/silent_processes.h"
#include "tests/unit/testing.h"

namespace tidegauge::testing {

struct Fake {
  std::string comm = "x";
  char state = 'S';
  std::uint64_t ppid = 1;
  std::uint64_t flags = 0;
  std::uint64_t minor = 0;
  std::uint64_t child_minor = 0;
  std::uint64_t major = 0;
  std::uint64_t child_major = 0;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  std::uint64_t child_ticks = 0;
  std::uint64_t threads = 1;
  std::uint64_t start = 100;
  std::uint64_t memory = 4096;
  std::uint64_t pages = 1;
  std::uint64_t block_delay = 0;
  std::uint64_t io = 0;  // write_bytes; rchar is ten times that
  std::uint64_t voluntary = 5;
  std::uint64_t involuntary = 1;
  std::uint64_t run_delay = 70;
};

inline std::string stat_text(int pid, const Fake& fake) {
  std::string text = std::to_string(pid) + " (" + fake.comm + ") " + fake.state;
  const auto add = [&](std::uint64_t value) { text += " " + std::to_string(value); };
  add(fake.ppid);
  text += " 1 1 0 -1";
  for (const std::uint64_t value : {fake.flags, fake.minor, fake.child_minor, fake.major,
                                    fake.child_major, fake.user, fake.system, fake.child_ticks}) {
    add(value);
  }
  text += " 0 20 0";
  add(fake.threads);
  text += " 0";
  add(fake.start);
  add(fake.memory);
  add(fake.pages);
  for (int field = 25; field < 42; ++field) {
    text += " 0";
  }
  add(fake.block_delay);
  return text + " 0 0 0 0 0 0 0 0 0 0\n";
}

inline std::string io_text(std::uint64_t io) {
  return "rchar: " + std::to_string(10 * io) + "\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\n" +
         "write_bytes: " + std::to_string(io) + "\ncancelled_write_bytes: 0\n";
}

inline std::string status_text(const Fake& fake) {
  return "Name:\tx\nUid:\t1000\t0\t0\t0\nVmRSS:\t 12 kB\nRssAnon:\t 3 kB\nRssFile:\t 4 kB\n"
         "RssShmem:\t 5 kB\nVmSwap:\t 6 kB\nThreads:\t" +
         std::to_string(fake.threads) + "\nvoluntary_ctxt_switches:\t" +
         std::to_string(fake.voluntary) + "\nnonvoluntary_ctxt_switches:\t" +
         std::to_string(fake.involuntary) + "\n";
}

inline std::string schedstat_text(const Fake& fake) {
  return "1000 " + std::to_string(fake.run_delay) + " 3\n";
}

class Host {
 public:
  // `patience_ns`: from when on a read does not answer; long for hooks that do something.
  explicit Host(const TaskLimits& limits = {}, std::int64_t patience_ns = 20'000'000) {
    source_ = make_proc_tasks(tree.files(), {.limits = limits,
                                             .all_read =
                                                 [this] {
                                                   if (all_read) {
                                                     all_read();
                                                   }
                                                 },
                                             .guard = hooks(patience_ns)});
  }

  void put(int pid, const Fake& fake) const {
    const std::string base = "proc/" + std::to_string(pid);
    tree.write(base + "/stat", stat_text(pid, fake));
    tree.write(base + "/io", io_text(fake.io));
    tree.write(base + "/status", status_text(fake));
    tree.write(base + "/schedstat", schedstat_text(fake));
  }
  void thread(int pid, int tid, const Fake& fake) const {
    const std::string base = "proc/" + std::to_string(pid) + "/task/" + std::to_string(tid);
    tree.write(base + "/stat", stat_text(tid, fake));
    tree.write(base + "/status", status_text(fake));
    tree.write(base + "/schedstat", schedstat_text(fake));
  }
  void gone(int pid) const { tree.remove("proc/" + std::to_string(pid)); }
  // Still listed, but it left before its files were opened.
  void hollow(int pid) const {
    gone(pid);
    tree.write("proc/" + std::to_string(pid) + "/comm", "left\n");
  }

  const TaskPass& pass(std::int64_t (*clock)() = nullptr) {
    out_.clear();
    CollectContext context{
        .realtime_ns = 0, .boottime_ns = 0, .buffer = &buffer_, .boottime_clock = clock};
    const auto done = source_->pass(context, out_);
    EXPECT_TRUE(done) << error_text(done);
    check_monotone();
    return out_;
  }

  std::string failing_pass() {
    out_.clear();
    CollectContext context{.realtime_ns = 0, .boottime_ns = 0, .buffer = &buffer_};
    return error_text(source_->pass(context, out_));
  }

  [[nodiscard]] const ProcessSample* find(std::uint32_t pid, bool alive = true) const {
    for (const ProcessSample& sample : out_.processes) {
      if (sample.key.pid == pid && sample.alive == alive) {
        return &sample;
      }
    }
    return nullptr;
  }
  [[nodiscard]] std::optional<std::uint64_t> io(std::uint32_t pid, bool alive = true) const {
    const ProcessSample* sample = find(pid, alive);
    if (sample == nullptr || !sample->counters.present(TaskCounter::kStorageWriteBytes)) {
      return std::nullopt;
    }
    const auto value = sample->counters[TaskCounter::kStorageWriteBytes];
    EXPECT_EQ(sample->counters[TaskCounter::kSyscallReadBytes], 10 * value) << pid;
    return value;
  }
  [[nodiscard]] std::uint64_t missing(std::string_view field, std::string_view reason = "") const {
    std::uint64_t processes = 0;
    for (const MissingField& one : out_.missing) {
      if (one.field == field && one.reason.find(reason) != std::string::npos) {
        processes += one.processes;
      }
    }
    return processes;
  }

  FixtureTree tree;
  SilentProcesses silent;
  std::function<void()> all_read;
  std::function<void(std::uint32_t pid)> before_read;  // of each file

 private:
  ReadGuardHooks hooks(std::int64_t patience_ns) {
    ReadGuardHooks out = silent.hooks();
    out.limit_ns = patience_ns;
    out.before_read = [this, may_wait = out.before_read](std::uint32_t pid) {
      if (before_read) {
        before_read(pid);
      }
      may_wait(pid);
    };
    return out;
  }

  void check_monotone() {
    for (const ProcessSample& sample : out_.processes) {
      TaskCounters& last = last_[{sample.key.pid, sample.key.start_ns}];
      for (std::size_t i = 0; i < kTaskCounters; ++i) {
        const auto counter = static_cast<TaskCounter>(i);
        if (sample.counters.present(counter)) {
          EXPECT_GE(sample.counters[counter], last[counter]) << sample.key.pid << " counter " << i;
          last.set(counter, sample.counters[counter]);
        }
      }
    }
  }

  std::unique_ptr<TaskSource> source_;
  ReadBuffer buffer_;
  TaskPass out_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, TaskCounters> last_;
};

using MaybeIo = std::optional<std::uint64_t>;

}  // namespace tidegauge::testing
