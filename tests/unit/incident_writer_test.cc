// SPDX-License-Identifier: Apache-2.0

// Incident files: complete ones, and what is left when the disk, the daemon or the host does not play along.

#include "daemon/recorder/incident_writer.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <latch>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>

#include "collectors/core/table_builder.h"
#include "daemon/recorder/recording_reader.h"
#include "tests/unit/testing.h"

namespace tidegauge::recording {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using Kind = IncidentEvent::Kind;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 1'795'656'752'123'000'000;  // 2026-11-26 01:32:32.123 UTC
constexpr std::string_view kName = "20261126T013232.123Z-sigusr2.tgrec";
constexpr auto kLong = 30s;  // for what must come; nothing waits for it to pass

// Chunks of one Snapshot each whose values do not compress: some 8 * `rows` bytes.
std::vector<ChunkPtr> make_chunks(std::size_t count, std::size_t rows) {
  Ring ring({.max_bytes = std::size_t{64} << 20U, .chunk_ns = 1}, [] { return Checkpoint{}; });
  std::mt19937_64 random(count);
  ColumnInfo column;
  column.family = "noise";
  RowTable table({"row"}, {column});
  for (std::size_t i = 0; i < count; ++i) {
    table.begin();
    for (std::size_t row = 0; row < rows; ++row) {
      table.row({std::to_string(row)});
      table.set(0, random());
    }
    auto section = std::make_shared<Section>();
    section->tables.push_back(table.take());
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->sequence = i + 1;
    snapshot->realtime_ns = kNow + static_cast<std::int64_t>(i) * kSecond;
    snapshot->boottime_ns = static_cast<std::int64_t>(i + 1) * kSecond;
    snapshot->entries.push_back({"noise", section, {}});
    ring.add(snapshot);
  }
  ring.seal();
  EXPECT_EQ(ring.chunks().size(), count);
  return ring.chunks();
}

std::uint64_t bytes_of(const std::vector<ChunkPtr>& chunks) {
  return std::accumulate(
      chunks.begin(), chunks.end(), std::uint64_t{0},
      [](std::uint64_t sum, const ChunkPtr& chunk) { return sum + chunk->bytes.size(); });
}

// What the writer said, and waiting for it to say something.
class Events {
 public:
  void add(const IncidentEvent& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
    came_.notify_all();
  }
  // The next one of this kind, those before it dropped. Fails the test when none comes.
  IncidentEvent await(Kind kind) {
    std::unique_lock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + kLong;
    for (;;) {
      while (!events_.empty()) {
        IncidentEvent event = events_.front();
        events_.erase(events_.begin());
        if (event.kind == kind) {
          return event;
        }
        seen_.push_back(event);
      }
      if (came_.wait_until(lock, deadline) == std::cv_status::timeout) {
        ADD_FAILURE() << "no event of kind " << static_cast<int>(kind);
        return {};
      }
    }
  }
  // Of those dropped, how many were of this kind.
  std::size_t seen(Kind kind) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count_if(
        seen_.begin(), seen_.end(), [kind](const auto& event) { return event.kind == kind; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<IncidentEvent> events_;
  std::vector<IncidentEvent> seen_;
};

RawFiles raw_files(std::string_view moment) {
  return {std::string(moment), kNow, {{"/proc/meminfo", "MemTotal: 1 kB\n"}}};
}

struct ReadBack {
  std::vector<std::uint64_t> sequences;
  std::vector<std::string> parts;  // "s" per Snapshot, the moment per RawFiles
  std::size_t damages = 0;
  bool is_complete = false;
};

ReadBack read_back(const std::string& path) {
  ReadBack out;
  auto reader = RecordingReader::open(path);
  EXPECT_TRUE(reader) << testing::error_text(reader);
  if (!reader) {
    return out;
  }
  out.is_complete = reader->summary().is_complete;
  while (auto item = reader->next()) {
    if (const auto* snapshot = std::get_if<SnapshotPtr>(&*item)) {
      out.sequences.push_back((*snapshot)->sequence);
      out.parts.emplace_back("s");
    } else if (const auto* raw = std::get_if<RawFiles>(&*item)) {
      EXPECT_EQ(raw->files, raw_files("").files);
      out.parts.push_back(raw->moment);
    } else {
      ++out.damages;
    }
  }
  return out;
}

// Snapshots 1, 2, ... up to some.
void expect_prefix(const ReadBack& out, std::size_t at_most) {
  EXPECT_GE(out.sequences.size(), 1U);
  EXPECT_LE(out.sequences.size(), at_most);
  for (std::size_t i = 0; i < out.sequences.size(); ++i) {
    EXPECT_EQ(out.sequences[i], i + 1);
  }
  EXPECT_FALSE(out.is_complete);
  EXPECT_GE(out.damages, 1U);
}

class IncidentWriterTest : public ::testing::Test {
 protected:
  IncidentWriterTest() {
    tree_.write("root/keep", "");
    options_.directory = tree_.path("root/incidents");
    options_.bytes_per_second = 0;
  }
  ~IncidentWriterTest() override {
    if (is_mounted_) {
      ::umount2(mount_.c_str(), MNT_DETACH);
    }
  }

  std::unique_ptr<IncidentWriter> make() {
    return std::make_unique<IncidentWriter>(
        options_, raw_files, [events = events_](const auto& event) { events->add(event); });
  }
  std::string path(std::string_view name) const {
    return options_.directory + "/" + std::string(name);
  }
  // The reason for which the next incident fails.
  std::string failure(IncidentWriter& writer, const std::vector<ChunkPtr>& chunks) {
    EXPECT_TRUE(writer.begin(kNow, "sigusr2", chunks));
    writer.finish();
    last_ = events_->await(Kind::kFailed);
    EXPECT_FALSE(last_.text.empty());
    EXPECT_EQ(writer.stats().failures[static_cast<std::size_t>(last_.failure)], 1U);
    EXPECT_EQ(writer.stats().in_progress, "");
    return std::string(kIncidentFailureNames[static_cast<std::size_t>(last_.failure)]);
  }
  // A file system of this size for the directory; whether one can be had.
  bool mount_tmpfs(const char* size) {
    mount_ = tree_.path("root/mount");
    fs::create_directory(mount_);
    is_mounted_ = ::mount("tmpfs", mount_.c_str(), "tmpfs", 0,
                          (std::string("mode=0750,size=") + size).c_str()) == 0;
    options_.directory = mount_;
    return is_mounted_;
  }

  testing::FixtureTree tree_;
  IncidentOptions options_;
  std::shared_ptr<Events> events_ = std::make_shared<Events>();
  IncidentEvent last_;
  std::string mount_;
  bool is_mounted_ = false;
};

TEST_F(IncidentWriterTest, AFileIsComplete) {
  const auto chunks = make_chunks(6, 100);
  const mode_t mask = ::umask(0);
  auto writer = make();
  const auto name = writer->begin(kNow, "SIGUSR2", {chunks.begin(), chunks.begin() + 3});
  ASSERT_TRUE(name);
  EXPECT_EQ(*name, kName);
  EXPECT_EQ(events_->await(Kind::kBegan).file, kName);
  EXPECT_EQ(writer->stats().in_progress, kName);
  EXPECT_TRUE(writer->accepts());
  EXPECT_FALSE(fs::exists(path(kName)));
  writer->add(chunks[3]);
  for (int i = 0; i < 5; ++i) {
    writer->peak();
  }
  writer->add(chunks[4]);
  writer->add(chunks[5]);
  writer->finish();
  EXPECT_FALSE(writer->accepts());
  writer->add(chunks[0]);  // too late
  const IncidentEvent finished = events_->await(Kind::kFinished);
  ::umask(mask);
  EXPECT_EQ(finished.file, kName);
  EXPECT_EQ(finished.text, "");
  const ReadBack out = read_back(path(kName));
  EXPECT_TRUE(out.is_complete);
  EXPECT_EQ(out.damages, 0U);
  EXPECT_EQ(out.parts, (std::vector<std::string>{"s", "s", "s", "onset", "s", "peak", "peak",
                                                 "peak", "s", "s"}));
  EXPECT_EQ(out.sequences, (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6}));
  struct stat info {};
  ASSERT_EQ(::stat(path(kName).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0640U);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  ASSERT_EQ(::stat(options_.directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0750U);
  const IncidentStats stats = writer->stats();
  EXPECT_EQ(stats.files_written, 1U);
  EXPECT_EQ(stats.bytes_written, size);
  EXPECT_EQ(stats.directory_files, 1U);
  EXPECT_EQ(stats.directory_bytes, size);
  EXPECT_EQ(stats.in_progress, "");
  EXPECT_GT(stats.last_finished_realtime_ns, 1'700'000'000 * kSecond);
  EXPECT_EQ(stats.failures, decltype(stats.failures){});
  EXPECT_EQ(list_incidents(options_.directory)->size(), 1U);
  EXPECT_TRUE(writer->stop(kLong));
  EXPECT_FALSE(writer->begin(kNow, "sigusr2", chunks));
}

TEST_F(IncidentWriterTest, WithoutFunctionsAndWithReadersThatThrow) {
  {
    IncidentWriter writer(options_, nullptr, nullptr);
    ASSERT_TRUE(writer.begin(kNow, "sigusr2", make_chunks(1, 1)));
    writer.peak();
    EXPECT_TRUE(writer.stop(kLong));
    const ReadBack out = read_back(path(kName));
    EXPECT_TRUE(out.is_complete);
    EXPECT_EQ(out.parts, std::vector<std::string>{"s"});
  }
  IncidentWriter writer(
      options_, [](std::string_view) -> RawFiles { throw std::runtime_error("no memory"); },
      [events = events_](const auto& event) { events->add(event); });
  ASSERT_TRUE(writer.begin(kNow + kSecond, "sigusr2", make_chunks(1, 1)));
  writer.finish();
  EXPECT_NE(events_->await(Kind::kWarning).text.find("no memory"), std::string::npos);
  EXPECT_TRUE(read_back(path(events_->await(Kind::kFinished).file)).is_complete);
}

TEST_F(IncidentWriterTest, CopiesLargerThanAChunkAreLeftOut) {
  IncidentWriter writer(
      options_,
      [](std::string_view moment) {
        RawFiles out{std::string(moment), kNow, {}};
        for (int i = 0; i < 20; ++i) {
          out.files.emplace_back(std::to_string(i), std::string(kMaxRawFileBytes + 5, 'x'));
        }
        return out;
      },
      nullptr);
  ASSERT_TRUE(writer.begin(kNow, "sigusr2", make_chunks(1, 1)));
  EXPECT_TRUE(writer.stop(kLong));
  auto reader = RecordingReader::open(path(kName));
  ASSERT_TRUE(reader);
  EXPECT_TRUE(reader->summary().is_complete);
  reader->next();
  const auto item = reader->next();
  ASSERT_TRUE(item && std::holds_alternative<RawFiles>(*item));
  EXPECT_EQ(std::get<RawFiles>(*item).files.size(), 15U);
}

TEST_F(IncidentWriterTest, NamesAreUnique) {
  const auto chunks = make_chunks(1, 1);
  auto writer = make();
  for (const char* name :
       {"20261126T013232.123Z-sigusr2.tgrec", "20261126T013232.123Z-sigusr2-2.tgrec",
        "20261126T013232.123Z-sigusr2-3.tgrec"}) {
    EXPECT_EQ(*writer->begin(kNow + 999, "sigusr2", chunks), name);
    writer->finish();
    EXPECT_EQ(events_->await(Kind::kFinished).file, name);
  }
  // Another run of the daemon finds out from the directory.
  auto other = make();
  EXPECT_EQ(*other->begin(kNow, "sigusr2", chunks), kName);
  other->finish();
  EXPECT_EQ(events_->await(Kind::kFinished).file, "20261126T013232.123Z-sigusr2-4.tgrec");
  EXPECT_EQ(list_incidents(options_.directory)->size(), 4U);
}

TEST_F(IncidentWriterTest, ANameTakenMeanwhileIsNotReplaced) {
  const auto chunks = make_chunks(1, 1);
  auto writer = make();
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", chunks));
  events_->await(Kind::kBegan);
  std::ofstream(path(kName)) << "mine";
  writer->finish();
  EXPECT_EQ(events_->await(Kind::kFinished).file, "20261126T013232.123Z-sigusr2-2.tgrec");
  EXPECT_EQ(fs::file_size(path(kName)), 4U);
}

TEST_F(IncidentWriterTest, OneAtATime) {
  const auto chunks = make_chunks(1, 1);
  auto writer = make();
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", chunks));
  const auto refused = writer->begin(kNow + kSecond, "sigusr2", chunks);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(refused.error().where.find(kName), std::string::npos);
  writer->finish();
  events_->await(Kind::kFinished);
  EXPECT_TRUE(writer->begin(kNow + kSecond, "sigusr2", chunks));
  EXPECT_TRUE(writer->stop(kLong));
}

TEST_F(IncidentWriterTest, FullDisk) {
  if (!mount_tmpfs("256k")) {
    GTEST_SKIP() << "no tmpfs can be mounted: " << std::strerror(errno);
  }
  const auto chunks = make_chunks(20, 5000);
  auto writer = make();
  EXPECT_EQ(failure(*writer, chunks), "no_space");
  const auto files = list_incidents(mount_);
  ASSERT_EQ(files->size(), 1U);
  EXPECT_TRUE(files->front().is_torn);
  EXPECT_NE(last_.text.find(files->front().name), std::string::npos) << last_.text;
  expect_prefix(read_back(path(files->front().name)), chunks.size() - 1);
  EXPECT_EQ(writer->stats().directory_files, 1U);
  EXPECT_EQ(writer->stats().bytes_written, files->front().bytes);
  // A chunk that did not fit at all leaves nothing.
  EXPECT_TRUE(writer->begin(kNow + kSecond, "sigusr2", chunks));
  EXPECT_EQ(events_->await(Kind::kFailed).failure, IncidentFailure::kNoSpace);
  EXPECT_EQ(list_incidents(mount_)->size(), 1U);
  fs::remove(path(files->front().name));
  ASSERT_TRUE(writer->begin(kNow + 2 * kSecond, "sigusr2", make_chunks(3, 100)));
  writer->finish();
  EXPECT_TRUE(read_back(path(events_->await(Kind::kFinished).file)).is_complete);
  EXPECT_EQ(writer->stats().files_written, 1U);
}

TEST_F(IncidentWriterTest, AFullDiskIsGivenOneChanceByRetention) {
  if (!mount_tmpfs("256k")) {
    GTEST_SKIP() << "no tmpfs can be mounted: " << std::strerror(errno);
  }
  options_.max_files = 1;
  const std::string old = file_name({kNow - kSecond, "old", 1});
  // Comes after the first look at the directory.
  IncidentWriter writer(options_, raw_files, [this, old](const IncidentEvent& event) {
    if (event.kind == Kind::kBegan) {
      std::ofstream(path(old)) << std::string(std::size_t{200} << 10U, 'x');
    }
    events_->add(event);
  });
  ASSERT_TRUE(writer.begin(kNow, "sigusr2", make_chunks(3, 5000)));
  writer.finish();
  EXPECT_EQ(events_->await(Kind::kRemoved).file, old);
  EXPECT_TRUE(read_back(path(events_->await(Kind::kFinished).file)).is_complete);
  EXPECT_TRUE(writer.stop(kLong));
}

TEST_F(IncidentWriterTest, ReadOnlyFileSystem) {
  if (!mount_tmpfs("256k")) {
    GTEST_SKIP() << "no tmpfs can be mounted: " << std::strerror(errno);
  }
  ASSERT_EQ(::mount("tmpfs", mount_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, ""), 0);
  auto writer = make();
  EXPECT_EQ(failure(*writer, make_chunks(1, 1)), "read_only");
  options_.directory = mount_ + "/below";
  EXPECT_EQ(failure(*make(), make_chunks(1, 1)), "read_only");
}

TEST_F(IncidentWriterTest, MissingParentFileInPlaceAndForeignLink) {
  options_.directory = tree_.path("root/none/of/incidents");
  auto writer = make();
  EXPECT_EQ(failure(*writer, make_chunks(1, 1)), "missing");
  EXPECT_FALSE(fs::exists(tree_.path("root/none")));
  // And when it is there, all is well.
  fs::create_directories(tree_.path("root/none/of"));
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", make_chunks(1, 1)));
  writer->finish();
  events_->await(Kind::kFinished);
  options_.directory = tree_.path("root/keep");
  EXPECT_EQ(failure(*make(), make_chunks(1, 1)), "missing");
  fs::create_directory(tree_.path("root/real"));
  tree_.link("root/link", "real");
  options_.directory = tree_.path("root/link");
  if (::geteuid() == 0 && ::lchown(options_.directory.c_str(), 65534, 65534) == 0) {
    EXPECT_EQ(failure(*make(), make_chunks(1, 1)), "denied");
    EXPECT_TRUE(fs::is_empty(tree_.path("root/real")));
  }
}

TEST_F(IncidentWriterTest, AnOpenDirectoryIsComplainedOfOnce) {
  fs::create_directory(options_.directory);
  ASSERT_EQ(::chmod(options_.directory.c_str(), 0770), 0);
  auto writer = make();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(writer->begin(kNow, "sigusr2", make_chunks(1, 1)));
    writer->finish();
    events_->await(Kind::kFinished);
  }
  EXPECT_EQ(events_->seen(Kind::kWarning), 1U);
}

TEST_F(IncidentWriterTest, KeepsTheDirectoryWithinItsLimits) {
  const auto chunks = make_chunks(2, 1000);
  options_.max_files = 2;
  auto writer = make();
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(writer->begin(kNow + i * kSecond, "sigusr2", chunks));
    writer->finish();
    events_->await(Kind::kFinished);
    EXPECT_LE(list_incidents(options_.directory)->size(), 2U);
  }
  EXPECT_EQ(events_->seen(Kind::kRemoved), 2U);
  EXPECT_EQ(writer->stats().directory_files, 2U);
  EXPECT_EQ(list_incidents(options_.directory)->back().realtime_ns, kNow + 3 * kSecond);
}

TEST_F(IncidentWriterTest, AFileThatGrowsPushesOthersOutAndEndsAtTheLimit) {
  const auto chunks = make_chunks(10, 1000);
  options_.max_bytes = bytes_of(chunks) / 2;
  auto writer = make();
  ASSERT_TRUE(writer->begin(kNow - kSecond, "old", {chunks[0]}));
  writer->finish();
  events_->await(Kind::kFinished);
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", {chunks[0]}));
  for (std::size_t i = 1; i < chunks.size(); ++i) {
    writer->add(chunks[i]);
  }
  const IncidentEvent finished = events_->await(Kind::kFinished);  // without finish()
  EXPECT_NE(finished.text, "");
  EXPECT_EQ(events_->seen(Kind::kRemoved), 1U);
  const auto files = list_incidents(options_.directory);
  ASSERT_EQ(files->size(), 1U);
  EXPECT_LE(files->front().bytes, options_.max_bytes);
  const ReadBack out = read_back(path(finished.file));
  EXPECT_TRUE(out.is_complete);
  EXPECT_EQ(out.sequences, (std::vector<std::uint64_t>{1, 2, 3, 4}));
}

TEST_F(IncidentWriterTest, WhatWasBeforeLeavesHalfToWhatComes) {
  const auto chunks = make_chunks(10, 1000);
  options_.max_bytes = bytes_of(chunks) * 3 / 4;
  auto writer = make();
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", {chunks.begin(), chunks.begin() + 8}));
  EXPECT_EQ(events_->await(Kind::kBegan).text, "the oldest 5 s do not fit into recorder.max_disk");
  writer->add(chunks[8]);
  writer->add(chunks[9]);
  writer->finish();
  EXPECT_EQ(events_->await(Kind::kFinished).text, "");
  EXPECT_EQ(read_back(path(kName)).sequences, (std::vector<std::uint64_t>{6, 7, 8, 9, 10}));
  // Not even the last one does.
  options_.max_bytes = chunks[0]->bytes.size() * 3 / 2;
  writer = make();
  ASSERT_TRUE(writer->begin(kNow + kSecond, "sigusr2", {chunks.begin(), chunks.begin() + 2}));
  EXPECT_NE(events_->await(Kind::kBegan).text, "");
  writer->add(chunks[2]);
  writer->finish();
  EXPECT_EQ(read_back(path(events_->await(Kind::kFinished).file)).sequences,
            std::vector<std::uint64_t>{3});
}

TEST_F(IncidentWriterTest, ACheapOneDoesNotDisplaceOthers) {
  const auto chunks = make_chunks(4, 1000);
  options_.max_files = 2;
  auto writer = make();
  const auto record = [&](std::int64_t at, const char* reason, bool is_cheap) {
    EXPECT_TRUE(writer->begin(kNow + at * kSecond, reason, {chunks[0]}, is_cheap));
    writer->finish();
  };
  record(0, "old", false);
  EXPECT_EQ(events_->await(Kind::kFinished).file, file_name({kNow, "old", 1}));
  const std::string first = file_name({kNow + kSecond, "http-asked", 1});
  record(1, "asked", true);
  EXPECT_EQ(events_->await(Kind::kFinished).file, first);
  record(2, "asked", true);
  EXPECT_EQ(events_->await(Kind::kRemoved).file, first);
  events_->await(Kind::kFinished);
  record(3, "http-new", false);
  EXPECT_EQ(events_->await(Kind::kRemoved).file, file_name({kNow + 2 * kSecond, "http-asked", 1}));
  EXPECT_EQ(events_->await(Kind::kFinished).file, file_name({kNow + 3 * kSecond, "httpnew", 1}));
  record(4, "asked", true);
  const IncidentEvent failed = events_->await(Kind::kFailed);
  EXPECT_EQ(failed.failure, IncidentFailure::kNoSpace);
  EXPECT_NE(failed.text.find("over HTTP"), std::string::npos);
  EXPECT_EQ(list_incidents(options_.directory)->size(), 2U);
  EXPECT_EQ(events_->seen(Kind::kRemoved), 0U);
}

TEST_F(IncidentWriterTest, ACheapOneThatGrowsEndsWhereOthersBegin) {
  const auto chunks = make_chunks(10, 1000);
  options_.max_bytes = bytes_of(chunks) / 2;
  auto writer = make();
  ASSERT_TRUE(writer->begin(kNow - kSecond, "old", {chunks[0], chunks[1]}));
  writer->finish();
  events_->await(Kind::kFinished);
  ASSERT_TRUE(writer->begin(kNow, "asked", {chunks[0]}, true));
  for (std::size_t i = 1; i < chunks.size(); ++i) {
    writer->add(chunks[i]);
  }
  const IncidentEvent finished = events_->await(Kind::kFinished);  // without finish()
  EXPECT_NE(finished.text, "");
  EXPECT_EQ(events_->seen(Kind::kRemoved), 0U);
  EXPECT_EQ(list_incidents(options_.directory)->size(), 2U);
  const ReadBack out = read_back(path(finished.file));
  EXPECT_TRUE(out.is_complete);
  EXPECT_EQ(out.sequences, (std::vector<std::uint64_t>{1, 2}));
}

TEST_F(IncidentWriterTest, AClockFarAheadCostsHalfOfTheFiles) {
  auto writer = make();
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(writer->begin(kNow + i * kSecond, "sigusr2", make_chunks(1, 1)));
    writer->finish();
    events_->await(Kind::kFinished);
  }
  ASSERT_TRUE(writer->begin(kNow + 10 * options_.max_age_ns, "sigusr2", make_chunks(1, 1)));
  writer->finish();
  events_->await(Kind::kFinished);
  EXPECT_EQ(list_incidents(options_.directory)->size(), 3U);
}

TEST_F(IncidentWriterTest, AKilledWriterLeavesAGoodPrefix) {
  const auto chunks = make_chunks(40, 500);
  options_.bytes_per_second = 20'000;  // some seconds for all
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    IncidentWriter writer(options_, raw_files, nullptr);
    if (writer.begin(kNow, "sigusr2", chunks)) {
      writer.finish();
      for (;;) {
        ::pause();
      }
    }
    ::_exit(1);
  }
  const auto deadline = std::chrono::steady_clock::now() + kLong;
  std::uint64_t written = 0;
  while (written < 20'000 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(5ms);
    const auto files = list_incidents(options_.directory);
    written = files && !files->empty() ? files->front().bytes : 0;
  }
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto files = list_incidents(options_.directory);
  ASSERT_EQ(files->size(), 1U);
  EXPECT_TRUE(files->front().is_torn);
  EXPECT_EQ(files->front().reason, "sigusr2");
  EXPECT_EQ(files->front().realtime_ns, kNow);
  EXPECT_LT(files->front().bytes, bytes_of(chunks));
  expect_prefix(read_back(path(files->front().name)), chunks.size() - 1);
  // The next run counts it, and lets it go as any other.
  options_.bytes_per_second = 0;
  options_.max_files = 1;
  auto writer = make();
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", make_chunks(1, 1)));
  EXPECT_EQ(events_->await(Kind::kRemoved).file, files->front().name);
  writer->finish();
  events_->await(Kind::kFinished);
}

TEST_F(IncidentWriterTest, StopDoesNotWaitForTheRate) {
  const auto chunks = make_chunks(40, 500);
  options_.bytes_per_second = 1;  // days
  auto writer = make();
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", chunks));
  events_->await(Kind::kBegan);
  EXPECT_TRUE(writer->stop(kLong));
  EXPECT_EQ(events_->await(Kind::kFinished).file, kName);
  const ReadBack out = read_back(path(kName));
  EXPECT_TRUE(out.is_complete);
  EXPECT_EQ(out.sequences.size(), chunks.size());
}

TEST_F(IncidentWriterTest, StopWithoutGraceLeavesItTorn) {
  options_.bytes_per_second = 1;
  auto writer = make();
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", make_chunks(40, 500)));
  events_->await(Kind::kBegan);
  writer.reset();
  EXPECT_EQ(events_->await(Kind::kFailed).failure, IncidentFailure::kSlow);
  EXPECT_FALSE(fs::exists(path(kName)));
  auto idle = make();
  EXPECT_TRUE(idle->stop(kLong));
}

// Stands for a disk or a kernel file that does not answer.
class HungWriterTest : public IncidentWriterTest {
 protected:
  std::unique_ptr<IncidentWriter> make_hung() {
    return std::make_unique<IncidentWriter>(
        options_,
        [gate = gate_](std::string_view moment) {
          gate->wait();
          return raw_files(moment);
        },
        [events = events_](const auto& event) { events->add(event); });
  }
  std::shared_ptr<std::latch> gate_ = std::make_shared<std::latch>(1);
};

TEST_F(HungWriterTest, NobodyWaits) {
  auto writer = make_hung();
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", make_chunks(3, 10)));
  writer->peak();
  writer->add(make_chunks(1, 1)[0]);
  writer->finish();
  EXPECT_EQ(writer->stats().in_progress, kName);
  EXPECT_FALSE(writer->begin(kNow, "sigusr2", {}));
  EXPECT_FALSE(writer->stop(1ms));
  writer.reset();
  gate_->count_down();
  EXPECT_EQ(events_->await(Kind::kFailed).failure, IncidentFailure::kSlow);
}

TEST_F(HungWriterTest, WhatWaitsIsBounded) {
  auto writer = make_hung();
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", make_chunks(3, 10)));
  auto chunk = std::make_shared<Chunk>();
  chunk->bytes = std::string(std::size_t{1} << 20U, 'x');
  for (int i = 0; i < 32; ++i) {
    writer->add(chunk);
  }
  EXPECT_EQ(chunk.use_count(), 33);
  EXPECT_EQ(writer->stats().failures[5], 0U);
  EXPECT_TRUE(writer->accepts());
  writer->add(chunk);
  EXPECT_FALSE(writer->accepts());
  EXPECT_NE(writer->stats().in_progress, "") << "the thread is still at it";
  EXPECT_EQ(writer->stats().failures[5], 1U);
  EXPECT_EQ(chunk.use_count(), 1);  // the memory is free at once
  gate_->count_down();
  EXPECT_EQ(events_->await(Kind::kFailed).failure, IncidentFailure::kSlow);
  EXPECT_TRUE(list_incidents(options_.directory)->empty());
  EXPECT_EQ(writer->stats().failures[5], 1U);
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", make_chunks(3, 10)));
  writer->finish();
  events_->await(Kind::kFinished);
}

TEST_F(IncidentWriterTest, KeepsToTheRate) {
  const auto chunks = make_chunks(20, 500);
  options_.bytes_per_second = 256 << 10U;
  auto writer = make();
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(writer->begin(kNow, "sigusr2", chunks));
  writer->finish();
  events_->await(Kind::kFinished);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const double block = 16 << 10U;  // the last one is not waited for
  EXPECT_GE(elapsed.count(), (static_cast<double>(writer->stats().bytes_written) - block) /
                                 static_cast<double>(options_.bytes_per_second));
  EXPECT_TRUE(read_back(path(kName)).is_complete);
}

}  // namespace
}  // namespace tidegauge::recording
