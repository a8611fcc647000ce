// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/owner_groups.h"

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "collectors/ebpf/file_sums.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

class OwnersOfGroups : public ::testing::Test {
 protected:
  void SetUp() override {
    owners_fd_ = ::bpf_map_create(BPF_MAP_TYPE_HASH, "owners", sizeof(std::uint32_t),
                                  sizeof(tg_owner), TG_OWNERS, nullptr);
    if (owners_fd_ < 0) {
      GTEST_SKIP() << "no BPF maps here: " << std::strerror(errno);
    }
  }
  void TearDown() override {
    if (owners_fd_ >= 0) {
      ::close(owners_fd_);
    }
  }

  void put(std::uint32_t owner, const char* comm) const {
    tg_owner what{};
    std::snprintf(what.comm, sizeof(what.comm), "%s", comm);
    what.tgid = 1'000'000 + owner;
    ASSERT_EQ(::bpf_map_update_elem(owners_fd_, &owner, &what, BPF_ANY), 0);
  }

  void begin_pass(std::int64_t now_ns) {
    CollectContext context;
    context.boottime_ns = now_ns;
    context.buffer = &buffer_;
    groups_.begin_pass(context, owners_fd_);
  }

  std::string name_of(std::uint32_t owner) {
    return std::string(groups_.name(groups_.group_of(owner)));
  }

  testing::FixtureTree tree_;
  ReadBuffer buffer_;
  int owners_fd_ = -1;
  std::vector<std::uint32_t> ended_;
  OwnerGroups groups_{tree_.files(), 4, [this](std::uint32_t group) { ended_.push_back(group); }};
};

TEST_F(OwnersOfGroups, ThoseThatRestGiveTheirPlacesToNewOnes) {
  const char* const names[] = {"", "first", "second", "third", "fourth"};
  for (std::uint32_t owner = 1; owner <= 4; ++owner) {
    put(owner, names[owner]);
  }
  // Three quarters of the places are for names that processes choose.
  begin_pass(1 * kSecond);
  EXPECT_EQ(name_of(1), "first");
  EXPECT_EQ(name_of(2), "second");
  EXPECT_EQ(name_of(3), "third");
  EXPECT_EQ(name_of(4), "other");
  EXPECT_EQ(name_of(99), "other");  // not in the map
  const std::uint32_t second = groups_.group_of(2);

  begin_pass(200 * kSecond);
  EXPECT_EQ(name_of(1), "first");
  EXPECT_EQ(name_of(3), "third");
  EXPECT_EQ(name_of(4), "other");
  EXPECT_TRUE(ended_.empty());

  begin_pass(400 * kSecond);  // the second one has rested for more than five minutes
  EXPECT_EQ(ended_, std::vector<std::uint32_t>{second});
  EXPECT_EQ(groups_.group_of(4), second);
  EXPECT_EQ(name_of(4), "fourth");
  EXPECT_EQ(name_of(1), "first");
  EXPECT_EQ(name_of(2), "other");  // it comes again: as anybody else
}

// A process that takes a new name with every breath, for as long as it likes.
TEST_F(OwnersOfGroups, AreNotRememberedWithoutEnd) {
  put(1, "first");
  std::uint32_t next = 100;
  for (int pass = 1; pass <= 40; ++pass) {
    begin_pass(pass * kSecond);
    EXPECT_EQ(name_of(1), "first");
    for (const std::uint32_t until = next + 1000; next < until; ++next) {
      put(next, ("name" + std::to_string(next)).c_str());
      static_cast<void>(groups_.group_of(next));
      ASSERT_EQ(::bpf_map_delete_elem(owners_fd_, &next), 0);
    }
    EXPECT_LT(groups_.owners(), OwnerGroups::kMaxOwners + 1001);
  }
  begin_pass(41 * kSecond);
  EXPECT_LT(groups_.owners(), OwnerGroups::kMaxOwners);
  ASSERT_NE(groups_.find(1), nullptr);  // who is asked for stays
  EXPECT_STREQ(groups_.find(1)->comm, "first");
  EXPECT_NE(groups_.find(next - 1), nullptr);  // and the latest do
}

TEST_F(OwnersOfGroups, NothingEndsWhileThereIsRoom) {
  put(1, "first");
  put(2, "second");
  begin_pass(1 * kSecond);
  const std::uint32_t second = groups_.group_of(2);
  for (int pass = 1; pass < 100; ++pass) {
    begin_pass((1 + pass * 3600) * kSecond);
    EXPECT_EQ(name_of(1), "first");
    EXPECT_EQ(groups_.name(second), "second");
  }
  EXPECT_TRUE(ended_.empty());
}

TEST(FileSumsOfGroups, EndWithTheirGroup) {
  ChurnSums churn;
  tg_churn_key key{};
  key.fstype[0] = 'x';
  const tg_churn added{};
  add_churn(churn, 1, key, added);
  add_churn(churn, 2, key, added);
  forget_group(churn, 1);
  EXPECT_EQ(churn.size(), 1U);
  EXPECT_EQ(churn.count({2, "x"}), 1U);

  DirectorySums directories(2);
  tg_directory once{};
  once.created = 1;
  directories.add(1, "/a", once, kSecond);
  directories.add(1, "/b", once, kSecond);
  directories.add(1, "/c", once, kSecond);  // "other"
  directories.forget_group(1);
  directories.add(2, "/a", once, kSecond);  // there is room again
  directories.add(2, "/b", once, kSecond);
  std::vector<std::string> left;
  directories.for_each([&](std::uint32_t group, const std::string& pattern, const DirectorySum&) {
    left.push_back(std::to_string(group) + pattern);
  });
  EXPECT_EQ(left, (std::vector<std::string>{"2/a", "2/b"}));
}

}  // namespace
}  // namespace tidegauge
