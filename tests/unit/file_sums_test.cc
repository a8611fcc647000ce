// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_sums.h"

#include <gtest/gtest.h>

#include <cstring>

#include "collectors/ebpf/slow_operations.h"

namespace tidegauge {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(FileSums, OwnersOfOneGroupAreOne) {
  OperationSums sums;
  tg_operation_key key{.owner = 1, .operation = TG_FILE_FSYNC, .fstype = "ext4"};
  tg_operation added{};
  added.ns = 5'000;
  added.errors = 1;
  added.bytes = 100;
  added.slow = 1;
  added.slots[3] = 2;
  add_operations(sums, 7, key, added);
  key.owner = 2;
  add_operations(sums, 7, key, added);
  key.operation = TG_FILE_SYNC;
  add_operations(sums, 7, key, added);
  ASSERT_EQ(sums.size(), 2U);
  const OperationSum& sum = sums.at({7, "ext4", TG_FILE_FSYNC});
  EXPECT_EQ(sum.durations.count(), 4U);
  EXPECT_EQ(sum.durations.sum_ns, 10'000U);
  EXPECT_EQ(sum.errors, 2U);
  EXPECT_EQ(sum.bytes, 200U);
  EXPECT_EQ(sum.slow, 2U);
}

TEST(FileSums, NamesOfFileSystemsMayFillTheirField) {
  OperationSums sums;
  tg_operation_key key{.owner = 1, .operation = TG_FILE_FSYNC, .fstype = {}};
  std::memset(key.fstype, 'x', sizeof(key.fstype));
  add_operations(sums, 0, key, {});
  EXPECT_TRUE(sums.contains({0, std::string(16, 'x'), TG_FILE_FSYNC}));
}

TEST(FileSums, Churn) {
  ChurnSums sums;
  const tg_churn_key key{.owner = 1, .zero = 0, .fstype = "ext4"};
  tg_churn added{};
  added.created = 3;
  added.deleted = 2;
  added.lifetime_ns = 10;
  added.lifetimes[0] = 2;
  add_churn(sums, 4, key, added);
  add_churn(sums, 4, key, added);
  const ChurnSum& sum = sums.at({4, "ext4"});
  EXPECT_EQ(sum.created, 6U);
  EXPECT_EQ(sum.deleted, 4U);
  EXPECT_EQ(sum.lifetimes.count(), 4U);
}

TEST(FileSums, DirectoriesThatFindNoRoomAreOther) {
  DirectorySums sums(2);
  const tg_directory one{
      .created = 1, .deleted = 0, .bytes = 10, .unstored = 4, .untold = 1, .told_print = 99};
  for (const char* pattern : {"/a", "/b", "/c", "/d", "/a"}) {
    sums.add(1, pattern, one, kSecond);
  }
  sums.add(2, "/c", one, kSecond);
  std::map<std::string, std::uint64_t> created;
  sums.for_each([&](std::uint32_t group, const std::string& pattern, const DirectorySum& sum) {
    created[std::to_string(group) + pattern] = sum.created;
    EXPECT_EQ(sum.bytes, 10 * sum.created);
    EXPECT_EQ(sum.unstored_bytes, 4 * sum.created);
  });
  EXPECT_EQ(created, (std::map<std::string, std::uint64_t>{
                         {"1/a", 2}, {"1/b", 1}, {"1other", 2}, {"2other", 1}}));
  // Who was idle longest gives its place up, and what it has counted to "other".
  sums.add(1, "/b", one, 20 * kSecond);
  sums.add(1, "/e", one, 31 * kSecond);
  sums.add(1, "/f", one, 32 * kSecond);
  sums.add(1, "/g", one, 51 * kSecond);
  created.clear();
  sums.for_each([&](std::uint32_t group, const std::string& pattern, const DirectorySum& sum) {
    created[std::to_string(group) + pattern] = sum.created;
    EXPECT_EQ(sum.bytes, 10 * sum.created);
    EXPECT_EQ(sum.untold, sum.created);
  });
  EXPECT_EQ(created, (std::map<std::string, std::uint64_t>{
                         {"1/f", 1}, {"1/g", 1}, {"1other", 2 + 1 + 2 + 2}, {"2other", 1}}));
}

SlowOperation slow(std::string path, std::uint64_t ns, std::int64_t seen_ns) {
  SlowOperation out;
  out.operation = "fsync";
  out.path = std::move(path);
  out.ns = ns;
  out.seen_ns = seen_ns;
  return out;
}

TEST(SlowOperations, TheLastFewOfTheLastMinutes) {
  SlowOperations operations;
  for (int i = 0; i < 20; ++i) {
    operations.add(slow("/" + std::to_string(i), 1, i * kSecond));
  }
  EXPECT_EQ(operations.kept().size(), SlowOperations::kKept);
  EXPECT_EQ(operations.kept().front().path, "/4");
  operations.forget(310 * kSecond);
  EXPECT_EQ(operations.kept().front().path, "/10");
  operations.forget(1000 * kSecond);
  EXPECT_TRUE(operations.kept().empty());
}

TEST(SlowOperations, OfEqualOnesTheLongestCounts) {
  SlowOperations operations;
  operations.add(slow("/a", 5, kSecond));
  operations.add(slow("/b", 1, kSecond));
  operations.add(slow("/a", 3, 2 * kSecond));
  ASSERT_EQ(operations.kept().size(), 2U);
  EXPECT_EQ(operations.kept().back().path, "/a");
  EXPECT_EQ(operations.kept().back().ns, 5U);
  EXPECT_EQ(operations.kept().back().seen_ns, 2 * kSecond);
}

}  // namespace
}  // namespace tidegauge
