// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/diskstats.h"

#include <gtest/gtest.h>

#include "collectors/block/disk_info.h"
#include "collectors/block/disk_times.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;
using testing::FixtureTree;
using Series = std::map<std::string, double>;

constexpr std::int64_t kSecond = 1'000'000'000;

std::vector<DiskStats> parsed(std::string_view text) {
  std::vector<DiskStats> out;
  const auto result = parse_diskstats(text, out);
  EXPECT_TRUE(result) << error_text(result);
  return out;
}

std::string refusal(std::string_view text) {
  std::vector<DiskStats> out;
  return error_text(parse_diskstats(text, out));
}

TEST(ParseDiskstats, KnowsThreeGenerations) {
  const auto disks = parsed(
      "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n"
      "   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n"
      " 259 1048575 cciss/c0d0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"
      " 259       1 later 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x");
  ASSERT_EQ(disks.size(), 4U);
  EXPECT_EQ(disks[0].name, "sda");
  EXPECT_EQ(disks[0].major, 8U);
  EXPECT_EQ(disks[0].reads_completed, 1U);
  EXPECT_EQ(disks[0].written_sectors, 7U);
  EXPECT_EQ(disks[0].in_progress, 9U);
  EXPECT_EQ(disks[0].weighted_io_time_ms, 11U);
  EXPECT_FALSE(disks[0].discards_completed);
  EXPECT_FALSE(disks[0].flush_time_ms);
  EXPECT_EQ(disks[1].discard_time_ms, 15U);
  EXPECT_FALSE(disks[1].flushes_completed);
  EXPECT_EQ(disks[2].name, "cciss/c0d0");
  EXPECT_EQ(disks[2].minor, 1048575U);
  EXPECT_EQ(disks[2].flushes_completed, 16U);
  EXPECT_EQ(disks[3].flush_time_ms, 17U);
}

TEST(ParseDiskstats, PassesOverOldPartitionsAndEmptyLines) {
  const auto disks =
      parsed("   3    1 hda1 35486 38030 38030 38030\n\n 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
  ASSERT_EQ(disks.size(), 1U);
  EXPECT_EQ(disks[0].name, "sda");
}

TEST(ParseDiskstats, TakesHugeNumbers) {
  const auto disks = parsed("8 0 sda 18446744073709551615 0 0 4294967296 0 0 0 0 0 0 0\n");
  EXPECT_EQ(disks[0].reads_completed, 18446744073709551615U);
  EXPECT_EQ(disks[0].read_time_ms, 4294967296U);
}

TEST(ParseDiskstats, NamesTheLineItCannotRead) {
  const std::string good = "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n";
  EXPECT_EQ(refusal(good + "8 16 sdb 1 2 3"),
            "malformed: diskstats line 2: expected eleven counters");
  for (const char* bad :
       {"x 0 sda 1 2 3 4 5 6 7 8 9 10 11", "8 -1 sda 1 2 3 4 5 6 7 8 9 10 11", "8", "8 0",
        "8 0 sda 1 2 3 4 5 6 7 8 9 10", "8 0 sda 1 2 3 4 5 6 7 8 9 10 1x",
        "8 0 sda 1 2 3 4 5 6 7 8 9 10 18446744073709551616",
        "4294967296 0 s 1 2 3 4 5 6 7 8 9 10 11", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11 twelve",
        "\x01\xff"}) {
    EXPECT_EQ(refusal(good + bad).find("malformed: diskstats line 2"), 0U) << bad;
  }
}

TEST(ParseDiskstats, SurvivesTruncationAnywhere) {
  const std::string text =
      "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n 259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 "
      "11\n";
  std::vector<DiskStats> out;
  for (std::size_t length = 0; length <= text.size(); ++length) {
    static_cast<void>(parse_diskstats(std::string_view(text).substr(0, length), out));
  }
}

DiskStats disk(std::uint64_t requests, std::uint64_t read_time_ms) {
  DiskStats stats;
  stats.reads_completed = requests;
  stats.writes_completed = requests;
  stats.read_sectors = requests * 8;
  stats.written_sectors = requests * 8;
  stats.read_time_ms = read_time_ms;
  stats.discard_time_ms = read_time_ms / 2;
  return stats;
}

std::uint64_t step(DiskTimes& times, DiskStats stats, bool expect_new = false) {
  EXPECT_EQ(times.unwrap(stats), expect_new);
  return stats.read_time_ms;
}

TEST(DiskTimes, GoesOnOverTheEndOf32Bits) {
  DiskTimes times;
  EXPECT_EQ(step(times, disk(10, 4'294'967'290), true), 4'294'967'290U);
  EXPECT_EQ(step(times, disk(11, 4)), 4'294'967'300U);
  EXPECT_EQ(step(times, disk(12, 4'000'000'000)), 8'294'967'296U);
  EXPECT_EQ(step(times, disk(13, 5)), 8'589'934'597U);
}

TEST(DiskTimes, UnwrapsOptionalFieldsAndLeavesAbsentOnes) {
  DiskTimes times;
  DiskStats stats = disk(1, 0);
  stats.flush_time_ms = 4'294'967'295;
  stats.discard_time_ms.reset();
  times.unwrap(stats);
  stats = disk(2, 0);
  stats.flush_time_ms = 1;
  stats.discard_time_ms.reset();
  times.unwrap(stats);
  EXPECT_EQ(stats.flush_time_ms, 4'294'967'297U);
  EXPECT_FALSE(stats.discard_time_ms);
}

TEST(DiskTimes, LeavesA64BitKernelAlone) {
  DiskTimes times;
  for (const std::uint64_t ms :
       std::initializer_list<std::uint64_t>{4'294'967'000, 4'294'968'000, 9'000'000'000'000}) {
    EXPECT_EQ(step(times, disk(ms, ms), ms == 4'294'967'000), ms);
  }
}

TEST(DiskTimes, StartsAnewWithAnotherDisk) {
  DiskTimes times;
  step(times, disk(1000, 4'294'967'290), true);
  EXPECT_EQ(step(times, disk(3, 40), true), 40U);
  EXPECT_EQ(step(times, disk(4, 50)), 50U);
  // A disk that had only been written to.
  DiskTimes writer;
  DiskStats stats = disk(100, 500);
  stats.reads_completed = stats.read_sectors = 0;
  writer.unwrap(stats);
  stats = disk(2, 20);
  stats.reads_completed = stats.read_sectors = 0;
  EXPECT_EQ(step(writer, stats, true), 20U);
}

TEST(DiskTimes, TakesAStepBackForARaceNotForAWrap) {
  DiskTimes times;
  step(times, disk(10, 1'000), true);
  EXPECT_EQ(step(times, disk(11, 997)), 1'000U);
  EXPECT_EQ(step(times, disk(12, 1'004)), 1'004U);
}

TEST(DiskTimes, TakesWrappingRequestsOf32BitMachinesForTheSameDisk) {
  DiskTimes times;
  DiskStats stats = disk(4'294'967'290, 100);
  stats.read_sectors = stats.written_sectors = 4'000'000'000;
  times.unwrap(stats);
  stats = disk(4, 200);
  stats.read_sectors = stats.written_sectors = 4'000'000'008;
  EXPECT_EQ(step(times, stats), 200U);
}

TEST(ParseUdevDisk, KeepsWantedPropertiesOnly) {
  const UdevDisk disk = parse_udev_disk(
      "S:disk/by-id/x\nE:ID_MODEL=first\nE:ID_MODEL=A=B "
      "C\nE:ID_FS_TYPE\nE:NOPE=1\nID_WWN=2\nE:\nE:ID_ATA=1");
  EXPECT_EQ(disk.model, "A=B C");
  EXPECT_EQ(disk.fs_type, "");
  EXPECT_EQ(disk.wwn, "");
  EXPECT_EQ(disk.ata, "1");
  EXPECT_EQ(parse_udev_disk("").model, "");
}

Series run(Collector& collector, std::int64_t boottime_ns = kSecond) {
  const auto section = testing::run(collector, boottime_ns);
  EXPECT_TRUE(section) << error_text(section);
  return section ? testing::flatten(*section) : Series{};
}

Series run_fixture(const char* name, const std::vector<std::string>& options = {}) {
  const auto section = testing::run_once(kDiskstatsCollector, testing::fixture(name), options);
  EXPECT_TRUE(section) << name << error_text(section);
  return section ? testing::flatten(*section) : Series{};
}

TEST(DiskstatsCollector, ShowsALinux310Host) {
  const Series series = run_fixture("linux-3.10");
  EXPECT_EQ(series.at("node_disk_reads_completed_total{device=\"sda\"}"), 1270534);
  EXPECT_EQ(series.at("node_disk_read_bytes_total{device=\"sda\"}"), 61387266.0 * 512);
  EXPECT_EQ(series.at("node_disk_read_time_seconds_total{device=\"sda\"}"), 4294961234 * 0.001);
  EXPECT_EQ(series.at("node_disk_io_now{device=\"sda\"}"), 3);
  EXPECT_EQ(series.count("node_disk_reads_completed_total{device=\"sda1\"}"), 0U);
  EXPECT_EQ(series.count("node_disk_discards_completed_total{device=\"sda\"}"), 0U);
  EXPECT_EQ(
      series.at(
          "node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",path=\"pci-0000:00:1f.2-ata-1\","
          "wwn=\"0x5000c500aa0001\",model=\"HARBOR_D500\",serial=\"HB0001\","
          "revision=\"0A11\",rotational=\"1\"}"),
      1);
  EXPECT_EQ(series.at("node_disk_info{device=\"sdb\",major=\"8\",minor=\"16\",path=\"\",wwn=\"\","
                      "model=\"\",serial=\"\",revision=\"\",rotational=\"0\"}"),
            1);
  EXPECT_EQ(
      series.at("node_disk_filesystem_info{device=\"dm-0\",type=\"ext4\",usage=\"filesystem\","
                "uuid=\"4d0a0000-1111-4222-8333-944445555666\",version=\"1.0\"}"),
      1);
  EXPECT_EQ(
      series.at("node_disk_device_mapper_info{device=\"dm-0\",name=\"vg0-root\","
                "uuid=\"LVM-3Jm1a2B3c4D5e6F7g8H9i0J1k2L3m4N5\",vg_name=\"vg0\",lv_name=\"root\","
                "lv_layer=\"\"}"),
      1);
  EXPECT_EQ(series.at("node_disk_ata_write_cache{device=\"sda\"}"), 1);
  EXPECT_EQ(series.at("node_disk_ata_write_cache_enabled{device=\"sda\"}"), 0);
  EXPECT_EQ(series.at("node_disk_ata_rotation_rate_rpm{device=\"sda\"}"), 7200);
  EXPECT_EQ(series.size(), 5U * 11 + 5 + 1 + 1 + 3);
}

TEST(DiskstatsCollector, ShowsDiscardsAndFlushesWhereTheKernelHasThem) {
  const Series v4 = run_fixture("linux-4.19");
  EXPECT_EQ(v4.at("node_disk_discarded_sectors_total{device=\"vda\"}"), 41288704);
  EXPECT_EQ(v4.count("node_disk_flush_requests_total{device=\"vda\"}"), 0U);
  EXPECT_EQ(v4.count("node_disk_io_now{device=\"loop0\"}"), 0U);
  const Series v5 = run_fixture("linux-5.10");
  EXPECT_EQ(v5.at("node_disk_flush_requests_total{device=\"nvme0n1\"}"), 40122);
  EXPECT_EQ(v5.at("node_disk_flush_requests_time_seconds_total{device=\"nvme0n1\"}"),
            197085 * 0.001);
  EXPECT_EQ(v5.size(), 18U);
  const Series v6 = run_fixture("linux-6.12");
  EXPECT_EQ(v6.at("node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",path=\"\",wwn=\"\","
                  "model=\"HARBOR_D8T\",serial=\"HB9-SCSI\",revision=\"\",rotational=\"1\"}"),
            1);
}

TEST(DiskstatsCollector, FiltersAsNodeExporterDoes) {
  const Series included = run_fixture("linux-5.10", {"device_include=^nvme0n1p1$"});
  EXPECT_EQ(included.at("node_disk_reads_completed_total{device=\"nvme0n1p1\"}"), 412);
  EXPECT_EQ(included.size(), 18U);
  EXPECT_EQ(run_fixture("linux-5.10", {"device_exclude=^nvme0n1$"}).size(), 36U);
  const auto both = testing::make(kDiskstatsCollector, testing::fixture("linux-5.10"),
                                  {"device_include=a", "device_exclude=b"});
  EXPECT_EQ(both.error().kind, ErrorKind::kInvalid);
}

std::string sda(std::uint64_t requests, std::uint64_t read_ms) {
  const std::string n = std::to_string(requests);
  return "8 0 sda " + n + " 0 " + n + " " + std::to_string(read_ms) + " " + n + " 0 " + n +
         " 0 0 0 0\n";
}

TEST(DiskstatsCollector, KeepsItsTimesWhileOtherDisksComeAndGo) {
  const FixtureTree tree;
  tree.write("proc/diskstats", sda(10, 4'294'967'295) + "8 16 sdb 1 1 1 1 1 1 1 1 1 1 1\n");
  auto made = testing::make(kDiskstatsCollector, tree.files());
  ASSERT_TRUE(made);
  Collector& collector = **made;
  const std::string time = "node_disk_read_time_seconds_total{device=\"sda\"}";
  EXPECT_EQ(run(collector).at(time), 4'294'967'295 * 0.001);
  tree.write("proc/diskstats", "7 0 sdz 1 1 1 1 1 1 1 1 1 1 1\n" + sda(11, 4));
  const Series moved = run(collector);
  EXPECT_EQ(moved.at(time), 4'294'967'300 * 0.001);
  EXPECT_EQ(moved.count("node_disk_io_now{device=\"sdb\"}"), 0U);
  EXPECT_EQ(moved.count("node_disk_io_now{device=\"sdz\"}"), 1U);
  // The same name with another number is another disk.
  tree.write("proc/diskstats", "8 32 sda 90 0 90 7 90 0 90 0 0 0 0\n");
  EXPECT_EQ(run(collector).at(time), 7 * 0.001);
}

TEST(DiskstatsCollector, ReadsIdentitiesRarely) {
  const FixtureTree tree;
  tree.write("proc/diskstats", sda(10, 1));
  auto made = testing::make(kDiskstatsCollector, tree.files());
  ASSERT_TRUE(made);
  Collector& collector = **made;
  const std::string key =
      "node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",path=\"\",wwn=\"\",model=\"";
  const std::string rest = "\",serial=\"\",revision=\"\",rotational=\"0\"}";
  EXPECT_EQ(run(collector, kSecond).count(key + rest), 1U);
  // udev writes its file after the device has appeared.
  tree.write("udev/b8:0", "E:ID_MODEL=one\n");
  EXPECT_EQ(run(collector, 2 * kSecond).count(key + rest), 1U);
  EXPECT_EQ(run(collector, 6 * kSecond).count(key + "one" + rest), 1U);
  tree.write("udev/b8:0", "E:ID_MODEL=two\n");
  EXPECT_EQ(run(collector, 65 * kSecond).count(key + "one" + rest), 1U);
  EXPECT_EQ(run(collector, 66 * kSecond).count(key + "two" + rest), 1U);
  // Another disk in the same place is looked at at once.
  tree.write("udev/b8:0", "E:ID_MODEL=three\n");
  tree.write("proc/diskstats", sda(1, 0));
  EXPECT_EQ(run(collector, 67 * kSecond).count(key + "three" + rest), 1U);
}

TEST(DiskstatsCollector, TellsAMachineWithoutDisksFromAnEmptyFile) {
  const FixtureTree tree;
  tree.write("proc/diskstats", "");
  EXPECT_EQ(testing::run_once(kDiskstatsCollector, tree.files()).error().kind,
            ErrorKind::kMalformed);
  tree.write("sys/class/block/sda", "");
  EXPECT_EQ(testing::run_once(kDiskstatsCollector, tree.files()).error().kind,
            ErrorKind::kMalformed);
  tree.remove("sys/class/block/sda");
  const auto none = testing::run_once(kDiskstatsCollector, tree.files());
  ASSERT_TRUE(none) << error_text(none);
  EXPECT_EQ(testing::flatten(*none).size(), 0U);
  tree.remove("proc/diskstats");
  EXPECT_EQ(testing::run_once(kDiskstatsCollector, tree.files()).error().kind, ErrorKind::kMissing);
}

TEST(DiskstatsCollector, SharesItsShapeBetweenRuns) {
  auto made = testing::make(kDiskstatsCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(made);
  const auto first = testing::run(**made, kSecond);
  const auto second = testing::run(**made, 2 * kSecond);
  ASSERT_TRUE(first && second);
  ASSERT_EQ(first->tables.size(), second->tables.size());
  for (std::size_t i = 0; i < first->tables.size(); ++i) {
    EXPECT_EQ(first->tables[i].shape, second->tables[i].shape);
  }
}

TEST(DiskstatsCollector, ReadsThisMachine) {
  const auto section = testing::run_once(kDiskstatsCollector, KernelFiles(KernelRoots{}));
  if (!section && section.error().kind == ErrorKind::kMissing) {
    GTEST_SKIP() << error_text(section);
  }
  EXPECT_TRUE(section) << error_text(section);
}

}  // namespace
}  // namespace tidegauge
