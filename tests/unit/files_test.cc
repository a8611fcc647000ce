// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>

#include "collectors/core/sha256.h"
#include "collectors/procfs/regular_file.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;
using testing::FixtureTree;
using Series = std::map<std::string, double>;

// Far enough in the future for every file of a test to count as settled.
constexpr std::int64_t kLater = 4'000'000'000'000'000'000;

// FIPS 180-4's examples.
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string info(const char* path, const char* sha256) {
  return std::string("tidegauge_file_info{path=\"") + path + "\",sha256=\"" + sha256 + "\"}";
}
std::string series(const char* name, const char* path) {
  return std::string("tidegauge_file_") + name + "{path=\"" + path + "\"}";
}

Series run(Collector& collector) {
  const auto section = testing::run(collector, 1, kLater);
  EXPECT_TRUE(section) << error_text(section);
  return section ? testing::flatten(*section) : Series{};
}

std::unique_ptr<Collector> make(const FixtureTree& tree, const std::string& paths,
                                const std::string& max_bytes = "1000000") {
  auto made =
      testing::make(kFilesCollector, tree.files(), {"paths=" + paths, "max_bytes=" + max_bytes});
  EXPECT_TRUE(made) << error_text(made);
  return made ? std::move(*made) : nullptr;
}

TEST(Sha256, KnowsTheStandardsExamples) {
  Sha256 hash;
  EXPECT_EQ(hash.finish(), kEmpty);
  hash.add("a");
  hash.add("bc");
  EXPECT_EQ(hash.finish(), kAbc);
  EXPECT_EQ(hash.finish(), kEmpty);
}

TEST(FilesCollector, ShowsSizeTimeAndHash) {
  const FixtureTree tree;
  tree.write("root/etc/abc", "abc");
  tree.write("root/etc/empty", "");
  const Series now = run(*make(tree, "/etc/abc\n/etc/empty\n/etc/abc"));
  EXPECT_EQ(now.at(series("exists", "/etc/abc")), 1);
  EXPECT_EQ(now.at(series("readable", "/etc/abc")), 1);
  EXPECT_EQ(now.at(series("size_bytes", "/etc/abc")), 3);
  EXPECT_GT(now.at(series("mtime_timestamp_seconds", "/etc/abc")), 1.6e9);
  EXPECT_EQ(now.at(info("/etc/abc", kAbc)), 1);
  EXPECT_EQ(now.at(info("/etc/empty", kEmpty)), 1);
  EXPECT_EQ(now.size(), 10U);
}

TEST(FilesCollector, FollowsAFileThroughItsLife) {
  const FixtureTree tree;
  const auto collector = make(tree, "/etc/abc");
  const Series missing{{series("exists", "/etc/abc"), 0}, {series("readable", "/etc/abc"), 0}};
  EXPECT_EQ(run(*collector), missing);
  tree.write("root/etc/abc", "xyz");
  EXPECT_EQ(run(*collector).count(info("/etc/abc", kAbc)), 0U);
  tree.write("root/etc/abc", "abc");
  EXPECT_EQ(run(*collector).count(info("/etc/abc", kAbc)), 1U);
  EXPECT_EQ(run(*collector).count(info("/etc/abc", kAbc)), 1U);
  tree.remove("root/etc/abc");
  EXPECT_EQ(run(*collector), missing);
}

TEST(FilesCollector, DoesNotHashLargeFiles) {
  const FixtureTree tree;
  tree.write("root/big", "abcd");
  const Series now = run(*make(tree, "/big", "3"));
  EXPECT_EQ(now.at(series("size_bytes", "/big")), 4);
  EXPECT_EQ(now.at(series("readable", "/big")), 1);
  EXPECT_EQ(now.size(), 4U);
  EXPECT_EQ(run(*make(tree, "/big", "4")).size(), 5U);
  EXPECT_EQ(run(*make(tree, "/big", "0")).size(), 4U);
}

TEST(FilesCollector, NeitherWaitsForNorReadsWhatIsNoFile) {
  const FixtureTree tree;
  tree.write("root/etc/x", "");
  ASSERT_EQ(::mkfifo(tree.path("root/etc/fifo").c_str(), 0600), 0);
  tree.link("root/etc/null", "/dev/null");
  const Series now = run(*make(tree, "/etc/fifo\n/etc\n/etc/x/y"));
  const Series expected{{series("exists", "/etc/fifo"), 1}, {series("readable", "/etc/fifo"), 0},
                        {series("exists", "/etc"), 1},      {series("readable", "/etc"), 0},
                        {series("exists", "/etc/x/y"), 0},  {series("readable", "/etc/x/y"), 0}};
  EXPECT_EQ(now, expected);
}

TEST(FilesCollector, StaysBelowTheRoot) {
  const FixtureTree tree;
  tree.write("root/run/real", "abc");
  tree.link("root/etc/absolute", "/run/real");
  tree.link("root/etc/relative", "../run/real");
  tree.link("root/etc/escape", "../../../../../../../../../../etc/passwd");
  // openat2 came with 5.6; before it only the relative link is sure to stay inside.
  const Series now = run(*make(tree, "/etc/relative\n/etc/absolute\n/etc/escape"));
  EXPECT_EQ(now.count(info("/etc/relative", kAbc)), 1U);
  if (now.count(info("/etc/absolute", kAbc)) == 0) {
    GTEST_SKIP() << "no openat2 on this kernel";
  }
  EXPECT_EQ(now.at(series("exists", "/etc/escape")), 0);
}

TEST(FilesCollector, ShowsWhatItMayNotRead) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root may read everything";
  }
  const FixtureTree tree;
  tree.write("root/secret", "abc");
  ASSERT_EQ(::chmod(tree.path("root/secret").c_str(), 0), 0);
  const Series now = run(*make(tree, "/secret"));
  EXPECT_EQ(now.at(series("exists", "/secret")), 1);
  EXPECT_EQ(now.at(series("readable", "/secret")), 0);
  EXPECT_EQ(now.at(series("size_bytes", "/secret")), 3);
  EXPECT_EQ(now.size(), 4U);
}

TEST(FilesCollector, RefusesOddPaths) {
  const FixtureTree tree;
  EXPECT_EQ(testing::make(kFilesCollector, tree.files(), {"paths=etc/hosts"}).error().kind,
            ErrorKind::kInvalid);
  std::string many;
  for (int i = 0; i < 257; ++i) {
    many += "/" + std::to_string(i) + "\n";
  }
  EXPECT_EQ(testing::make(kFilesCollector, tree.files(), {"paths=" + many}).error().kind,
            ErrorKind::kInvalid);
  EXPECT_EQ(run(*make(tree, "")).size(), 0U);
}

TEST(FilesCollector, HasUsefulDefaults) {
  const auto section = testing::run_once(kFilesCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << error_text(section);
  EXPECT_EQ(testing::flatten(*section).at(series("size_bytes", "/etc/hosts")), 34);
}

TEST(RegularFile, VouchesForContentOnlyWhenItsTimesAreOld) {
  FileIdentity identity;
  identity.ctime_ns = 10'000'000'000;
  EXPECT_FALSE(identity.settled(10'000'000'000));
  EXPECT_FALSE(identity.settled(12'000'000'000));
  EXPECT_TRUE(identity.settled(12'000'000'001));
}

TEST(RegularFile, ReadsUpToALimit) {
  const FixtureTree tree;
  tree.write("root/abc", "abc");
  const auto file = RegularFile::find("/", tree.path("root/abc"));
  ASSERT_TRUE(file) << error_text(file);
  ReadBuffer buffer;
  EXPECT_EQ(file->read(buffer, 3).value(), "abc");
  EXPECT_EQ(file->read(buffer, 2).error().kind, ErrorKind::kTooLarge);
  EXPECT_EQ(RegularFile::find("/", tree.path("root")).error().kind, ErrorKind::kUnsupported);
  EXPECT_EQ(RegularFile::find("/", tree.path("root/no")).error().kind, ErrorKind::kMissing);
  // A file of procfs has no size but has content.
  const auto endless = RegularFile::find("/", "/proc/self/status");
  if (endless) {
    EXPECT_EQ(endless->read(buffer, 10).error().kind, ErrorKind::kTooLarge);
    EXPECT_TRUE(endless->read(buffer, 100'000));
  }
}

}  // namespace
}  // namespace tidegauge
