// SPDX-License-Identifier: Apache-2.0

// Names of incident files, and which of them stay.

#include "daemon/recorder/incident_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "daemon/recorder/partial_file.h"
#include "tests/unit/testing.h"

namespace tidegauge::recording {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 1'795'656'752'123 * kMillisecond;  // 2026-11-26 01:32:32.123 UTC

TEST(IncidentName, IsWrittenAndRead) {
  EXPECT_EQ(file_name({kNow, "sigusr2", 1}), "20261126T013232.123Z-sigusr2.tgrec");
  EXPECT_EQ(file_name({kNow + 999'999, "sigusr2", 2}), "20261126T013232.123Z-sigusr2-2.tgrec");
  EXPECT_EQ(partial_name({0, "x", 1}), ".19700101T000000.000Z-x.tgrec.partial");
  for (const IncidentName& name :
       {IncidentName{kNow, "sigusr2", 1}, IncidentName{kNow, "a-b", 17}, IncidentName{0, "2", 1},
        IncidentName{9'000'000'000 * kSecond, "7", 2}}) {
    for (const std::string& text : {file_name(name), partial_name(name)}) {
      const auto parsed = parse_file_name(text);
      ASSERT_TRUE(parsed) << text;
      EXPECT_EQ(parsed->realtime_ns, name.realtime_ns) << text;
      EXPECT_EQ(parsed->reason, name.reason) << text;
      EXPECT_EQ(parsed->number, name.number) << text;
    }
  }
}

TEST(IncidentName, OthersAreNotOurs) {
  for (const char* name : {"",
                           ".",
                           "..",
                           ".tgrec",
                           "20261126T013232.123Z-.tgrec",
                           "20261126T013232.123Z-a.tgrec ",
                           "20261126T013232.123Z-A.tgrec",
                           "20261126T013232.123Z-a--b.tgrec",
                           "20261126T013232.123Z-a-1.tgrec",
                           "20261126T013232.123Z-a-02.tgrec",
                           "20261126T013232.123Z-a-99999999999.tgrec",
                           "20261126T013232.123Z-a/b.tgrec",
                           "20261126T013232.123z-a.tgrec",
                           "20261126T013232,123Z-a.tgrec",
                           "20261326T013232.123Z-a.tgrec",
                           "20260230T013232.123Z-a.tgrec",
                           "20261126T013260.123Z-a.tgrec",
                           "20261126T-13232.123Z-a.tgrec",
                           "+0261126T013232.123Z-a.tgrec",
                           "99991126T013232.123Z-a.tgrec",
                           "20261126T013232.123Z-a.tgrec.partial",
                           ".20261126T013232.123Z-a.tgrec",
                           "notes.txt"}) {
    EXPECT_FALSE(parse_file_name(name)) << name;
  }
}

TEST(IncidentName, ReasonsAreTamed) {
  EXPECT_EQ(incident_reason("sigusr2"), "sigusr2");
  EXPECT_EQ(incident_reason("Disk /dev/SDA: slow!"), "disk-dev-sda-slow");
  EXPECT_EQ(incident_reason("../../etc/passwd"), "etc-passwd");
  EXPECT_EQ(incident_reason(""), "unknown");
  EXPECT_EQ(incident_reason("\xFF\n--"), "unknown");
  EXPECT_EQ(incident_reason("psi-10"), "psi10");  // else it would be the tenth of "psi"
  EXPECT_EQ(incident_reason("a-1-2"), "a12");
  EXPECT_EQ(incident_reason(std::string(100, 'x')), std::string(32, 'x'));
  EXPECT_EQ(incident_reason(std::string(31, 'x') + " y"), std::string(31, 'x'));
}

TEST(IncidentName, CheapReasonsHaveAMarkThatOthersHaveNot) {
  EXPECT_EQ(marked_reason("sigusr2", false), "sigusr2");
  EXPECT_EQ(marked_reason("http", false), "http");
  EXPECT_EQ(marked_reason("HTTP disk-full", false), "httpdisk-full");
  EXPECT_EQ(marked_reason("http-http-a", false), "httphttp-a");
  EXPECT_EQ(marked_reason("disk full", true), "http-disk-full");
  EXPECT_EQ(marked_reason("http-disk", true), "http-disk");
  EXPECT_EQ(marked_reason("", true), "http-unknown");
  EXPECT_EQ(marked_reason("7", true), "http-x7");
  EXPECT_EQ(marked_reason(std::string(26, '7') + "-a", true), "http-x" + std::string(26, '7'));
  for (const char* text : {"", "7", "http", "http-7", "http-", "-http--x", "a-1"}) {
    for (const bool is_cheap : {false, true}) {
      const std::string reason = marked_reason(text, is_cheap);
      EXPECT_EQ(has_cheap_mark(reason), is_cheap) << text;
      EXPECT_TRUE(parse_file_name(file_name({kNow, reason, 2}))) << reason;
    }
  }
}

// Of one second and 10 bytes each, oldest first.
std::vector<IncidentFile> listed(const std::vector<std::string>& reasons) {
  std::vector<IncidentFile> out;
  for (const std::string& reason : reasons) {
    const std::int64_t time_ns = kNow + static_cast<std::int64_t>(out.size()) * kSecond;
    out.push_back({file_name({time_ns, reason, 1}), 10, time_ns, reason, false, time_ns});
  }
  return out;
}

using Indices = std::vector<std::size_t>;

TEST(IncidentSurplusTest, CheapOnesGoFirst) {
  const auto files = listed({"a", "http-b", "c", "http-d", "e"});
  const IncidentOptions none{.max_files = 0, .max_bytes = 0, .max_age_ns = 0};
  IncidentOptions options = none;
  EXPECT_EQ(count_surplus(files, options, kNow, {}).files, Indices{});
  options.max_files = 4;
  EXPECT_EQ(count_surplus(files, options, kNow, {}).files, Indices{1});
  EXPECT_EQ(count_surplus(files, options, kNow, {{"", 10}}).files, (Indices{1, 3}));
  options.max_files = 3;
  EXPECT_EQ(count_surplus(files, options, kNow, {{"", 10}}).files, (Indices{0, 1, 3}));
  options = none;
  options.max_bytes = 35;
  EXPECT_EQ(count_surplus(files, options, kNow, {}).files, (Indices{1, 3}));
  const auto all = count_surplus(files, options, kNow, {{"", 36}});
  EXPECT_EQ(all.files, (Indices{0, 1, 2, 3, 4}));
  EXPECT_FALSE(all.fits);
}

TEST(IncidentSurplusTest, ForACheapOneOnlyCheapOnesGo) {
  const auto files = listed({"a", "http-b", "c", "http-d", "e"});
  IncidentOptions options{.max_files = 5, .max_bytes = 0, .max_age_ns = 0};
  const auto one = count_surplus(files, options, kNow, {{"", 10, true}});
  EXPECT_EQ(one.files, Indices{1});
  EXPECT_TRUE(one.fits);
  options.max_files = 4;
  EXPECT_EQ(count_surplus(files, options, kNow, {{"", 10, true}}).files, (Indices{1, 3}));
  // In vain, none goes.
  options.max_files = 3;
  const auto refused = count_surplus(files, options, kNow, {{"", 10, true}});
  EXPECT_EQ(refused.files, Indices{});
  EXPECT_FALSE(refused.fits);
  options.max_files = 0;
  options.max_bytes = 40;
  EXPECT_EQ(count_surplus(files, options, kNow, {{"", 10, true}}).files, (Indices{1, 3}));
  EXPECT_FALSE(count_surplus(files, options, kNow, {{"", 11, true}}).fits);
  // What is too old goes all the same.
  options.max_age_ns = kSecond;
  const auto aged = count_surplus(files, options, kNow + 2 * kSecond, {{"", 11, true}});
  EXPECT_EQ(aged.files, (Indices{0, 1, 3}));
  EXPECT_TRUE(aged.fits);
}

TEST(IncidentSurplusTest, AWrongClockMakesHalfOfThemOld) {
  auto files = listed({"a", "b", "c", "d", "e"});
  const IncidentOptions options{.max_files = 0, .max_bytes = 0, .max_age_ns = 10 * kSecond};
  EXPECT_EQ(count_surplus(files, options, kNow + 10 * kSecond, {}).files, Indices{});
  EXPECT_EQ(count_surplus(files, options, kNow + 12 * kSecond, {}).files, (Indices{0, 1}));
  EXPECT_EQ(count_surplus(files, options, kNow + 1'000 * kSecond, {}).files, (Indices{0, 1, 2}));
  files[1].mtime_ns += 1'000 * kSecond;  // its name is of a clock that was behind, or it was copied
  EXPECT_EQ(count_surplus(files, options, kNow + 1'000 * kSecond, {}).files, (Indices{0, 2, 3}));
}

class IncidentDirectoryTest : public ::testing::Test {
 protected:
  IncidentDirectoryTest() {
    tree_.write("root/keep", "");
    path_ = tree_.path("root");
  }

  std::string add(std::int64_t age_ns, std::size_t bytes, const char* reason = "r",
                  bool is_torn = false) {
    const IncidentName name{(kNow - age_ns) / kMillisecond * kMillisecond, reason, 1};
    const std::string file = is_torn ? partial_name(name) : file_name(name);
    tree_.write("root/" + file, std::string(bytes, 'x'));
    const timespec time{.tv_sec = name.realtime_ns / kSecond,
                        .tv_nsec = name.realtime_ns % kSecond};
    const timespec times[2] = {time, time};
    EXPECT_EQ(::utimensat(AT_FDCWD, (path_ + "/" + file).c_str(), times, 0), 0);
    return file;
  }
  std::vector<std::string> names() {
    std::vector<std::string> out;
    const auto files = list_incidents(path_);
    for (const IncidentFile& file : *files) {
      out.push_back(file.name);
    }
    return out;
  }
  IncidentDirectory::Retention remove_surplus(
      const IncidentOptions& options, const std::optional<IncidentDirectory::Own>& own = {}) {
    auto directory = IncidentDirectory::open(path_);
    EXPECT_TRUE(directory) << testing::error_text(directory);
    auto out = directory->remove_surplus(options, kNow, own);
    EXPECT_TRUE(out) << testing::error_text(out);
    return *out;
  }

  testing::FixtureTree tree_;
  std::string path_;
};

TEST_F(IncidentDirectoryTest, ListsOldestFirstAndOnlyOurOwnRegularFiles) {
  add(1 * kSecond, 10, "young");
  add(3 * kSecond, 30, "old");
  add(2 * kSecond, 20, "torn", true);
  tree_.write("root/notes.tgrec", "x");
  tree_.link("root/" + file_name({kNow, "link", 1}), "keep");
  fs::create_directory(path_ + "/" + file_name({kNow, "directory", 1}));
  const auto files = list_incidents(path_ + "/");
  ASSERT_TRUE(files);
  ASSERT_EQ(files->size(), 3U);
  EXPECT_EQ((*files)[0].reason, "old");
  EXPECT_EQ((*files)[0].realtime_ns, kNow - 3 * kSecond);
  EXPECT_EQ((*files)[0].bytes, 30U);
  EXPECT_EQ((*files)[1].reason, "torn");
  EXPECT_TRUE((*files)[1].is_torn);
  EXPECT_EQ((*files)[1].name, partial_name({kNow - 2 * kSecond, "torn", 1}));
  EXPECT_FALSE((*files)[2].is_torn);
  EXPECT_EQ(list_incidents(path_ + "/none").error().kind, ErrorKind::kMissing);
  EXPECT_EQ(list_incidents(path_ + "/keep").error().kind, ErrorKind::kMissing);
}

TEST_F(IncidentDirectoryTest, KeepsCount) {
  add(4 * kSecond, 1);
  add(3 * kSecond, 1, "torn", true);
  const auto third = add(2 * kSecond, 1);
  const auto fourth = add(1 * kSecond, 1);
  EXPECT_EQ(remove_surplus({.max_files = 4}).removed.size(), 0U);
  const auto kept = remove_surplus({.max_files = 2});
  EXPECT_EQ(kept.removed.size(), 2U);
  EXPECT_EQ(kept.files, 2U);
  EXPECT_EQ(kept.bytes, 2U);
  EXPECT_EQ(names(), (std::vector{third, fourth}));
  // One that is to come counts.
  EXPECT_EQ(remove_surplus({.max_files = 2}, {{"", 0}}).removed, std::vector{third});
}

TEST_F(IncidentDirectoryTest, KeepsBytesAndTheOneBeingWritten) {
  const auto own = add(9 * kSecond, 500);
  const auto old = add(3 * kSecond, 100);
  const auto young = add(2 * kSecond, 100);
  EXPECT_TRUE(remove_surplus({.max_bytes = 700}, {{own, 500}}).removed.empty());
  EXPECT_EQ(remove_surplus({.max_bytes = 699}, {{own, 500}}).removed, std::vector{old});
  EXPECT_EQ(remove_surplus({.max_bytes = 10}, {{own, 500}}).removed, std::vector{young});
  EXPECT_EQ(names(), std::vector{own});
}

TEST_F(IncidentDirectoryTest, KeepsAgeAndNoLimitIsNone) {
  const auto old = add(11 * kSecond, 1);
  add(10 * kSecond, 1);
  EXPECT_TRUE(remove_surplus({.max_files = 0, .max_bytes = 0, .max_age_ns = 0}).removed.empty());
  EXPECT_EQ(remove_surplus({.max_age_ns = 10 * kSecond}).removed, std::vector{old});
  EXPECT_EQ(names().size(), 1U);
}

TEST_F(IncidentDirectoryTest, AgeIsOfTheNameAndTheFile) {
  const auto old = add(11 * kSecond, 1);
  tree_.write("root/" + old, "now");
  EXPECT_TRUE(remove_surplus({.max_age_ns = 10 * kSecond}).removed.empty());
}

TEST_F(IncidentDirectoryTest, ForACheapOneOthersStay) {
  add(3 * kSecond, 100);
  const auto cheap = add(2 * kSecond, 100, "http-r");
  const auto refused = remove_surplus({.max_bytes = 200}, {{"", 101, true}});
  EXPECT_FALSE(refused.fits);
  EXPECT_TRUE(refused.removed.empty());
  const auto kept = remove_surplus({.max_bytes = 200}, {{"", 100, true}});
  EXPECT_TRUE(kept.fits);
  EXPECT_EQ(kept.removed, std::vector{cheap});
}

TEST_F(IncidentDirectoryTest, APublishedFileIsThereThoughTheDirectoryCannotBeSynced) {
  const auto directory = IncidentDirectory::open(path_);
  ASSERT_TRUE(directory);
  auto file = PartialFile::create(*directory, {kNow, "r", 1});
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->sync_directory());
  // One that serves for names alone.
  const Descriptor path_only(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSERT_GE(::dup3(path_only.get(), directory->fd(), O_CLOEXEC), 0);
  ASSERT_TRUE(file->publish());
  EXPECT_EQ(file->sync_directory().error().errno_value, EBADF);
  EXPECT_EQ(names(), std::vector{file_name({kNow, "r", 1})});
  EXPECT_EQ(file->current_name(), file_name({kNow, "r", 1}));
}

TEST_F(IncidentDirectoryTest, WhatAnotherWriterHoldsStays) {
  const auto torn = add(3 * kSecond, 1, "torn", true);
  const auto whole = add(2 * kSecond, 1);
  Descriptor writer(::open((path_ + "/" + torn).c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::flock(writer.get(), LOCK_EX | LOCK_NB), 0);
  // Nor does another one go in its place.
  EXPECT_TRUE(remove_surplus({.max_files = 1}).removed.empty());
  EXPECT_EQ(names(), (std::vector{torn, whole}));
  writer = Descriptor();
  EXPECT_EQ(remove_surplus({.max_files = 1}).removed, std::vector{torn});
}

TEST_F(IncidentDirectoryTest, IsMadeWhereItsParentIs) {
  const mode_t mask = ::umask(0);
  const auto made = IncidentDirectory::open(path_ + "/new//");
  ::umask(mask);
  ASSERT_TRUE(made) << testing::error_text(made);
  EXPECT_FALSE(made->is_writable_by_others());
  struct stat info {};
  ASSERT_EQ(::stat((path_ + "/new").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0750U);
  EXPECT_EQ(IncidentDirectory::open(path_ + "/a/b/c").error().errno_value, ENOENT);
  EXPECT_FALSE(fs::exists(path_ + "/a"));
  EXPECT_TRUE(IncidentDirectory::open(path_ + "/a/b"));
  EXPECT_EQ(IncidentDirectory::open(path_ + "/keep").error().errno_value, ENOTDIR);
}

TEST_F(IncidentDirectoryTest, ExistingModesAreLeftAlone) {
  fs::create_directory(path_ + "/open");
  ASSERT_EQ(::chmod((path_ + "/open").c_str(), 0777), 0);
  const auto opened = IncidentDirectory::open(path_ + "/open");
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->is_writable_by_others());
  struct stat info {};
  ASSERT_EQ(::stat((path_ + "/open").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0777U);
}

TEST_F(IncidentDirectoryTest, LinksOfOursAreFollowedThoseOfOthersAreNot) {
  fs::create_directory(path_ + "/real");
  tree_.link("root/first", "second/");
  tree_.link("root/second", path_ + "/real");
  const auto opened = IncidentDirectory::open(path_ + "/first/");
  ASSERT_TRUE(opened) << testing::error_text(opened);
  EXPECT_EQ(opened->path(), path_ + "/real");
  tree_.link("root/loop", "loop");
  EXPECT_EQ(IncidentDirectory::open(path_ + "/loop").error().errno_value, ELOOP);
  tree_.link("root/dangling", "nowhere");
  EXPECT_EQ(IncidentDirectory::open(path_ + "/dangling").error().errno_value, ENOENT);
  EXPECT_FALSE(fs::exists(path_ + "/nowhere"));
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can give a link away";
  }
  for (const char* link : {"/first", "/second"}) {
    ASSERT_EQ(::lchown((path_ + link).c_str(), 65534, 65534), 0);
    for (const char* slash : {"", "/"}) {
      const auto refused = IncidentDirectory::open(path_ + "/first" + slash);
      ASSERT_FALSE(refused) << link;
      EXPECT_EQ(refused.error().kind, ErrorKind::kDenied);
    }
    ASSERT_EQ(::lchown((path_ + link).c_str(), 0, 0), 0);
  }
}

}  // namespace
}  // namespace tidegauge::recording
