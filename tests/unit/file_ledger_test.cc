// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

namespace tidegauge {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

tg_file_key key(std::uint64_t inode) { return {.inode = inode, .device = 1, .generation = 2}; }

tg_file file(std::uint64_t syncs, std::uint64_t sync_ns, std::uint64_t written = 0,
             std::uint64_t read = 0) {
  tg_file out{};
  out.counts = {.syncs = syncs, .sync_ns = sync_ns, .written_bytes = written, .read_bytes = read};
  out.worst_ns = sync_ns;
  out.tgid = 10;
  out.tid = 11;
  out.owner = 12;
  __builtin_memcpy(out.comm, "worker", 7);
  __builtin_memcpy(out.fstype, "ext4", 5);
  return out;
}

struct Ledger : FileLedger {
  explicit Ledger(std::size_t top = 10) : FileLedger(top) {}
  std::map<std::string, FileTotals> shown() const {
    std::map<std::string, FileTotals> out;
    for_each_top([&](const FileTotals& totals) { out[totals.path] = totals; });
    return out;
  }
  // One pass with one file in the kernel's table.
  std::vector<tg_file_key> pass(std::int64_t now_ns, const tg_file_key& of, const tg_file& now) {
    begin_pass(now_ns);
    add(of, now);
    return end_pass();
  }
};

TEST(FileLedger, WhatAFileDidCountsUnderItsPath) {
  Ledger ledger;
  ledger.begin_pass(kSecond);
  ledger.set_path(key(1), "/f", file(0, 0));
  ledger.add(key(1), file(10, 50'000'000, 4096));
  EXPECT_TRUE(ledger.end_pass().empty());
  ledger.pass(2 * kSecond, key(1), file(30, 150'000'000, 8192, 4096));
  const auto shown = ledger.shown();
  ASSERT_EQ(shown.size(), 1U);
  const FileTotals& totals = shown.at("/f");
  EXPECT_EQ(totals.syncs, 30U);
  EXPECT_EQ(totals.sync_ns, 150'000'000U);
  EXPECT_EQ(totals.written_bytes, 8192U);
  EXPECT_EQ(totals.read_bytes, 4096U);
  EXPECT_EQ(totals.fstype, "ext4");
  EXPECT_EQ(totals.thread, "worker");
  EXPECT_EQ(totals.pid, 10U);
  EXPECT_EQ(totals.tid, 11U);
  EXPECT_EQ(totals.owner, 12U);
  EXPECT_EQ(ledger.path_of(key(1)), "/f");
  EXPECT_EQ(ledger.path_of(key(2)), "");
}

TEST(FileLedger, ARenameDividesWhatWasDone) {
  Ledger ledger;
  ledger.begin_pass(kSecond);
  ledger.end_pass();
  ledger.begin_pass(2 * kSecond);
  ledger.set_path(key(1), "/old", file(0, 0));
  ledger.set_path(key(1), "/new", file(5, 50'000'000));
  ledger.add(key(1), file(8, 80'000'000));
  ledger.end_pass();
  const auto shown = ledger.shown();
  EXPECT_EQ(shown.at("/old").syncs, 5U);
  EXPECT_EQ(shown.at("/new").syncs, 3U);
  EXPECT_EQ(shown.at("/old").thread, "worker");
}

TEST(FileLedger, FilesOneAfterAnotherUnderOnePathAreOne) {
  Ledger ledger;
  ledger.begin_pass(kSecond);
  ledger.end_pass();
  for (std::uint64_t inode = 1; inode <= 3; ++inode) {
    ledger.begin_pass(static_cast<std::int64_t>(inode + 1) * kSecond);
    ledger.set_path(key(inode), "/f", file(0, 0));
    ledger.add(key(inode), file(10, 50'000'000));
    ledger.end_pass();
  }
  EXPECT_EQ(ledger.shown().at("/f").syncs, 30U);
}

TEST(FileLedger, EqualPathsOfContainersAreApart) {
  Ledger ledger;
  ledger.begin_pass(kSecond);
  ledger.end_pass();
  ledger.begin_pass(2 * kSecond);
  tg_file_key elsewhere = key(3);
  elsewhere.device = 8U << 20U | 2U;
  ledger.set_path(key(1), "/data/f", file(0, 0));
  ledger.set_path(key(2), "/data/f", file(0, 0), 50);
  ledger.set_path(elsewhere, "/data/f", file(0, 0));
  ledger.add(key(1), file(10, 50'000'000));
  ledger.add(key(2), file(20, 60'000'000));
  ledger.add(elsewhere, file(30, 70'000'000));
  ledger.end_pass();
  std::map<std::string, std::uint64_t> syncs;
  ledger.for_each_top([&](const FileTotals& totals) {
    syncs[totals.device + " " + totals.root + totals.path] = totals.syncs;
  });
  EXPECT_EQ(syncs, (std::map<std::string, std::uint64_t>{
                       {"0:1 /data/f", 10}, {"0:1 0:50/data/f", 20}, {"8:2 /data/f", 30}}));
}

TEST(FileLedger, AnEntryThatTheKernelForgotBeginsAnew) {
  Ledger ledger;
  ledger.begin_pass(kSecond);
  ledger.set_path(key(1), "/f", file(0, 0));
  ledger.add(key(1), file(10, 50'000'000));
  ledger.end_pass();
  ledger.begin_pass(2 * kSecond);
  ledger.end_pass();
  EXPECT_EQ(ledger.present(), 0U);
  ledger.begin_pass(3 * kSecond);
  ledger.set_path(key(1), "/f", file(0, 0));
  ledger.add(key(1), file(2, 20'000'000));
  ledger.end_pass();
  EXPECT_EQ(ledger.shown().at("/f").syncs, 12U);
}

TEST(FileLedger, GrowthWaitsForItsName) {
  Ledger ledger;
  ledger.pass(kSecond, key(1), file(0, 0, 70'000));
  EXPECT_TRUE(ledger.shown().empty());
  ledger.begin_pass(2 * kSecond);
  ledger.set_path(key(1), "/f", file(0, 0, 75'000));
  ledger.add(key(1), file(0, 0, 800'000));
  ledger.end_pass();
  EXPECT_EQ(ledger.shown().at("/f").written_bytes, 800'000U);
}

TEST(FileLedger, IdleOnesAreToBeForgotten) {
  Ledger ledger;
  EXPECT_TRUE(ledger.pass(kSecond, key(1), file(1, 1)).empty());
  EXPECT_TRUE(ledger.pass(100 * kSecond, key(1), file(1, 1)).empty());
  EXPECT_TRUE(ledger.pass(101 * kSecond, key(1), file(2, 2)).empty());
  EXPECT_TRUE(ledger.pass(200 * kSecond, key(1), file(2, 2)).empty());
  const auto idle = ledger.pass(400 * kSecond, key(1), file(2, 2));
  ASSERT_EQ(idle.size(), 1U);
  EXPECT_EQ(idle[0].inode, 1U);
}

TEST(FileLedger, OnlyTheBusiestAreShownAndPathsAreBounded) {
  Ledger ledger(3);
  ledger.begin_pass(kSecond);
  ledger.end_pass();
  for (std::uint64_t i = 1; i <= 6000; ++i) {
    if (i % 1000 == 1) {
      ledger.begin_pass(static_cast<std::int64_t>(2 + i / 1000) * kSecond);
    }
    ledger.set_path(key(i), "/f" + std::to_string(i), file(0, 0));
    ledger.add(key(i), file(1, i * 1'000'000));
    if (i % 1000 == 0) {
      ledger.end_pass();
    }
  }
  EXPECT_LE(ledger.shown().size(), 6U);
  EXPECT_FALSE(ledger.shown().empty());
  EXPECT_EQ(ledger.path_of(key(1)), "");
}

// Files that come and go, each under a path of its own, as on a host that builds: for days.
TEST(FileLedger, IsBoundedHoweverManyFilesThereWere) {
  Ledger ledger;
  std::uint64_t next = 1;
  std::size_t most_paths = 0;
  for (int pass = 1; pass <= 300; ++pass) {
    ledger.begin_pass(pass * kSecond);
    const std::uint64_t first = next;
    for (; next < first + 200; ++next) {
      ledger.set_path(key(next), "/build/" + std::to_string(next), file(0, 0));
    }
    // The kernel's table keeps the latest.
    for (std::uint64_t i = next > TG_FILE_ENTRIES ? next - TG_FILE_ENTRIES : 1; i < next; ++i) {
      ledger.add(key(i), file(1, 1'000'000, 100'000));
    }
    ledger.end_pass();
    most_paths = std::max(most_paths, ledger.paths());
    EXPECT_LE(ledger.inodes(), std::size_t{TG_FILE_ENTRIES});
  }
  EXPECT_GT(most_paths, 3072U);
  EXPECT_LE(most_paths, 4096U);
  for (const auto& [path, totals] : ledger.shown()) {
    EXPECT_EQ(totals.written_bytes, 100'000U) << path;
  }
  // Those that are known are still found by their names.
  const tg_file_key again = key(1'000'000);
  ledger.begin_pass(301 * kSecond);
  const std::size_t paths = ledger.paths();
  ledger.set_path(again, "/build/" + std::to_string(next - 1), file(0, 0));
  EXPECT_EQ(ledger.paths(), paths);
  ledger.set_path(again, "/build/1", file(0, 0));
  EXPECT_EQ(ledger.paths(), paths + 1);
}

TEST(FileLedger, TheLongestIsOfTheLastMinute) {
  Ledger ledger;
  ledger.pass(kSecond, key(1), file(0, 0));
  ledger.begin_pass(2 * kSecond);
  ledger.set_path(key(1), "/f", file(0, 0));
  ledger.add(key(1), file(1, 900'000'001));
  ledger.end_pass();
  EXPECT_EQ(ledger.shown().at("/f").worst_sync_ns, 900'000'001U);
  tg_file later = file(3, 905'000'000);
  later.worst_ns = 5'000'000;
  ledger.pass(40 * kSecond, key(1), later);
  later.counts.syncs = 4;
  ledger.pass(75 * kSecond, key(1), later);
  EXPECT_EQ(ledger.shown().at("/f").worst_sync_ns, 5'000'000U);
}

}  // namespace
}  // namespace tidegauge
