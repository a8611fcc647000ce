// SPDX-License-Identifier: Apache-2.0

// Old captures become Snapshots that say what the files said, and nothing where there was no file.

#include "daemon/replay/import.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "collectors/registry.h"
#include "daemon/config/load.h"
#include "daemon/recorder/recording_reader.h"
#include "daemon/replay/capture_time.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kTime = 1'473'504'812 * kSecond;  // 2016-09-10T10:53:32Z

const fs::path kCase = fs::path(TIDEGAUGE_SOURCE_DIR) / "tests" / "fixtures" / "page-cache";

// A directory to import and the recording made of it; temporary files of the import go into a third one.
class Import : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"in", "out", "tmp"}) {
      fs::create_directories(tree_.path(name));
    }
    options_.directory = tree_.path("in");
    options_.out = tree_.path("out/a.rec");
    const char* before = std::getenv("TMPDIR");
    tmpdir_before_ = before == nullptr ? "" : before;
    ::setenv("TMPDIR", tree_.path("tmp").c_str(), 1);
    config_ = default_config(all_collectors());
  }
  void TearDown() override {
    if (tmpdir_before_.empty()) {
      ::unsetenv("TMPDIR");
    } else {
      ::setenv("TMPDIR", tmpdir_before_.c_str(), 1);
    }
    EXPECT_TRUE(fs::is_empty(tree_.path("tmp")));
    EXPECT_LE(std::distance(fs::directory_iterator(tree_.path("out")), {}), 1);
  }

  void write(const std::string& name, std::string_view text) { tree_.write("in/" + name, text); }

  ConfigResult<ImportReport> import_all() {
    complaints_.clear();
    notes_.clear();
    return import_capture(options_, config_,
                          {[this](const std::string& line) { complaints_.push_back(line); },
                           [this](const std::string& line) { notes_.push_back(line); }},
                          is_interrupted_);
  }

  // What is in the recording.
  std::vector<SnapshotPtr> snapshots() {
    std::vector<SnapshotPtr> out;
    auto reader = recording::RecordingReader::open(options_.out);
    if (!reader) {
      ADD_FAILURE() << reader.error().message();
      return out;
    }
    EXPECT_TRUE(reader->summary().is_complete);
    while (auto item = reader->next()) {
      if (auto* snapshot = std::get_if<SnapshotPtr>(&*item)) {
        out.push_back(*snapshot);
      } else {
        ADD_FAILURE() << "something else in the recording";
      }
    }
    EXPECT_EQ(reader->checkpoint().at("origin"), "import");
    return out;
  }

  static std::map<std::string, double> values(const Snapshot& snapshot,
                                              std::string_view collector) {
    const SnapshotEntry* entry = snapshot.find(collector);
    return entry == nullptr || entry->section == nullptr ? std::map<std::string, double>{}
                                                         : testing::flatten(*entry->section);
  }

  testing::FixtureTree tree_;
  ImportOptions options_;
  Config config_;
  std::function<bool()> is_interrupted_;
  std::vector<std::string> complaints_;
  std::vector<std::string> notes_;
  std::string tmpdir_before_;
};

constexpr std::string_view kMeminfo = "MemTotal:        1000 kB\nMemFree:          500 kB\n";
constexpr std::string_view kVmstat = "pgpgin 7\npgpgout 8\n";

std::string stat_of(int user) {
  return "cpu  " + std::to_string(user) + " 0 0 5\ncpu0 " + std::to_string(user) +
         " 0 0 5\nintr 1\nctxt 2\nbtime 3\nprocesses 4\nprocs_running 1\nprocs_blocked 0\n";
}

TEST(CaptureTime, AllForms) {
  const std::map<std::string, std::int64_t> good{
      {"20160910T105332", kTime},
      {"20160910T105332Z", kTime},
      {"20160910T105332.250Z", kTime + kSecond / 4},
      {"2016-09-10T10:53:32Z", kTime},
      {"2016-09-10 10:53:32", kTime},
      {"2016-09-10T19:53:32+09:00", kTime},
      {"2016-09-10T05:23:32.000000001-0530", kTime + 1},
      {"1473504812", kTime},
      {"1473504812.5", kTime + kSecond / 2},
      {"Sat Sep 10 10:53:32 JST 2016", kTime},
      {"Sat Sep 10 10:53:32 2016", kTime},
      {"Sat Sep 10 07:53:32 -03 2016", kTime},
      {"Sat Sep 10 13:53:32 +03 2016", kTime},
      {"Sat Sep 10 16:23:32 +0530 2016", kTime},
      {" 20160910T105332 ", kTime},
      {"19700101T000000", 0},
  };
  for (const auto& [text, expected] : good) {
    EXPECT_EQ(parse_capture_time(text, 0).value_or(-1), expected) << text;
  }
  for (const char* bad : {"",
                          "meminfo",
                          "20160910",
                          "20161310T105332",
                          "20160931T105332",
                          "20160910T245332",
                          "20160910T106032",
                          "20160910T10533",
                          "2016-09-10T10:53",
                          "20160910T105332.",
                          "123",
                          "12345678901",
                          "1473504812x",
                          "1473504812.",
                          "19691231T235959",
                          "99990101T000000",
                          "2016-09-10T10:53:32+25:00",
                          "Sat Sep 10 10:53 2016",
                          "Sat Sep 10 10:53:32 +3x 2016",
                          "Sat Sep 10 10:53:32 PM 2016",
                          "Sat Sep 10 10:53:32 PM JST 2016",
                          "Foo Bar 10 10:53:32 2016",
                          "20160910T105332ZZ",
                          "20160910 105332"}) {
    EXPECT_FALSE(parse_capture_time(bad, 0)) << bad;
  }
  const std::int64_t offset_ns = *parse_utc_offset("+09:00");
  EXPECT_EQ(offset_ns, 9 * 3600 * kSecond);
  EXPECT_EQ(parse_capture_time("20160910T195332", offset_ns), kTime);
  EXPECT_EQ(parse_capture_time("Sat Sep 10 19:53:32 JST 2016", offset_ns), kTime);
  EXPECT_EQ(parse_capture_time("Sat Sep 10 10:53:32 UTC 2016", offset_ns), kTime);
  EXPECT_EQ(parse_capture_time("20160910T105332Z", offset_ns), kTime);
  EXPECT_EQ(parse_capture_time("1473504812", offset_ns), kTime);
  EXPECT_EQ(parse_utc_offset("-0530"), -(5 * 3600 + 1800) * kSecond);
  EXPECT_EQ(parse_utc_offset("+9"), offset_ns);
  EXPECT_EQ(parse_utc_offset("Z"), 0);
  for (const char* bad : {"", "9", "+", "+1:0", "+19", "+09:60", "+09:00x", "09:00"}) {
    EXPECT_FALSE(parse_utc_offset(bad)) << bad;
  }
}

// Case D: what its author had, as it was.
TEST_F(Import, PageCacheCase) {
  options_.directory = kCase.string();
  const auto report = import_all();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->is_clean);
  EXPECT_EQ(notes_.size(), 6U);  // sar's tables and an excerpt
  const auto all = snapshots();
  ASSERT_EQ(all.size(), 4U);
  struct Moment {
    std::int64_t after_s;
    double cached_kib, active_file_kib, free_kib, anon_kib;
  };
  constexpr Moment kMoments[] = {{0, 13413548, 4190408, 270568, 43725308},
                                 {3, 11538272, 4145812, 2177640, 43726936},
                                 {9, 192460, 4964, 14086836, 43730872},
                                 {8503, 106128, 8452, 14385856, 43560988}};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Snapshot& snapshot = *all[i];
    EXPECT_EQ(snapshot.sequence, i + 1);
    EXPECT_EQ(snapshot.realtime_ns, kTime + kMoments[i].after_s * kSecond);
    EXPECT_EQ(snapshot.boottime_ns, (3600 + kMoments[i].after_s) * kSecond);
    auto memory = values(snapshot, "meminfo");
    EXPECT_EQ(memory.size(), 43U);
    EXPECT_EQ(memory["node_memory_Cached_bytes"], kMoments[i].cached_kib * 1024);
    EXPECT_EQ(memory["node_memory_Active_file_bytes"], kMoments[i].active_file_kib * 1024);
    EXPECT_EQ(memory["node_memory_MemFree_bytes"], kMoments[i].free_kib * 1024);
    EXPECT_EQ(memory["node_memory_AnonPages_bytes"], kMoments[i].anon_kib * 1024);
    EXPECT_FALSE(memory.contains("node_memory_MemAvailable_bytes"));  // 2.6.32 has none
    EXPECT_EQ(snapshot.find("meminfo")->section->read_end_boottime_ns, snapshot.boottime_ns);
    EXPECT_TRUE(snapshot.find("meminfo")->status.success);
    const SnapshotEntry* zones = snapshot.find("zoneinfo");
    ASSERT_NE(zones, nullptr);
    EXPECT_EQ(zones->section, nullptr);
    EXPECT_EQ(zones->status.error, ErrorKind::kMissing);
    EXPECT_EQ(snapshot.find("uname"), nullptr);  // this host's
  }
}

TEST_F(Import, TablesOfSarAsCounters) {
  const std::string command =
      "python3 -B " + (kCase / "../../tools/sar_to_proc.py").string() +
      " --date=2016-09-10 --out=" + tree_.path("in") + " " + (kCase / "sar-B.txt").string() + " " +
      (kCase / "sar-d-onset.txt").string() + " " + (kCase / "sar-u.txt").string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  options_.utc_offset_ns = 9 * 3600 * kSecond;
  for (CollectorConfig& collector : config_.collectors) {
    collector.enabled = collector.enabled && collector.info->name != "stat";
  }
  const auto report = import_all();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->is_clean) << complaints_.front();
  const auto end_ns = parse_capture_time("2016-09-10T03:00:07+09:00", 0);
  SnapshotPtr before;
  SnapshotPtr after;
  for (const SnapshotPtr& snapshot : snapshots()) {
    EXPECT_EQ(snapshot->find("stat"), nullptr);
    if (snapshot->realtime_ns < *end_ns && !values(*snapshot, "vmstat").empty()) {
      before = snapshot;
    } else if (snapshot->realtime_ns == *end_ns) {
      after = snapshot;
    }
  }
  ASSERT_NE(before, nullptr);
  ASSERT_NE(after, nullptr);
  const double seconds = static_cast<double>(after->boottime_ns - before->boottime_ns) / 1e9;
  EXPECT_EQ(seconds, 605);
  const auto rate = [&](std::string_view collector, const std::string& series) {
    return (values(*after, collector)[series] - values(*before, collector)[series]) / seconds;
  };
  EXPECT_NEAR(rate("vmstat", "node_vmstat_pgpgin"), 694031.81, 0.01);
  EXPECT_NEAR(rate("vmstat", "node_vmstat_pgmajfault"), 633.88, 0.01);
  EXPECT_NEAR(rate("vmstat", "node_vmstat_pgscan_kswapd"), 375196.37, 0.01);
  EXPECT_NEAR(rate("vmstat", "node_vmstat_pgsteal_kswapd"), 179629.27, 0.01);
  EXPECT_NEAR(rate("diskstats", "node_disk_read_bytes_total{device=\"vgca0\"}"), 1363553.94 * 512,
              5);
  EXPECT_NEAR(rate("diskstats", "node_disk_io_time_seconds_total{device=\"sda\"}"), 0.8670, 1e-4);
}

TEST_F(Import, LayoutsMeetAtOneMoment) {
  write("20160910T105332/proc/stat", stat_of(10));
  write("20160910T105332/proc/pressure/io",
        "some avg10=0 avg60=0 avg300=0 total=2000\nfull avg10=0 avg60=0 avg300=0 total=1000\n");
  write("20160910T105332/proc/sys/vm/swappiness", "1\n");
  write("meminfo-20160910T105332.txt", kMeminfo);
  write("pressure-cpu.1473504813", "some avg10=0 avg60=0 avg300=0 total=3000\n");
  write("vmstat.log", "header\n# 20160910T105332Z\n" + std::string(kVmstat) +
                          "\n\nzzz ***Sat Sep 10 10:53:33 UTC 2016\n\npgpgin 9\n");
  write("net_dev-1473504813.txt",
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
        "drop fifo colls carrier compressed\n"
        "  eth9: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n");
  const auto report = import_all();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->is_clean) << complaints_.front();
  const auto all = snapshots();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(values(*all[0], "meminfo")["node_memory_MemFree_bytes"], 500 * 1024);
  EXPECT_EQ(values(*all[0], "vmstat")["node_vmstat_pgpgin"], 7);
  EXPECT_EQ(values(*all[0], "cpu")["node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}"], 0.1);
  EXPECT_EQ(values(*all[0], "stat")["node_context_switches_total"], 2);
  EXPECT_EQ(values(*all[0], "sysctl")["node_sysctl_vm_swappiness"], 1);
  EXPECT_EQ(values(*all[0], "pressure")["node_pressure_io_stalled_seconds_total"], 0.001);
  EXPECT_FALSE(values(*all[0], "pressure").contains("node_pressure_cpu_waiting_seconds_total"));
  // Only what was captured then: not what was there a second before.
  EXPECT_EQ(values(*all[1], "vmstat")["node_vmstat_pgpgin"], 9);
  EXPECT_EQ(values(*all[1], "pressure").size(), 1U);
  EXPECT_EQ(values(*all[1], "netdev")["node_network_receive_bytes_total{device=\"eth9\"}"], 5);
  for (const char* absent : {"meminfo", "cpu", "stat", "sysctl", "meminfo_numa"}) {
    EXPECT_EQ(all[1]->find(absent)->section, nullptr) << absent;
    EXPECT_EQ(all[1]->find(absent)->status.error, ErrorKind::kMissing) << absent;
  }
  EXPECT_EQ(all[1]->find("meminfo")->status.failures, 1U);
  EXPECT_EQ(all[1]->find("meminfo")->status.last_success_realtime_ns, kTime);
}

// A machine's fixture as it is, links of sysfs included.
TEST_F(Import, WholeMachine) {
  const fs::path machine = fs::path(TIDEGAUGE_SOURCE_DIR) / "tests/fixtures/linux-6.12";
  fs::create_directories(tree_.path("in/1473504812"));
  for (const char* part : {"proc", "sys"}) {
    fs::copy(machine / part, tree_.path("in/1473504812") + "/" + part,
             fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }
  const auto report = import_all();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->is_clean) << complaints_.front();
  const auto all = snapshots();
  ASSERT_EQ(all.size(), 1U);
  for (const SnapshotEntry& entry : all[0]->entries) {
    if (entry.section == nullptr) {
      continue;
    }
    // Their time is asked of the kernel or of udev, which a capture has not.
    if (entry.collector == "diskstats" || entry.collector == "netdev") {
      continue;
    }
    const auto live =
        testing::run_once(*find_collector(entry.collector), testing::fixture("linux-6.12"));
    ASSERT_TRUE(live);
    EXPECT_EQ(testing::flatten(*entry.section), testing::flatten(*live)) << entry.collector;
  }
  EXPECT_GE(report->sections.size(), 15U);
}

TEST_F(Import, CountersStayMonotone) {
  write("stat-1473504812", stat_of(10));
  write("stat-1473504813", stat_of(8));
  ASSERT_TRUE(import_all());
  const auto all = snapshots();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(values(*all[1], "cpu")["node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}"], 0.1);
}

TEST_F(Import, MalformedFilesCostOneCollectorOneMoment) {
  write("meminfo-1473504812", "MemTotal: 1000 kB\nnonsense\n");
  write("vmstat-1473504812", kVmstat);
  write("meminfo-1473504813", kMeminfo);
  write("vmstat-1473504813", "pgpgin 7");  // cut
  write("buddyinfo.log",
        "zzz ***1473504812\nNode 0, zone DMA 1 2\nzzz ***never\nNode 0, zone DMA 1 2\n"
        "zzz ***1473504813\n\nNode 0, zone DMA 1 2\nNode 0, zone DMA32 x\n");
  write("loadavg.log", "0.1 0.2 0.3 1/2 3\n");
  const auto report = import_all();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->is_clean);
  const std::string in = options_.directory + "/";
  ASSERT_EQ(complaints_.size(), 5U);
  EXPECT_EQ(complaints_[0], in + "buddyinfo.log line 3: malformed: expected a time behind zzz ***");
  EXPECT_TRUE(complaints_[1].starts_with(in + "loadavg.log: malformed: ")) << complaints_[1];
  EXPECT_TRUE(
      complaints_[2].starts_with("malformed: " + in + "meminfo-1473504812 line 2: expected "))
      << complaints_[2];
  EXPECT_TRUE(complaints_[3].starts_with("malformed: " + in + "vmstat-1473504813: expected "))
      << complaints_[3];
  EXPECT_TRUE(complaints_[4].starts_with("malformed: " + in + "buddyinfo.log line 8: expected "))
      << complaints_[4];
  const auto all = snapshots();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0]->find("meminfo")->section, nullptr);
  EXPECT_EQ(all[0]->find("meminfo")->status.error, ErrorKind::kMalformed);
  EXPECT_EQ(values(*all[0], "vmstat").size(), 2U);
  EXPECT_EQ(values(*all[1], "meminfo").size(), 2U);
  EXPECT_EQ(all[1]->find("vmstat")->section, nullptr);
}

TEST_F(Import, NothingLeadsOutOfTheDirectoryOrHangs) {
  tree_.write("secret/meminfo", kMeminfo);
  write("20160910T105332/proc/vmstat", kVmstat);
  tree_.link("in/20160910T105332/proc/meminfo", "../../../secret/meminfo");
  tree_.link("in/20160910T105332/proc/stat", "/proc/stat");
  tree_.link("in/20160910T105332/sys", "/sys");
  ASSERT_EQ(::mkfifo(tree_.path("in/20160910T105332/proc/loadavg").c_str(), 0600), 0);
  fs::create_directories(tree_.path("in/20160910T105332/proc/zoneinfo"));
  fs::create_directories(tree_.path("in/20160910T105332/proc/sys/vm"));
  tree_.link("in/20160910T105332/proc/sys/vm/swappiness", "../../../../../secret/meminfo");
  tree_.link("in/vmstat-1473504813", "20160910T105332/proc/vmstat");  // stays within
  tree_.link("in/meminfo-1473504813", tree_.path("secret/meminfo"));
  ASSERT_EQ(::mkfifo(tree_.path("in/buddyinfo-1473504813").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo(tree_.path("in/slabinfo.log").c_str(), 0600), 0);
  tree_.link("in/20160910T105334", tree_.path("secret"));
  write("diskstats-1473504813", "");
  fs::resize_file(tree_.path("in/diskstats-1473504813"), kMaxCaptureBytes + 1);
  const auto report = import_all();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->is_clean);
  std::string said;
  for (const std::string& line : complaints_) {
    said += line + "\n";
  }
  for (const char* part :
       {"proc/meminfo", "proc/stat", "105332/sys", "proc/loadavg", "proc/zoneinfo", "vm/swappiness",
        "meminfo-1473504813", "buddyinfo-1473504813", "slabinfo.log",
        "diskstats-1473504813: more than 16 MiB"}) {
    EXPECT_NE(said.find(part), std::string::npos) << part << " in\n" << said;
  }
  const std::string in = options_.directory + "/";
  EXPECT_NE(said.find("denied: " + in + "meminfo-1473504813: leads out of the directory\n"),
            std::string::npos);
  EXPECT_NE(said.find("malformed: " + in + "slabinfo.log: not a regular file\n"),
            std::string::npos);
  EXPECT_NE(said.find("malformed: " + in + "20160910T105332/proc/loadavg: not a regular file\n"),
            std::string::npos);
  EXPECT_EQ(complaints_.size(), 10U) << said;
  EXPECT_EQ(notes_.size(), 1U);
  const auto all = snapshots();
  ASSERT_EQ(all.size(), 2U);
  for (const SnapshotPtr& snapshot : all) {
    EXPECT_EQ(values(*snapshot, "vmstat").size(), 2U);
    for (const SnapshotEntry& entry : snapshot->entries) {
      EXPECT_EQ(entry.section != nullptr, entry.collector == "vmstat") << entry.collector;
    }
  }
}

TEST_F(Import, TheSameMomentTwiceIsTold) {
  write("meminfo-1473504812", kMeminfo);
  write("meminfo-20160910T105332.txt", kVmstat);
  write("1473504812/proc/meminfo", kVmstat);
  write("20160910T105332/proc/meminfo", kVmstat);
  ASSERT_TRUE(import_all());
  EXPECT_EQ(complaints_.size(), 3U);
  EXPECT_EQ(values(*snapshots().at(0), "meminfo").size(), 2U);
}

TEST_F(Import, StatCannotBeToldApartWithin50Milliseconds) {
  write("stat-1473504812.000", stat_of(10));
  write("vmstat-1473504812.010", kVmstat);
  write("stat-1473504812.020", stat_of(20));
  ASSERT_TRUE(import_all());
  const auto all = snapshots();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1]->find("cpu")->status.error, ErrorKind::kMissing);
  EXPECT_EQ(all[2]->find("cpu")->status.error, ErrorKind::kMalformed);
  EXPECT_EQ(complaints_.size(), 2U);  // stat and cpu
  // A refused one does not make the next one refused.
  write("stat-1473504812.060", stat_of(30));
  options_.force = true;
  ASSERT_TRUE(import_all());
  EXPECT_NE(snapshots().at(3)->find("cpu")->section, nullptr);
  EXPECT_EQ(complaints_.size(), 2U);
}

TEST_F(Import, DisksAreWhatTheirMomentSaysOfThem) {
  const std::string disk = "8 0 sda 1 1 1 1 1 1 1 1 1 1 1\n";
  for (const char* time : {"1473504812", "1473504813", "1473504814"}) {
    write(std::string(time) + "/proc/diskstats", disk);
  }
  write("1473504812/sys/block/sda/queue/rotational", "1\n");
  write("1473504813/sys/block/sda/queue/rotational", "0\n");
  ASSERT_TRUE(import_all());
  const auto all = snapshots();
  ASSERT_EQ(all.size(), 3U);
  const std::string info =
      "node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",path=\"\",wwn=\"\",model=\"\","
      "serial=\"\",revision=\"\",rotational=\"";
  EXPECT_EQ(values(*all[0], "diskstats").count(info + "1\"}"), 1U);
  EXPECT_EQ(values(*all[1], "diskstats").count(info + "0\"}"), 1U);
  EXPECT_EQ(values(*all[2], "diskstats").size(), 11U);
}

TEST_F(Import, NoFifoInATree) {
  write("1473504812/proc/vmstat", kVmstat);
  fs::create_directories(tree_.path("in/1473504812/sys/kernel/mm/ksm"));
  ASSERT_EQ(::mkfifo(tree_.path("in/1473504812/sys/kernel/mm/ksm/run").c_str(), 0600), 0);
  ASSERT_TRUE(import_all());
  ASSERT_EQ(complaints_.size(), 1U);
  EXPECT_NE(complaints_[0].find("kernel/mm/ksm/run: a FIFO"), std::string::npos) << complaints_[0];
}

TEST_F(Import, UnusableInput) {
  auto failed = import_all();
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("no kernel files with times"), std::string::npos);
  write("meminfo-1473504812", kMeminfo);
  options_.directory = tree_.path("in/meminfo-1473504812");
  EXPECT_FALSE(import_all());
  options_.directory = tree_.path("nonexistent");
  EXPECT_FALSE(import_all());
  options_.directory = tree_.path("in");
  options_.out = tree_.path("nonexistent/a.rec");
  EXPECT_FALSE(import_all());
  options_.out = tree_.path("out/a.rec");
  is_interrupted_ = [] { return true; };
  EXPECT_FALSE(import_all());
  EXPECT_FALSE(fs::exists(options_.out));
}

TEST_F(Import, FileIsRefusedOrReplaced) {
  write("meminfo-1473504812", kMeminfo);
  ASSERT_TRUE(import_all());
  struct stat info {};
  ASSERT_EQ(::stat(options_.out.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0640U);
  write("meminfo-1473504813", kMeminfo);
  const auto refused = import_all();
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("File exists"), std::string::npos);
  EXPECT_EQ(snapshots().size(), 1U);
  options_.force = true;
  ASSERT_TRUE(import_all());
  EXPECT_EQ(snapshots().size(), 2U);
  options_.out = tree_.path("out");
  EXPECT_FALSE(import_all());
  options_.out = "/dev/null";
  EXPECT_FALSE(import_all());
  options_.out = tree_.path("out/a.rec");
}

// More than one chunk, and what changes between them.
TEST_F(Import, ManyMoments) {
  std::string log;
  for (int i = 0; i < 10'000; ++i) {
    log += "# " + std::to_string(1'473'504'812 + i) + "\npgpgin " + std::to_string(i) + "\n";
  }
  write("vmstat.log", log);
  const auto report = import_all();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->moments, 10'000U);
  const auto all = snapshots();
  ASSERT_EQ(all.size(), 10'000U);
  for (std::size_t i = 0; i < all.size(); i += 777) {
    EXPECT_EQ(values(*all[i], "vmstat")["node_vmstat_pgpgin"], static_cast<double>(i));
  }
}

TEST_F(Import, TooManyMoments) {
  std::string log;
  for (int i = 0; i <= 100'000; ++i) {
    log += "# " + std::to_string(1'473'504'812 + i) + "\n";
  }
  write("vmstat.log", log);
  const auto failed = import_all();
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("more than 100000 moments"), std::string::npos);
}

}  // namespace
}  // namespace tidegauge
