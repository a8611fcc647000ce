// SPDX-License-Identifier: Apache-2.0

// The collector `process` on /proc trees: what its tables say, and that nothing a process may choose
// about itself breaks them.

#include "collectors/process/process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/process/task_iterator.h"
#include "daemon/exporter/section_text.h"
#include "tests/unit/exposition_parser.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::FixtureTree;

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kStartNs = 1000 * kSecondNs;

struct Proc {
  std::uint32_t pid = 0;
  std::string comm{};
  char state = 'S';
  std::uint64_t major_faults = 0;
  std::uint64_t user_ticks = 0;
  std::uint64_t start_ticks = 500;
  std::uint64_t read_bytes = 0;
  std::uint64_t uid = 33;
  std::string cgroup = "0::/system.slice/shop.service\n";
};

std::string stat_of(const Proc& proc) {
  return std::to_string(proc.pid) + " (" + proc.comm + ") " + proc.state +
         " 1 1 1 0 -1 4194560 100 0 " + std::to_string(proc.major_faults) + " 0 " +
         std::to_string(proc.user_ticks) + " 50 0 0 20 0 1 0 " + std::to_string(proc.start_ticks) +
         " 60366848 1633 18446744073709551615 1 1 0 0 0 0 0 0 0 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 "
         "0 0\n";
}

void write(const FixtureTree& tree, const Proc& proc) {
  const std::string folder = "proc/" + std::to_string(proc.pid) + "/";
  const std::string uid = std::to_string(proc.uid);
  tree.write(folder + "stat", stat_of(proc));
  tree.write(folder + "io", "rchar: 10\nwchar: 20\nsyscr: 3\nsyscw: 4\nread_bytes: " +
                                std::to_string(proc.read_bytes) +
                                "\nwrite_bytes: 6\ncancelled_write_bytes: 7\n");
  tree.write(folder + "status", "Name:\tx\nUid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid +
                                    "\nRssAnon:\t      12 kB\nRssFile:\t       8 kB\n"
                                    "RssShmem:\t       4 kB\nVmSwap:\t       0 kB\n"
                                    "Threads:\t1\nvoluntary_ctxt_switches:\t30\n"
                                    "nonvoluntary_ctxt_switches:\t40\n");
  tree.write(folder + "schedstat", "1000 2000 3\n");
  tree.write(folder + "cgroup", proc.cgroup);
  tree.write(folder + "task/" + std::to_string(proc.pid) + "/stat", stat_of(proc));
  tree.write(folder + "task/" + std::to_string(proc.pid) + "/wchan", "io_schedule");
}

std::unique_ptr<Collector> make(const FixtureTree& tree,
                                std::vector<std::string> options = {"source=procfs"}) {
  auto collector = testing::make(kProcessCollector, tree.files(), options);
  EXPECT_TRUE(collector) << testing::error_text(collector);
  return collector ? std::move(*collector) : nullptr;
}

using Series = std::map<std::string, double>;

Series run(Collector& collector, std::int64_t boottime_ns) {
  const auto section = testing::run(collector, boottime_ns);
  EXPECT_TRUE(section) << testing::error_text(section);
  if (!section) {
    return {};
  }
  SectionText text(nullptr);
  const auto parsed =
      testing::parse_exposition(text.render(std::make_shared<const Section>(*section)));
  EXPECT_EQ(parsed.error, "");
  Series series = testing::flatten(*section);
  for (const auto& [name, value] : series) {
    EXPECT_FALSE(std::isnan(value)) << name << " twice";
  }
  return series;
}

double value(const Series& series, const std::string& name) {
  const auto at = series.find(name);
  return at != series.end() ? at->second : -1;
}

std::size_t count(const Series& series, std::string_view beginning) {
  std::size_t out = 0;
  for (const auto& [name, ignored] : series) {
    out += name.starts_with(beginning) ? 1U : 0U;
  }
  return out;
}

TEST(ProcessCollector, Groups) {
  const FixtureTree tree;
  write(tree, {.pid = 10, .comm = "shop", .major_faults = 5, .user_ticks = 200});
  write(tree, {.pid = 11, .comm = "shopd", .major_faults = 6});
  write(tree, {.pid = 12, .comm = "sh", .cgroup = "0::/user.slice/session-1.scope\n"});
  const auto collector = make(tree);
  const Series series = run(*collector, kStartNs);
  const auto shop = [&](const std::string& family, const std::string& more = "") {
    return value(series, "tidegauge_group_" + family + "{group=\"shop.service\"" + more + "}");
  };
  EXPECT_EQ(shop("processes"), 2);
  EXPECT_EQ(shop("processes_started_total"), 2);
  EXPECT_EQ(shop("threads"), 2);
  EXPECT_EQ(shop("page_faults_total", ",kind=\"major\""), 11);
  EXPECT_EQ(shop("page_faults_total", ",kind=\"minor\""), 200);
  EXPECT_EQ(shop("cpu_seconds_total", ",mode=\"user\""), 2);
  EXPECT_EQ(shop("cpu_seconds_total", ",mode=\"system\""), 1);
  EXPECT_EQ(shop("syscall_read_bytes_total"), 20);
  EXPECT_EQ(shop("storage_written_bytes_total"), 12);
  EXPECT_EQ(shop("storage_cancelled_bytes_total"), 14);
  EXPECT_EQ(shop("context_switches_total", ",kind=\"voluntary\""), 60);
  EXPECT_EQ(shop("run_queue_wait_seconds_total"), 4e-6);
  EXPECT_EQ(shop("resident_memory_bytes", ",kind=\"anon\""), 24 * 1024);
  EXPECT_EQ(value(series, "tidegauge_group_processes{group=\"sh\"}"), 1);
  EXPECT_EQ(value(series, "tidegauge_processes"), 3);
  EXPECT_EQ(value(series, "tidegauge_process_threads_seen"), 3);
  EXPECT_EQ(value(series,
                  "tidegauge_process_source_info{source=\"procfs\",reason=\"chosen by the "
                  "configuration\"}"),
            1);
  EXPECT_EQ(count(series, "tidegauge_process_start_time_seconds"), 0U) << "nobody is busy yet";
}

TEST(ProcessCollector, GroupCountersNeverFall) {
  const FixtureTree tree;
  const auto collector = make(tree);
  const std::string faults =
      "tidegauge_group_page_faults_total{group=\"shop.service\",kind=\"major\"}";
  write(tree, {.pid = 10, .comm = "a", .major_faults = 100});
  write(tree, {.pid = 11, .comm = "b", .major_faults = 1});
  EXPECT_EQ(value(run(*collector, kStartNs), faults), 101);
  tree.remove("proc/10");
  const Series gone = run(*collector, kStartNs + kSecondNs);
  EXPECT_EQ(value(gone, faults), 101);
  EXPECT_EQ(value(gone, "tidegauge_group_processes{group=\"shop.service\"}"), 1);
  tree.remove("proc/11");
  write(tree, {.pid = 11, .comm = "b", .major_faults = 3, .start_ticks = 100'100});  // another
  EXPECT_EQ(value(run(*collector, kStartNs + 2 * kSecondNs), faults), 104);
  tree.remove("proc/11");
  const Series empty = run(*collector, kStartNs + 3 * kSecondNs);
  EXPECT_EQ(value(empty, faults), 104) << "a group outlives its members";
  EXPECT_EQ(value(empty, "tidegauge_group_processes{group=\"shop.service\"}"), 0);
  EXPECT_EQ(count(empty, "tidegauge_group_threads{group=\"shop.service\"}"), 0U);
}

TEST(ProcessCollector, TheBusiestHaveRows) {
  const FixtureTree tree;
  const auto collector = make(tree, {"source=procfs", "top=1"});
  write(tree, {.pid = 10, .comm = "reader"});
  write(tree, {.pid = 11, .comm = "idle"});
  run(*collector, kStartNs);
  write(tree, {.pid = 10, .comm = "reader", .user_ticks = 1, .read_bytes = 100'000'000});
  const Series series = run(*collector, kStartNs + kSecondNs);
  const std::string labels =
      "{pid=\"10\",comm=\"reader\",group=\"shop.service\",unit=\"shop.service\",container=\"\"}";
  EXPECT_EQ(value(series, "tidegauge_process_storage_read_bytes_total" + labels), 1e8);
  // The wall clock at boot, as first seen, and 5 s.
  EXPECT_EQ(value(series, "tidegauge_process_start_time_seconds" + labels),
            1'700'000'000.0 - 1000 + 5);
  EXPECT_EQ(count(series, "tidegauge_process_start_time_seconds"), 1U);
  EXPECT_EQ(count(series, "tidegauge_process_threads{"), 1U);
  tree.remove("proc/10");
  const Series after = run(*collector, kStartNs + 2 * kSecondNs);
  EXPECT_EQ(value(after, "tidegauge_process_storage_read_bytes_total" + labels), 1e8);
  EXPECT_EQ(count(after, "tidegauge_process_threads{"), 0U) << "it has none any more";
}

TEST(ProcessCollector, NamesOfAnyBytes) {
  const std::string kHostile[] = {
      "a\nb",  "\"quoted\"",   "back\\slash", ") S 1 1 1",   "\xFF\xFE",
      "\xFE",  "(((",          "{x=\"y\"}",   "# HELP a b",  " ",
      "other", "\xC3\xA9\xC3", "a\tb\rc",     "kworker/0:1",
  };
  const FixtureTree tree;
  const auto collector = make(tree, {"source=procfs", "top=100"});
  for (std::uint64_t second = 0; second < 3; ++second) {
    std::uint32_t pid = 100;
    for (const std::string& comm : kHostile) {
      write(tree, {.pid = ++pid,
                   .comm = comm,
                   .state = 'D',
                   .read_bytes = second * 10'000'000,
                   .cgroup = "0::/" + comm + "\n"});
    }
    const Series series = run(*collector, kStartNs + static_cast<std::int64_t>(second) * kSecondNs);
    EXPECT_EQ(value(series, "tidegauge_processes"), std::size(kHostile));
    double members = 0;
    for (const auto& [name, number] : series) {
      members += name.starts_with("tidegauge_group_processes{") ? number : 0;
    }
    EXPECT_EQ(members, std::size(kHostile));
    EXPECT_EQ(count(series, "tidegauge_process_start_time_seconds"),
              second == 0 ? 0 : std::size(kHostile));
  }
}

TEST(ProcessCollector, StuckThreads) {
  const FixtureTree tree;
  const auto collector = make(tree);
  write(tree, {.pid = 10, .comm = "a", .state = 'D'});
  Series series = run(*collector, kStartNs);
  EXPECT_EQ(value(series, "tidegauge_uninterruptible_threads"), 1);
  EXPECT_EQ(count(series, "tidegauge_stuck_threads"), 0U);
  series = run(*collector, kStartNs + kSecondNs);
  const std::string labels = "{group=\"shop.service\",wchan=\"io_schedule\"}";
  EXPECT_EQ(value(series, "tidegauge_stuck_threads" + labels), 1);
  EXPECT_EQ(value(series, "tidegauge_stuck_threads_longest_seconds" + labels), 1);
  write(tree, {.pid = 10, .comm = "a", .state = 'S'});
  EXPECT_EQ(count(run(*collector, kStartNs + 2 * kSecondNs), "tidegauge_stuck_threads"), 0U);
}

TEST(ProcessCollector, MissingFilesAreMissingFields) {
  struct Case {
    std::string_view file;
    std::string_view absent;
    std::string_view field;
  };
  const Case kCases[] = {
      {"io", "tidegauge_group_storage_read_bytes_total", "io"},
      {"schedstat", "tidegauge_group_run_queue_wait_seconds_total", "run_delay"},
      {"status", "tidegauge_group_resident_memory_bytes", "uid"},
      {"cgroup", "", ""},
  };
  for (const Case& one : kCases) {
    const FixtureTree tree;
    write(tree, {.pid = 10, .comm = "a", .major_faults = 9});
    tree.remove("proc/10/" + std::string(one.file));
    const auto collector = make(tree);
    const Series series = run(*collector, kStartNs);
    EXPECT_EQ(count(series, "tidegauge_group_page_faults_total"), 2U) << one.file;
    if (one.file == "cgroup") {
      EXPECT_EQ(value(series, "tidegauge_group_processes{group=\"a\"}"), 1);
      continue;
    }
    EXPECT_EQ(count(series, std::string(one.absent) + "{group=\"shop"), 0U) << one.file;
    EXPECT_EQ(count(series, "tidegauge_process_missing{field=\"" + std::string(one.field) + "\""),
              1U)
        << one.file;
  }
}

TEST(ProcessCollector, PrivacyCoversUnitsAndContainers) {
  const FixtureTree tree;
  tree.write("root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
  std::vector<Proc> all = {
      {.pid = 10, .comm = "a", .cgroup = "0::/system.slice/backup@home-alice.service\n"},
      {.pid = 11, .comm = "b", .cgroup = "0::/user.slice/user-1.slice/secret.service\n"},
      {.pid = 12, .comm = "c", .cgroup = "0::/lxc/alice/system.slice/nginx.service\n"},
  };
  for (const Privacy privacy : {Privacy::kHash, Privacy::kDrop}) {
    KernelRoots roots = tree.files().roots();
    roots.privacy = privacy;
    const auto collector = testing::make(kProcessCollector, KernelFiles(roots), {"source=procfs"});
    ASSERT_TRUE(collector);
    Series series;
    for (const std::int64_t at_ns : {kStartNs, kStartNs + kSecondNs}) {
      for (Proc& proc : all) {
        proc.user_ticks += 90;
        write(tree, proc);
      }
      series = run(**collector, at_ns);
    }
    EXPECT_EQ(count(series, "tidegauge_process_cpu_seconds_total{"), 6U) << "all are shown";
    for (const auto& [name, ignored] : series) {
      EXPECT_EQ(name.find("alice"), std::string::npos) << name;
      EXPECT_EQ(name.find("secret"), std::string::npos) << name;
    }
  }
}

TEST(ProcessCollector, MoreGroupsThanAllowed) {
  const FixtureTree tree;
  for (std::uint32_t pid = 10; pid < 20; ++pid) {
    write(tree,
          {.pid = pid, .comm = "p" + std::to_string(pid), .major_faults = 1, .cgroup = "0::/\n"});
  }
  const auto collector = make(tree, {"source=procfs", "max_groups=4"});
  const Series series = run(*collector, kStartNs);
  EXPECT_EQ(count(series, "tidegauge_group_processes{"), 4U) << "one is kept for services";
  EXPECT_EQ(value(series, "tidegauge_group_processes{group=\"other\"}"), 7);
  EXPECT_EQ(value(series, "tidegauge_group_page_faults_total{group=\"other\",kind=\"major\"}"), 7);
  EXPECT_EQ(value(series, "tidegauge_process_group_overflows_total"), 7);
}

TEST(ProcessCollector, NoProcfs) {
  const FixtureTree tree;
  const auto collector = make(tree);
  const auto section = testing::run(*collector);
  ASSERT_FALSE(section);
  EXPECT_EQ(section.error().kind, ErrorKind::kMissing) << section.error().message();
  write(tree, {.pid = 10, .comm = "a"});
  EXPECT_EQ(value(run(*collector, kStartNs), "tidegauge_processes"), 1) << "it recovers";
}

TEST(ProcessCollector, Options) {
  const FixtureTree tree;
  for (const char* wrong : {"source=bpf", "source=", "max_groups=0", "max_groups=10001",
                            "max_groups=x", "top=-1", "top=101"}) {
    const auto collector = testing::make(kProcessCollector, tree.files(), {wrong});
    ASSERT_FALSE(collector) << wrong;
    EXPECT_EQ(collector.error().kind, ErrorKind::kInvalid) << wrong;
    const std::string text = wrong;
    EXPECT_NE(collector.error().message().find(text.substr(0, text.find('='))), std::string::npos)
        << collector.error().message();
  }
}

// The iterator would show this machine's tasks under another tree's numbers. What it says about that
// becomes a label: the same on every machine.
TEST(ProcessCollector, TheIteratorRefusesAProcfsThatIsNotItsOwn) {
  const FixtureTree tree;
  write(tree, {.pid = 10, .comm = "a"});
  struct Case {
    std::string status;
    std::string reason;
  };
  const Case kCases[] = {
      {"", "--path.procfs is not this kernel's"},
      {"Name:\tx\nNSpid:\t999999999\n", "--path.procfs is of an outer pid namespace"},
      {"Name:\tx\nNSpid:\t" + std::to_string(::getpid()) + "\t7\n",
       "--path.procfs is of an outer pid namespace"},
      {"Name:\tx\nNSpid:\tx\n", "--path.procfs is of an outer pid namespace"},
  };
  const auto expect_reason = [&](const std::string& reason) {
    const auto iterator = make_task_iterator(tree.files());
    ASSERT_FALSE(iterator);
    EXPECT_EQ(iterator.error().where, reason);
    const Series series = run(*make(tree, {"source=auto"}), kStartNs);
    EXPECT_EQ(value(series,
                    "tidegauge_process_source_info{source=\"procfs\",reason=\"no BPF "
                    "iterator: " +
                        reason + "\"}"),
              1);
    const auto forced = make(tree, {"source=iterator"});
    EXPECT_FALSE(testing::run(*forced));
  };
  expect_reason("--path.procfs is not of this daemon's pid namespace");
  for (const Case& one : kCases) {
    tree.write("proc/self/status", one.status);
    expect_reason(one.reason);
  }
}

}  // namespace
}  // namespace tidegauge
