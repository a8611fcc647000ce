// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/filesystem.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "collectors/procfs/mountinfo.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;
using testing::FixtureTree;
using Series = std::map<std::string, double>;
using Outcome = StatfsJob::Outcome;

std::string refusal(std::string_view text) {
  std::vector<MountInfo> out;
  return error_text(parse_mountinfo(text, out));
}

MountInfo parse_one(std::string_view line) {
  std::vector<MountInfo> out;
  const auto done = parse_mountinfo(line, out);
  EXPECT_TRUE(done) << error_text(done);
  return out.empty() ? MountInfo{} : out[0];
}

TEST(ParseMountinfo, ReadsAllFields) {
  const MountInfo mount = parse_one(
      "41 29 259:1048575 /sub /mnt/my\\040disk rw,nosuid shared:7 master:3 propagate_from:2 - "
      "fuse.sshfs host:/x rw,user_id=0\n");
  EXPECT_EQ(mount.mount_id, 41U);
  EXPECT_EQ(mount.major, 259U);
  EXPECT_EQ(mount.minor, 1048575U);
  EXPECT_EQ(mount.mount_point, "/mnt/my\\040disk");
  EXPECT_EQ(mount.mount_options, "rw,nosuid");
  EXPECT_EQ(mount.fs_type, "fuse.sshfs");
  EXPECT_EQ(mount.source, "host:/x");
  EXPECT_EQ(mount.super_options, "rw,user_id=0");
}

TEST(ParseMountinfo, AcceptsOddLines) {
  EXPECT_EQ(parse_one("1 1 0:5 / / rw - tmpfs  rw").source, "");
  EXPECT_EQ(parse_one("1 1 0:5 / / rw - overlay overlay rw,lowerdir=/a b").super_options,
            "rw,lowerdir=/a b");
  EXPECT_EQ(parse_one("1 1 0:5 /  /root rw shared:1 - rootfs rootfs rw").mount_point, "");
}

TEST(ParseMountinfo, KnowsWhatIsReadOnly) {
  const auto read_only = [](const std::string& mount, const std::string& super) {
    return parse_one("1 1 0:5 / / " + mount + " - ext4 /dev/sda " + super).read_only();
  };
  EXPECT_FALSE(read_only("rw,relatime", "rw,errors=remount-ro"));
  EXPECT_FALSE(read_only("rw,protocol", "rw,ro_file=1,xro"));
  EXPECT_TRUE(read_only("ro,relatime", "rw"));
  EXPECT_TRUE(read_only("rw", "noquota,ro"));
  EXPECT_TRUE(read_only("rw", "rw,emergency_ro"));
}

TEST(ParseMountinfo, NamesTheLineItCannotRead) {
  const std::string good = "1 1 0:5 / / rw - ext4 /dev/sda rw\n";
  EXPECT_EQ(refusal(""), "malformed: mountinfo line 1: expected at least one mount");
  for (const char* bad :
       {"1", "1 1 0:5 / / rw", "1 1 0:5 / / rw shared:1 ext4 /dev/sda rw", "1 1 0:5 / / rw - ext4",
        "1 1 0:5 / / rw - ext4 /dev/sda", "1 1 0:5 / / rw - ext4 /dev/sda ",
        "x 1 0:5 / / rw - a b c", "1 x 0:5 / / rw - a b c", "1 1 05 / / rw - a b c",
        "1 1 0: / / rw - a b c", "1 1 :5 / / rw - a b c", "1 1 0:5 / / rw -  b c", "\xff", "\n"}) {
    EXPECT_EQ(refusal(good + bad).find("malformed: mountinfo line 2"), 0U) << bad;
  }
}

TEST(ParseMountinfo, SurvivesTruncationAnywhere) {
  const std::string text =
      "41 29 259:1 /sub /mnt/my\\040disk rw shared:7 - fuse.sshfs host:/x rw\n";
  std::vector<MountInfo> out;
  for (std::size_t length = 0; length <= text.size(); ++length) {
    static_cast<void>(parse_mountinfo(std::string_view(text).substr(0, length), out));
  }
}

TEST(FilesystemLabels, AreNodeExporters) {
  EXPECT_EQ(mount_point_label("/a\\040b\\011c\\012d\\134e"), "/a b\tc\\012d\\134e");
  EXPECT_EQ(device_error_label(ENOENT), "no such file or directory");
  EXPECT_EQ(device_error_label(EACCES), "permission denied");
  EXPECT_EQ(device_error_label(ESTALE), "stale file handle");
  EXPECT_EQ(device_error_label(99999), "errno 99999");
}

// A statfs that does not come back for some paths until it is told to.
class SlowDisks {
 public:
  ~SlowDisks() { release(); }

  StatfsFunction function() {
    return [state = state_](const char* path, struct statfs* out) {
      std::unique_lock lock(state->mutex);
      ++state->calls[path];
      const bool hangs = state->hanging.contains(path);
      state->changed.wait(lock, [&] { return !hangs || state->released; });
      ++state->finished;
      state->changed.notify_all();
      if (std::string_view(path).ends_with("/gone")) {
        errno = ENOENT;
        return -1;
      }
      out->f_bsize = 4096;
      out->f_frsize = 1024;
      out->f_blocks = 1000;
      out->f_bfree = 500;
      out->f_bavail = 400;
      out->f_files = 90;
      out->f_ffree = 80;
      return 0;
    };
  }
  void hang(const std::string& path) {
    const std::lock_guard lock(state_->mutex);
    state_->hanging.insert(path);
  }
  // Lets all stuck calls return and waits until they have.
  void release() {
    std::unique_lock lock(state_->mutex);
    state_->released = true;
    state_->hanging.clear();
    state_->changed.notify_all();
    state_->changed.wait(lock, [&] {
      int calls = 0;
      for (const auto& [path, count] : state_->calls) {
        calls += count;
      }
      return state_->finished == calls;
    });
  }
  int calls(const std::string& path) {
    const std::lock_guard lock(state_->mutex);
    return state_->calls[path];
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::set<std::string> hanging;
    std::map<std::string, int> calls;
    int finished = 0;
    bool released = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

std::vector<StatfsJob> jobs(std::uint64_t count, std::uint64_t first_id = 1) {
  std::vector<StatfsJob> out(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    out[i].id = first_id + i;
    out[i].path = "/" + std::to_string(out[i].id);
  }
  return out;
}

constexpr std::chrono::milliseconds kShort(20);
constexpr std::chrono::seconds kLong(60);

TEST(StatfsPool, AnswersInOrder) {
  SlowDisks disks;
  StatfsPool pool(kLong, disks.function());
  std::vector<StatfsJob> batch = jobs(200);
  batch[7].path = "/gone";
  batch[9].local = true;
  pool.run(batch);
  for (const StatfsJob& job : batch) {
    EXPECT_EQ(job.outcome, Outcome::kAnswered);
    EXPECT_EQ(job.error, job.path == "/gone" ? ENOENT : 0);
    EXPECT_EQ(disks.calls(job.path), 1);
  }
  EXPECT_EQ(batch[9].result.f_blocks, 1000U);
  EXPECT_EQ(pool.stuck(), 0U);
  std::vector<StatfsJob> none;
  pool.run(none);
}

TEST(StatfsPool, LeavesAStuckMountAlone) {
  SlowDisks disks;
  disks.hang("/2");
  StatfsPool pool(kShort, disks.function());
  for (int run = 0; run < 3; ++run) {
    std::vector<StatfsJob> batch = jobs(4);
    pool.run(batch);
    EXPECT_EQ(batch[0].outcome, Outcome::kAnswered);
    EXPECT_EQ(batch[1].outcome, Outcome::kStuck);
    EXPECT_EQ(batch[2].outcome, Outcome::kAnswered);
    EXPECT_EQ(batch[3].outcome, Outcome::kAnswered);
    EXPECT_EQ(pool.stuck(), 1U);
  }
  EXPECT_EQ(disks.calls("/2"), 1);
}

TEST(StatfsPool, TriesAgainOnceTheCallHasReturned) {
  SlowDisks disks;
  disks.hang("/1");
  StatfsPool pool(kShort, disks.function());
  std::vector<StatfsJob> batch = jobs(1);
  pool.run(batch);
  EXPECT_EQ(batch[0].outcome, Outcome::kStuck);
  disks.release();
  while (pool.stuck() != 0) {
    std::this_thread::yield();
  }
  pool.run(batch);
  EXPECT_EQ(batch[0].outcome, Outcome::kAnswered);
}

TEST(StatfsPool, StopsGivingThreadsToNewMountsButNotToTrustedOnes) {
  SlowDisks disks;
  constexpr auto kMounts = std::uint64_t{StatfsPool::kMaxStuckThreads} + 5;
  std::vector<StatfsJob> batch = jobs(kMounts);
  for (const StatfsJob& job : batch) {
    disks.hang(job.path);
  }
  StatfsPool pool(kShort, disks.function());
  pool.run(batch);
  std::uint64_t stuck = 0;
  std::uint64_t exhausted = 0;
  for (const StatfsJob& job : batch) {
    stuck += job.outcome == Outcome::kStuck ? 1U : 0U;
    exhausted += job.outcome == Outcome::kExhausted ? 1U : 0U;
  }
  EXPECT_EQ(stuck, std::uint64_t{StatfsPool::kMaxStuckThreads});
  EXPECT_EQ(exhausted, 5U);
  EXPECT_EQ(pool.stuck(), stuck);

  std::vector<StatfsJob> later = jobs(3, 1000);
  later[2].local = true;  // the root file system
  pool.run(later);
  EXPECT_EQ(later[0].outcome, Outcome::kExhausted);
  EXPECT_EQ(later[1].outcome, Outcome::kExhausted);
  EXPECT_EQ(later[2].outcome, Outcome::kAnswered);
}

TEST(StatfsPool, GoesAwayWithoutWaiting) {
  SlowDisks disks;
  disks.hang("/1");
  {
    StatfsPool pool(kShort, disks.function());
    std::vector<StatfsJob> batch = jobs(2);
    pool.run(batch);
    EXPECT_EQ(batch[0].outcome, Outcome::kStuck);
  }
  disks.release();  // the thread that was left behind ends on state of its own
}

std::unique_ptr<Collector> make(const KernelFiles& files, SlowDisks& disks,
                                const std::vector<std::string>& options = {}) {
  Options values = default_options(kFilesystemCollector.options);
  for (const std::string& option : options) {
    const auto equals = option.find('=');
    for (const OptionSpec& spec : kFilesystemCollector.options) {
      if (spec.key == option.substr(0, equals)) {
        values.set(spec.key, *parse_option(spec, option.substr(equals + 1)));
      }
    }
  }
  auto made = make_filesystem_collector(files, values, disks.function());
  EXPECT_TRUE(made) << error_text(made);
  return made ? std::move(*made) : nullptr;
}

Series run(Collector& collector) {
  const auto section = testing::run(collector);
  EXPECT_TRUE(section) << error_text(section);
  return section ? testing::flatten(*section) : Series{};
}

std::string labels(const char* device, const char* mount_point, const char* type,
                   const char* error = "") {
  return std::string("{device=\"") + device + "\",mountpoint=\"" + mount_point + "\",fstype=\"" +
         type + "\",device_error=\"" + error + "\"}";
}

TEST(FilesystemCollector, ShowsALinux310Host) {
  SlowDisks disks;
  const Series series = run(*make(testing::fixture("linux-3.10"), disks));
  const std::string root = labels("/dev/mapper/vg0-root", "/", "ext4");
  EXPECT_EQ(series.at("node_filesystem_size_bytes" + root), 4096000);
  EXPECT_EQ(series.at("node_filesystem_free_bytes" + root), 2048000);
  EXPECT_EQ(series.at("node_filesystem_avail_bytes" + root), 1638400);
  EXPECT_EQ(series.at("node_filesystem_files" + root), 90);
  EXPECT_EQ(series.at("node_filesystem_files_free" + root), 80);
  EXPECT_EQ(series.at("node_filesystem_readonly" + root), 0);
  EXPECT_EQ(series.at("node_filesystem_device_error" + root), 0);
  EXPECT_EQ(series.at("node_filesystem_purgeable_bytes" + root), 0);
  EXPECT_EQ(series.at("node_filesystem_readonly" + labels("/dev/sda1", "/boot", "ext3")), 1);
  EXPECT_EQ(series.count("node_filesystem_size_bytes" +
                         labels("filer:/export/team", "/mnt/team share", "nfs")),
            1U);
  EXPECT_EQ(series.at("node_filesystem_mount_info{device=\"/dev/sda1\",major=\"8\",minor=\"1\","
                      "mountpoint=\"/boot\"}"),
            1);
  EXPECT_EQ(series.at("tidegauge_filesystem_stuck_mounts"), 0);
  EXPECT_EQ(series.size(), 4U * 9 + 1);  // with /run
  EXPECT_EQ(disks.calls(testing::fixture("linux-3.10").root("/mnt/team share")), 1);
}

TEST(FilesystemCollector, LeavesOutWhatNodeExporterLeavesOut) {
  SlowDisks disks;
  EXPECT_EQ(run(*make(testing::fixture("linux-4.19"), disks)).size(), 2U * 9 + 1);
  EXPECT_EQ(run(*make(testing::fixture("linux-5.10"), disks)).size(), 3U * 9 + 1);
  const Series v6 = run(*make(testing::fixture("linux-6.12"), disks));
  // Mounted twice with equal labels: shown once, as it was mounted first.
  EXPECT_EQ(v6.size(), 4U * 9 + 1);
  EXPECT_EQ(v6.at("node_filesystem_readonly" + labels("/dev/sda1", "/srv/data", "ext4")), 1);
  EXPECT_EQ(v6.at("node_filesystem_readonly" + labels("/dev/mapper/root", "/", "ext4")), 1);
}

TEST(FilesystemCollector, FiltersByOptions) {
  SlowDisks disks;
  const KernelFiles files = testing::fixture("linux-4.19");
  EXPECT_EQ(run(*make(files, disks, {"mount_points_include=^/$"})).size(), 1U * 9 + 1);
  EXPECT_EQ(run(*make(files, disks, {"fs_types_include=^squashfs$"})).size(), 1U * 9 + 1);
  EXPECT_EQ(run(*make(files, disks, {"fs_types_exclude="})).size(), 3U * 9 + 1);
  for (const char* kind : {"mount_points", "fs_types"}) {
    const std::string name = kind;
    EXPECT_EQ(testing::make(kFilesystemCollector, files, {name + "_include=a", name + "_exclude=b"})
                  .error()
                  .kind,
              ErrorKind::kInvalid);
  }
}

TEST(FilesystemCollector, SaysWhyAMountCannotBeAsked) {
  const FixtureTree tree;
  tree.write("proc/1/mountinfo", "7 1 8:1 / /gone ro - ext4 /dev/sda1 rw\n");
  SlowDisks disks;
  const std::string gone = labels("/dev/sda1", "/gone", "ext4", "no such file or directory");
  const Series expected{{"node_filesystem_device_error" + gone, 1},
                        {"node_filesystem_readonly" + gone, 1},
                        {"tidegauge_filesystem_stuck_mounts", 0}};
  EXPECT_EQ(run(*make(tree.files(), disks)), expected);
}

TEST(FilesystemCollector, ShowsAStuckMountAndTheOthers) {
  const FixtureTree tree;
  tree.write("proc/1/mountinfo",
             "7 1 0:40 / /dead rw - nfs filer:/x ro\n8 1 8:1 / /alive rw - ext4 /dev/sda1 rw\n");
  SlowDisks disks;
  disks.hang(tree.files().root("/dead"));
  const auto collector = make(tree.files(), disks, {"mount_timeout=20ms"});
  for (int i = 0; i < 2; ++i) {
    const Series series = run(*collector);
    const std::string dead = labels("filer:/x", "/dead", "nfs", "mountpoint timeout");
    EXPECT_EQ(series.at("node_filesystem_device_error" + dead), 1);
    EXPECT_EQ(series.at("node_filesystem_readonly" + dead), 0);
    EXPECT_EQ(series.count("node_filesystem_size_bytes" + dead), 0U);
    EXPECT_EQ(series.at("node_filesystem_size_bytes" + labels("/dev/sda1", "/alive", "ext4")),
              4096000);
    EXPECT_EQ(series.at("tidegauge_filesystem_stuck_mounts"), 1);
  }
}

TEST(FilesystemCollector, ShowsHostPathsBelowItsRoot) {
  const FixtureTree tree;
  const std::string root = tree.path("root");
  tree.write("proc/1/mountinfo", "7 1 8:1 / " + root + " rw - ext4 /dev/sda1 rw\n8 1 8:2 / " +
                                     root + "/home rw - ext4 /dev/sda2 rw\n");
  SlowDisks disks;
  const Series series = run(*make(tree.files(), disks));
  EXPECT_EQ(series.count("node_filesystem_size_bytes" + labels("/dev/sda1", "/", "ext4")), 1U);
  EXPECT_EQ(series.count("node_filesystem_size_bytes" + labels("/dev/sda2", "/home", "ext4")), 1U);
  EXPECT_EQ(disks.calls(root + "/home"), 1);
}

TEST(FilesystemCollector, FallsBackToItsOwnMounts) {
  const FixtureTree tree;
  SlowDisks disks;
  const auto collector = make(tree.files(), disks);
  EXPECT_EQ(testing::run(*collector).error().kind, ErrorKind::kMissing);
  tree.write("proc/self/mountinfo", "7 1 8:1 / /own rw - ext4 /dev/sda1 rw\n");
  EXPECT_EQ(run(*collector).size(), 10U);
  tree.write("proc/1/mountinfo", "");
  EXPECT_EQ(testing::run(*collector).error().kind, ErrorKind::kMalformed);
}

TEST(FilesystemCollector, ReadsThisMachine) {
  const auto section = testing::run_once(kFilesystemCollector, KernelFiles(KernelRoots{}));
  if (!section && section.error().kind == ErrorKind::kMissing) {
    GTEST_SKIP() << error_text(section);
  }
  ASSERT_TRUE(section) << error_text(section);
}

}  // namespace
}  // namespace tidegauge
