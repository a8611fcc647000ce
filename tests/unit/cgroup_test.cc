// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>

#include "collectors/core/text.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::FixtureTree;
using Series = std::map<std::string, double>;

const std::string kId = "0e1d2c3b4a59687766554433221100ffeeddccbbaa99887766554433221100ab";
const std::string kUid = "2c48913c-b29f-11e7-9350-020968147796";

std::string name(std::string_view metric, std::string_view cgroup, std::string_view more = "") {
  std::string out = "tidegauge_cgroup_";
  out.append(metric).append("{cgroup=\"").append(cgroup).append("\"");
  return out.append(more.empty() ? "" : ",").append(more).append("}");
}

// What the series say, and a failure that is no crash when there is none of that name.
double at(const Series& series, const std::string& key) {
  const auto found = series.find(key);
  EXPECT_TRUE(found != series.end()) << key;
  return found == series.end() ? NAN : found->second;
}

Series series_of(const FixtureTree& tree, const std::vector<std::string>& options = {}) {
  const auto section = testing::run_once(kCgroupCollector, tree.files(), options);
  EXPECT_TRUE(section) << testing::error_text(section);
  return section ? testing::flatten(*section) : Series{};
}

std::size_t cgroups_in(const Series& series) {
  return static_cast<std::size_t>(std::count_if(series.begin(), series.end(), [](const auto& one) {
    return one.first.starts_with("tidegauge_cgroup_info{");
  }));
}

double left_out(const Series& series, const std::string& reason) {
  return at(series, "tidegauge_cgroup_left_out{reason=\"" + reason + "\"}");
}

bool has_duplicates(const Series& series) {
  return std::any_of(series.begin(), series.end(),
                     [](const auto& one) { return std::isnan(one.second); });
}

std::string pressure(int some, int full) {
  return "some avg10=0.00 avg60=0.00 avg300=0.00 total=" + std::to_string(some) +
         "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=" + std::to_string(full) + "\n";
}

constexpr std::string_view kMemoryStat612 =
    "anon 10485760\nfile 4194304\nkernel 262144\nkernel_stack 16384\npagetables 49152\n"
    "sec_pagetables 0\npercpu 1024\nsock 8192\nvmalloc 0\nshmem 65536\nzswap 0\nzswapped 0\n"
    "file_mapped 131072\nfile_dirty 12288\nfile_writeback 4096\nswapcached 0\nanon_thp 0\n"
    "inactive_anon 0\nactive_anon 10485760\nunevictable 0\nslab_reclaimable 98304\n"
    "slab_unreclaimable 81920\nslab 180224\nworkingset_refault_anon 5\n"
    "workingset_refault_file 6\nworkingset_activate_anon 0\npgscan 700\npgsteal 600\n"
    "pgscan_kswapd 500\npgfault 1000\npgmajfault 12\n";

void write_v2_unit(const FixtureTree& tree, const std::string& directory) {
  const std::string base = "sys/fs/cgroup" + directory + "/";
  tree.write(base + "memory.current", "16777216\n");
  tree.write(base + "memory.stat", kMemoryStat612);
  tree.write(base + "memory.swap.current", "4096\n");
  tree.write(base + "memory.max", "33554432\n");
  tree.write(base + "memory.high", "max\n");
  tree.write(base + "memory.swap.max", "max\n");
  tree.write(base + "memory.events", "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n");
  tree.write(base + "cpu.stat",
             "usage_usec 3000001\nuser_usec 2000000\nsystem_usec 1000001\nnice_usec 0\n"
             "core_sched.force_idle_usec 0\nnr_periods 10\nnr_throttled 2\n"
             "throttled_usec 500000\nnr_bursts 0\nburst_usec 0\n");
  tree.write(base + "cpu.max", "150000 100000\n");
  tree.write(base + "io.stat",
             "252:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=512 dios=3\n"
             "9:9 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\n");
  tree.write(base + "cpu.pressure", pressure(1'000'000, 0));
  tree.write(base + "io.pressure", pressure(2'000'000, 1'500'000));
  tree.write(base + "memory.pressure", pressure(3'000'000, 2'500'000));
  tree.write(base + "pids.current", "7\n");
  tree.write(base + "pids.max", "100\n");
}

void write_v2_root(const FixtureTree& tree) {
  tree.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
  tree.write("sys/fs/cgroup/cpu.stat", "usage_usec 9\nuser_usec 5\nsystem_usec 4\n");
  tree.link("sys/dev/block/252:0", "../../devices/virtio0/block/vda");
}

TEST(CgroupV2, EveryFile) {
  const FixtureTree tree;
  write_v2_root(tree);
  const std::string unit = "/system.slice/nginx.service";
  write_v2_unit(tree, unit);
  const Series series = series_of(tree);
  const std::vector<std::pair<std::string, double>> expected = {
      {name("memory_usage_bytes", unit), 16777216},
      {name("memory_anon_bytes", unit), 10485760},
      {name("memory_file_bytes", unit), 4194304},
      {name("memory_shmem_bytes", unit), 65536},
      {name("memory_mapped_bytes", unit), 131072},
      {name("memory_kernel_bytes", unit), 262144},
      {name("memory_slab_reclaimable_bytes", unit), 98304},
      {name("memory_slab_unreclaimable_bytes", unit), 81920},
      {name("memory_sock_bytes", unit), 8192},
      {name("memory_dirty_bytes", unit), 12288},
      {name("memory_writeback_bytes", unit), 4096},
      {name("memory_swap_bytes", unit), 4096},
      {name("memory_limit_bytes", unit), 33554432},
      {name("memory_events_total", unit, "event=\"low\""), 1},
      {name("memory_events_total", unit, "event=\"high\""), 2},
      {name("memory_events_total", unit, "event=\"max\""), 3},
      {name("memory_events_total", unit, "event=\"oom\""), 4},
      {name("memory_events_total", unit, "event=\"oom_kill\""), 5},
      {name("memory_major_faults_total", unit), 12},
      {name("memory_refaults_total", unit, "type=\"anon\""), 5},
      {name("memory_refaults_total", unit, "type=\"file\""), 6},
      {name("memory_scanned_pages_total", unit), 700},
      {name("memory_reclaimed_pages_total", unit), 600},
      {name("cpu_usage_seconds_total", unit), 3.000001},
      {name("cpu_user_seconds_total", unit), 2},
      {name("cpu_system_seconds_total", unit), 1.000001},
      {name("cpu_periods_total", unit), 10},
      {name("cpu_throttled_periods_total", unit), 2},
      {name("cpu_throttled_seconds_total", unit), 0.5},
      {name("cpu_quota_cpus", unit), 1.5},
      {name("pressure_waiting_seconds_total", unit, "resource=\"cpu\""), 1},
      {name("pressure_waiting_seconds_total", unit, "resource=\"io\""), 2},
      {name("pressure_waiting_seconds_total", unit, "resource=\"memory\""), 3},
      {name("pressure_stalled_seconds_total", unit, "resource=\"cpu\""), 0},
      {name("pressure_stalled_seconds_total", unit, "resource=\"io\""), 1.5},
      {name("pressure_stalled_seconds_total", unit, "resource=\"memory\""), 2.5},
      {name("pids", unit), 7},
      {name("pids_limit", unit), 100},
      {name("io_read_bytes_total", unit, "device=\"vda\""), 4096},
      {name("io_written_bytes_total", unit, "device=\"vda\""), 8192},
      {name("io_discarded_bytes_total", unit, "device=\"vda\""), 512},
      {name("io_reads_total", unit, "device=\"vda\""), 1},
      {name("io_writes_total", unit, "device=\"vda\""), 2},
      {name("io_discards_total", unit, "device=\"vda\""), 3},
      {name("io_discards_total", unit, "device=\"9:9\""), 6},
      {name("info", unit, R"(unit="nginx.service",container="",runtime="",pod="")"), 1},
      {"tidegauge_cgroup_left_out{reason=\"limits\"}", 0},
      {"tidegauge_cgroup_left_out{reason=\"privacy\"}", 0},
      {"tidegauge_cgroup_left_out{reason=\"label\"}", 0},
      {"tidegauge_cgroup_devices_left_out", 0},
      {"tidegauge_cgroup_read_errors_total", 0},
  };
  for (const auto& [key, value] : expected) {
    EXPECT_DOUBLE_EQ(at(series, key), value) << key;
  }
  EXPECT_FALSE(series.contains(name("memory_high_bytes", unit))) << "max is no limit";
  EXPECT_FALSE(series.contains(name("memory_swap_limit_bytes", unit)));
  EXPECT_FALSE(series.contains(name("memory_usage_bytes", "/"))) << "the root has none";
  EXPECT_DOUBLE_EQ(at(series, name("cpu_usage_seconds_total", "/")), 9e-6);
  EXPECT_EQ(cgroups_in(series), 2U) << "system.slice has no files here";
}

TEST(CgroupV2, KernelsBefore59CountRefaultsOfFilesOnly) {
  const FixtureTree tree;
  write_v2_root(tree);
  tree.write("sys/fs/cgroup/a/memory.stat", "anon 1\nworkingset_refault 77\n");
  tree.write("sys/fs/cgroup/a/cpu.max", "max 100000\n");
  const Series series = series_of(tree);
  EXPECT_EQ(at(series, name("memory_refaults_total", "/a", "type=\"file\"")), 77);
  EXPECT_FALSE(series.contains(name("memory_refaults_total", "/a", "type=\"anon\"")));
  EXPECT_FALSE(series.contains(name("cpu_quota_cpus", "/a")));
}

TEST(CgroupV2, DevicesWithoutNumbersAndWithoutNewline) {
  const FixtureTree tree;
  write_v2_root(tree);
  tree.write("sys/fs/cgroup/a/io.stat", "8:0 8:16 rbytes=5 wbytes=6\n7:0\n8:32 \n");
  const Series series = series_of(tree);
  EXPECT_EQ(at(series, name("io_read_bytes_total", "/a", "device=\"8:16\"")), 5);
  EXPECT_FALSE(series.contains(name("io_read_bytes_total", "/a", "device=\"8:0\"")));
  EXPECT_EQ(at(series, "tidegauge_cgroup_read_errors_total"), 0);
}

TEST(CgroupV2, EmptyLeafIsShown) {
  const FixtureTree tree;
  write_v2_root(tree);
  tree.write("sys/fs/cgroup/a/io.stat", "");
  tree.write("sys/fs/cgroup/a/pids.current", "0\n");
  const Series series = series_of(tree);
  EXPECT_EQ(at(series, name("pids", "/a")), 0);
  EXPECT_EQ(cgroups_in(series), 2U);
}

struct Broken {
  std::string_view file;
  std::string_view content;
  std::string_view lost;  // a metric of that file
};

TEST(CgroupV2, AMalformedFileCostsItsOwnSeriesOnly) {
  const std::vector<Broken> cases = {
      {"memory.current", "", "memory_usage_bytes"},
      {"memory.current", "12x\n", "memory_usage_bytes"},
      {"memory.current", "-1\n", "memory_usage_bytes"},
      {"memory.current", "1 2\n", "memory_usage_bytes"},
      {"memory.current", "18446744073709551616\n", "memory_usage_bytes"},
      {"memory.current", "1677", "memory_usage_bytes"},
      {"memory.stat", "", "memory_anon_bytes"},
      {"memory.stat", "garbage\n", "memory_anon_bytes"},
      {"memory.stat", "anon 1\nfile x\n", "memory_anon_bytes"},
      {"memory.stat", "anon 1\nfile\n", "memory_anon_bytes"},
      {"memory.stat", "anon 1\nfile 2", "memory_anon_bytes"},
      {"memory.stat", "anon 1 2\n", "memory_anon_bytes"},
      {"memory.max", "maximum\n", "memory_limit_bytes"},
      {"cpu.stat", "usage_usec 18446744073709551615\n", "cpu_usage_seconds_total"},
      {"cpu.stat", "\xff\xfe\n", "cpu_usage_seconds_total"},
      {"cpu.max", "150000\n", "cpu_quota_cpus"},
      {"cpu.max", "150000 0\n", "cpu_quota_cpus"},
      {"cpu.max", "1 2 3\n", "cpu_quota_cpus"},
      {"pids.current", "x\n", "pids"},
  };
  for (const Broken& broken : cases) {
    const FixtureTree tree;
    write_v2_root(tree);
    write_v2_unit(tree, "/a");
    tree.write("sys/fs/cgroup/a/" + std::string(broken.file), broken.content);
    const Series series = series_of(tree);
    EXPECT_FALSE(series.contains(name(broken.lost, "/a"))) << broken.file << broken.content;
    EXPECT_EQ(at(series, "tidegauge_cgroup_read_errors_total"), 1) << broken.file << broken.content;
    EXPECT_EQ(at(series, name("pids_limit", "/a")), 100);
    EXPECT_EQ(at(series, name("io_reads_total", "/a", "device=\"vda\"")), 1);
  }
}

TEST(CgroupV2, AMalformedIoStatLeavesNoDevice) {
  for (const std::string_view content :
       {"252:0 rbytes=1 wbytes=x\n", "252:0 rbytes\n", "vda rbytes=1\n", "252: rbytes=1\n",
        "252:0 rbytes=1\n8:0 rbytes=\n", "\n", "252:4294967296 rbytes=1\n", "252:0 rbytes=1"}) {
    const FixtureTree tree;
    write_v2_root(tree);
    write_v2_unit(tree, "/a");
    tree.write("sys/fs/cgroup/a/io.stat", content);
    const Series series = series_of(tree);
    EXPECT_TRUE(std::none_of(series.begin(), series.end(), [](const auto& one) {
      return one.first.starts_with("tidegauge_cgroup_io_");
    })) << content;
    EXPECT_EQ(at(series, "tidegauge_cgroup_read_errors_total"), 1) << content;
  }
}

TEST(CgroupV2, ReadErrorsAddUp) {
  const FixtureTree tree;
  write_v2_root(tree);
  tree.write("sys/fs/cgroup/cpu.stat", "x\n");
  const auto collector = testing::make(kCgroupCollector, tree.files());
  ASSERT_TRUE(collector);
  for (const double expected : {1, 2, 3}) {
    const auto section = testing::run(**collector);
    ASSERT_TRUE(section);
    EXPECT_EQ(at(testing::flatten(*section), "tidegauge_cgroup_read_errors_total"), expected);
  }
}

TEST(CgroupV2, ACgroupThatLeavesAndOneThatComes) {
  const FixtureTree tree;
  write_v2_root(tree);
  write_v2_unit(tree, "/a");
  write_v2_unit(tree, "/b");
  const auto collector = testing::make(kCgroupCollector, tree.files());
  ASSERT_TRUE(collector);
  ASSERT_TRUE(testing::run(**collector));
  tree.remove("sys/fs/cgroup/a");
  write_v2_unit(tree, "/docker/" + kId);
  tree.remove("sys/fs/cgroup/b/memory.stat");
  const auto section = testing::run(**collector);
  ASSERT_TRUE(section);
  const Series series = testing::flatten(*section);
  EXPECT_FALSE(series.contains(name("pids", "/a")));
  EXPECT_EQ(at(series, name("pids", "/b")), 7);
  EXPECT_FALSE(series.contains(name("memory_anon_bytes", "/b")));
  EXPECT_EQ(at(series, name("info", "/docker/" + kId,
                            "unit=\"\",container=\"" + kId + "\",runtime=\"docker\",pod=\"\"")),
            1);
  EXPECT_EQ(at(series, "tidegauge_cgroup_read_errors_total"), 0);
}

// What a removal between the opening of the directory and the reading of its files leaves.
TEST(CgroupV2, ACgroupWithoutAnyFileIsGone) {
  const FixtureTree tree;
  write_v2_root(tree);
  tree.write("sys/fs/cgroup/a/cgroup.procs", "");
  EXPECT_EQ(cgroups_in(series_of(tree)), 1U);
}

TEST(CgroupV2, FilesThatAreNoFiles) {
  const FixtureTree tree;
  write_v2_root(tree);
  write_v2_unit(tree, "/a");
  tree.remove("sys/fs/cgroup/a/pids.current");
  ASSERT_EQ(::mkfifo(tree.path("sys/fs/cgroup/a/pids.current").c_str(), 0600), 0);
  tree.remove("sys/fs/cgroup/a/pids.max");
  tree.write("sys/fs/cgroup/a/pids.max/x", "");
  tree.write("sys/fs/cgroup/a/memory.current", std::string(100'000, '\n'));
  tree.link("sys/fs/cgroup/loop", ".");
  const Series series = series_of(tree);
  EXPECT_EQ(at(series, "tidegauge_cgroup_read_errors_total"), 3);
  EXPECT_EQ(cgroups_in(series), 2U) << "links are not followed";
}

TEST(CgroupLimits, BreadthFirst) {
  const FixtureTree tree;
  write_v2_root(tree);
  for (const char* path : {"a", "a/x", "a/x/y", "b", "c"}) {
    tree.write(std::string("sys/fs/cgroup/") + path + "/pids.current", "1\n");
  }
  Series series = series_of(tree, {"max_cgroups=3"});
  EXPECT_EQ(cgroups_in(series), 3U);
  EXPECT_TRUE(series.contains(name("pids", "/b")));
  EXPECT_EQ(left_out(series, "limits"), 2) << "c and a/x; a/x/y was never met";
  series = series_of(tree, {"max_depth=1"});
  EXPECT_EQ(cgroups_in(series), 4U);
  EXPECT_EQ(left_out(series, "limits"), 1);
  series = series_of(tree, {"max_depth=0"});
  EXPECT_EQ(cgroups_in(series), 1U);
  EXPECT_EQ(left_out(series, "limits"), 3);
  series = series_of(tree);
  EXPECT_EQ(cgroups_in(series), 6U);
  EXPECT_EQ(left_out(series, "limits"), 0);
}

TEST(CgroupLimits, IncludeAndExclude) {
  const FixtureTree tree;
  write_v2_root(tree);
  for (const char* path : {"a", "a/x", "b", "b/y"}) {
    tree.write(std::string("sys/fs/cgroup/") + path + "/pids.current", "1\n");
  }
  Series series = series_of(tree, {"include=^/a/"});
  EXPECT_EQ(cgroups_in(series), 1U);
  EXPECT_TRUE(series.contains(name("pids", "/a/x"))) << "below one that is not shown";
  EXPECT_EQ(left_out(series, "limits"), 0) << "what nobody wants is not left out";
  series = series_of(tree, {"exclude=^/a$", "max_cgroups=2"});
  EXPECT_TRUE(series.contains(name("pids", "/b")));
  EXPECT_FALSE(series.contains(name("pids", "/a")));
  EXPECT_EQ(left_out(series, "limits"), 2);
  EXPECT_FALSE(testing::make(kCgroupCollector, tree.files(), {"include=a", "exclude=b"}));
}

TEST(CgroupLimits, TenThousandCgroups) {
  const FixtureTree tree;
  write_v2_root(tree);
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(::mkdir(tree.path("sys/fs/cgroup/g" + std::to_string(i)).c_str(), 0700), 0);
  }
  tree.write("sys/fs/cgroup/g0/pids.current", "1\n");
  const Series series = series_of(tree);
  EXPECT_EQ(cgroups_in(series), 2U);
  EXPECT_EQ(left_out(series, "limits"), 9501);
}

TEST(CgroupLimits, Devices) {
  const FixtureTree tree;
  write_v2_root(tree);
  std::string stat;
  for (int i = 0; i < 100; ++i) {
    stat += "8:" + std::to_string(i) + " rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n";
  }
  tree.write("sys/fs/cgroup/a/io.stat", stat);
  const Series series = series_of(tree);
  EXPECT_TRUE(series.contains(name("io_reads_total", "/a", "device=\"8:63\"")));
  EXPECT_FALSE(series.contains(name("io_reads_total", "/a", "device=\"8:64\"")));
  EXPECT_EQ(at(series, "tidegauge_cgroup_devices_left_out"), 36);
}

TEST(CgroupDeviceNames, FromSysfsThenDiskstatsThenTheNumber) {
  const FixtureTree tree;
  write_v2_root(tree);
  tree.link("sys/dev/block/104:0", "../../devices/block/cciss!c0d0");
  tree.link("sys/dev/block/252:1", "../../other/block/vda");
  tree.write("proc/diskstats", "   8       0 sda 1 0 1 1 1 0 1 1 0 1 1\n");
  tree.write("sys/fs/cgroup/a/io.stat",
             "252:0 rios=1\n104:0 rios=2\n8:0 rios=3\n8:1 rios=4\n252:1 rios=5\n");
  const Series series = series_of(tree);
  EXPECT_EQ(at(series, name("io_reads_total", "/a", "device=\"vda\"")), 1);
  EXPECT_EQ(at(series, name("io_reads_total", "/a", "device=\"cciss/c0d0\"")), 2);
  EXPECT_EQ(at(series, name("io_reads_total", "/a", "device=\"sda\"")), 3);
  EXPECT_EQ(at(series, name("io_reads_total", "/a", "device=\"8:1\"")), 4);
  EXPECT_EQ(at(series, name("io_reads_total", "/a", "device=\"252:1\"")), 5)
      << "never two series of one name";
}

// Names that no label can hold as they are must not make one series twice.
TEST(CgroupLabels, NeverTwice) {
  const FixtureTree tree;
  write_v2_root(tree);
  for (const std::string& path : {std::string("a\xfe"), std::string("a\xff"),
                                  std::string("a\xEF\xBF\xBD"), std::string("new\nline")}) {
    tree.write("sys/fs/cgroup/" + path + "/pids.current", "1\n");
  }
  std::string deep;
  for (int i = 0; i < 5; ++i) {
    deep += "/" + std::string(250, 'd');
  }
  tree.write("sys/fs/cgroup" + deep + "/x/pids.current", "1\n");
  tree.write("sys/fs/cgroup" + deep + "/y/pids.current", "1\n");
  const Series series = series_of(tree);
  EXPECT_EQ(cgroups_in(series), 4U) << "the root, one a, the new line, one deep one";
  EXPECT_EQ(left_out(series, "label"), 3);
  EXPECT_FALSE(has_duplicates(series));
}

// Hides as a configuration with `privacy` does, salted with the tree's machine id.
KernelFiles hiding(const FixtureTree& tree, Privacy privacy) {
  tree.write("root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
  KernelRoots roots = tree.files().roots();
  roots.privacy = privacy;
  return KernelFiles(roots);
}

TEST(CgroupPrivacy, DropShowsTheRootAndCountsTheOthers) {
  const FixtureTree tree;
  write_v2_root(tree);
  write_v2_unit(tree, "/system.slice/nginx.service");
  write_v2_unit(tree, "/user.slice/alice");
  write_v2_unit(tree, "/docker/" + kId);
  const auto section = testing::run_once(kCgroupCollector, hiding(tree, Privacy::kDrop));
  ASSERT_TRUE(section) << testing::error_text(section);
  const Series series = testing::flatten(*section);
  EXPECT_EQ(cgroups_in(series), 1U);
  EXPECT_DOUBLE_EQ(at(series, name("cpu_usage_seconds_total", "/")), 9e-6);
  EXPECT_FALSE(series.contains(name("pids", "-")));
  EXPECT_EQ(left_out(series, "privacy"), 6) << "three units and what they lie in";
  EXPECT_EQ(left_out(series, "label"), 0);
  EXPECT_EQ(left_out(series, "limits"), 0);
  EXPECT_FALSE(has_duplicates(series));
}

TEST(CgroupPrivacy, HashShowsAllUnderHashes) {
  const FixtureTree tree;
  write_v2_root(tree);
  const std::string mount = "/system.slice/home-alice.mount";
  const std::string service = "/system.slice/nginx.service";
  write_v2_unit(tree, mount);
  write_v2_unit(tree, service);
  write_v2_unit(tree, "/user.slice/user-1000.slice/session-1.scope");
  for (const char* odd : {"a\xfe", "a\xff", "a\xEF\xBF\xBD"}) {
    tree.write(std::string("sys/fs/cgroup/") + odd + "/pids.current", "1\n");
  }
  const KernelFiles files = hiding(tree, Privacy::kHash);
  const auto section = testing::run_once(kCgroupCollector, files);
  ASSERT_TRUE(section) << testing::error_text(section);
  const Series series = testing::flatten(*section);
  const PrivacyFilter& privacy = files.privacy();
  EXPECT_EQ(cgroups_in(series), 7U);
  EXPECT_EQ(at(series, name("info", privacy.path(mount),
                            "unit=\"" + privacy.user("home-alice.mount") +
                                R"(",container="",runtime="",pod="")")),
            1);
  EXPECT_EQ(at(series, name("info", privacy.path(service),
                            R"(unit="nginx.service",container="",runtime="",pod="")")),
            1);
  for (const auto& [key, ignored] : series) {
    EXPECT_EQ(key.find("alice"), std::string::npos) << key;
    EXPECT_EQ(key.find("session-1"), std::string::npos) << key;
  }
  EXPECT_EQ(left_out(series, "privacy"), 0);
  EXPECT_EQ(left_out(series, "label"), 0);
  EXPECT_FALSE(has_duplicates(series));
}

// The files of one v1 cgroup, "{}" standing for the controller's directory.
void write_v1(const FixtureTree& tree, const std::string& base, const std::string& path,
              const std::string& cpu = "cpu,cpuacct") {
  const std::string memory = base + "/memory" + path + "/";
  tree.write(memory + "memory.usage_in_bytes", "1789505536\n");
  tree.write(memory + "memory.stat",
             "cache 1\nrss 2\nhierarchical_memory_limit 9223372036854771712\n"
             "total_cache 1026777088\ntotal_rss 682627072\ntotal_shmem 4096\n"
             "total_mapped_file 44109824\ntotal_dirty 30818304\ntotal_writeback 8192\n"
             "total_swap 12288\ntotal_workingset_refault_file 9\ntotal_pgmajfault 1136\n");
  tree.write(memory + "memory.limit_in_bytes", "9223372036854771712\n");
  tree.write(memory + "memory.memsw.limit_in_bytes", "4294967296\n");
  tree.write(memory + "memory.failcnt", "17\n");
  tree.write(memory + "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  tree.write(memory + "memory.kmem.usage_in_bytes", "53248\n");
  tree.write(base + "/" + cpu + path + "/cpu.stat",
             "nr_periods 10\nnr_throttled 4\nthrottled_time 1500000000\n");
  tree.write(base + "/" + cpu + path + "/cpu.cfs_quota_us", "50000\n");
  tree.write(base + "/" + cpu + path + "/cpu.cfs_period_us", "100000\n");
  tree.write(base + "/" + cpu + path + "/cpuacct.usage", "1049678409662\n");
  tree.write(base + "/" + cpu + path + "/cpuacct.stat", "user 91749\nsystem 13217\n");
  const std::string blkio = base + "/blkio" + path + "/blkio.throttle.";
  tree.write(blkio + "io_service_bytes",
             "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 0\n8:0 Async 0\n8:0 Discard 512\n"
             "8:0 Total 12288\nTotal 12288\n");
  tree.write(blkio + "io_serviced", "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n");
  tree.write(base + "/pids" + path + "/pids.current", "5\n");
  tree.write(base + "/pids" + path + "/pids.max", "max\n");
}

void expect_v1(const Series& series, const std::string& path) {
  const std::vector<std::pair<std::string, double>> expected = {
      {name("memory_usage_bytes", path), 1789505536},
      {name("memory_anon_bytes", path), 682627072},
      {name("memory_file_bytes", path), 1026777088},
      {name("memory_shmem_bytes", path), 4096},
      {name("memory_mapped_bytes", path), 44109824},
      {name("memory_dirty_bytes", path), 30818304},
      {name("memory_writeback_bytes", path), 8192},
      {name("memory_swap_bytes", path), 12288},
      {name("memory_kernel_bytes", path), 53248},
      {name("memory_and_swap_limit_bytes", path), 4294967296},
      {name("memory_events_total", path, "event=\"max\""), 17},
      {name("memory_events_total", path, "event=\"oom_kill\""), 3},
      {name("memory_major_faults_total", path), 1136},
      {name("cpu_usage_seconds_total", path), 1049.678409662},
      {name("cpu_user_seconds_total", path), 917.49},
      {name("cpu_system_seconds_total", path), 132.17},
      {name("cpu_periods_total", path), 10},
      {name("cpu_throttled_periods_total", path), 4},
      {name("cpu_throttled_seconds_total", path), 1.5},
      {name("cpu_quota_cpus", path), 0.5},
      {name("io_read_bytes_total", path, "device=\"8:0\""), 4096},
      {name("io_written_bytes_total", path, "device=\"8:0\""), 8192},
      {name("io_discarded_bytes_total", path, "device=\"8:0\""), 512},
      {name("io_reads_total", path, "device=\"8:0\""), 1},
      {name("io_writes_total", path, "device=\"8:0\""), 2},
      {name("pids", path), 5},
      {"tidegauge_cgroup_read_errors_total", 0},
  };
  for (const auto& [key, value] : expected) {
    EXPECT_DOUBLE_EQ(at(series, key), value) << key;
  }
  for (const auto* absent : {"memory_limit_bytes", "memory_high_bytes", "pids_limit",
                             "memory_slab_reclaimable_bytes", "memory_swap_limit_bytes"}) {
    EXPECT_FALSE(series.contains(name(absent, path))) << absent;
  }
}

// Linux 4.19 with docker and Kubernetes, found through sysfs.
TEST(CgroupV1, KubernetesHost) {
  const FixtureTree tree;
  const std::string pod = "/kubepods/burstable/pod" + kUid;
  write_v1(tree, "sys/fs/cgroup", pod + "/" + kId);
  tree.write("sys/fs/cgroup/memory" + pod + "/memory.usage_in_bytes", "77\n");
  tree.link("sys/fs/cgroup/cpu", "cpu,cpuacct");
  tree.link("sys/fs/cgroup/cpuacct", "cpu,cpuacct");
  tree.write("sys/fs/cgroup/freezer/elsewhere/freezer.state", "THAWED\n");
  const Series series = series_of(tree);
  expect_v1(series, pod + "/" + kId);
  EXPECT_EQ(at(series, name("memory_usage_bytes", pod)), 77);
  EXPECT_FALSE(series.contains(name("pids", pod))) << "no such controller there";
  EXPECT_EQ(
      at(series, name("info", pod + "/" + kId,
                      "unit=\"\",container=\"" + kId + "\",runtime=\"\",pod=\"" + kUid + "\"")),
      1);
  EXPECT_EQ(cgroups_in(series), 2U);
}

TEST(CgroupV1, RecursiveBlkioIsPreferred) {
  const FixtureTree tree;
  write_v1(tree, "sys/fs/cgroup", "/a");
  tree.write("sys/fs/cgroup/blkio/a/blkio.throttle.io_service_bytes_recursive",
             "8:0 Read 99\n8:0 Total 99\nTotal 99\n");
  tree.write("sys/fs/cgroup/blkio/a/blkio.throttle.io_serviced_recursive", "Total 0\n");
  const Series series = series_of(tree);
  EXPECT_EQ(at(series, name("io_read_bytes_total", "/a", "device=\"8:0\"")), 99);
  EXPECT_FALSE(series.contains(name("io_reads_total", "/a", "device=\"8:0\"")));
}

TEST(CgroupV1, UnlimitedIsAbsentOnEveryKernel) {
  for (const std::string_view unlimited : {"9223372036854771712", "9223372036854710272",
                                           "9223372036854775807", "18446744073709551615"}) {
    const FixtureTree tree;
    write_v1(tree, "sys/fs/cgroup", "/a");
    tree.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", std::string(unlimited) + "\n");
    EXPECT_FALSE(series_of(tree).contains(name("memory_limit_bytes", "/a"))) << unlimited;
  }
  const FixtureTree tree;
  write_v1(tree, "sys/fs/cgroup", "/a");
  tree.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824\n");
  tree.write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
  const Series series = series_of(tree);
  EXPECT_EQ(at(series, name("memory_limit_bytes", "/a")), 1073741824);
  EXPECT_FALSE(series.contains(name("cpu_quota_cpus", "/a")));
}

TEST(CgroupV1, AMalformedFileCostsItsOwnSeriesOnly) {
  const std::vector<Broken> cases = {
      {"memory/a/memory.usage_in_bytes", "x\n", "memory_usage_bytes"},
      {"memory/a/memory.stat", "total_rss 1\ntotal_cache -\n", "memory_anon_bytes"},
      {"memory/a/memory.stat", "cache 1\n", "memory_anon_bytes"},
      {"memory/a/memory.oom_control", "oom_kill x\n", "memory_events_total"},
      {"memory/a/memory.oom_control", "oom_kill 5\n", "memory_events_total"},
      {"cpu,cpuacct/a/cpu.stat", "", "cpu_periods_total"},
      {"cpu,cpuacct/a/cpu.cfs_quota_us", "-2\n", "cpu_quota_cpus"},
      {"cpu,cpuacct/a/cpu.cfs_period_us", "0\n", "cpu_quota_cpus"},
      {"cpu,cpuacct/a/cpuacct.usage", "1.5\n", "cpu_usage_seconds_total"},
      {"cpu,cpuacct/a/cpuacct.stat", "user 18446744073709551615\n", "cpu_user_seconds_total"},
      {"blkio/a/blkio.throttle.io_service_bytes", "8:0 Read 1\n", "io_read_bytes_total"},
      {"blkio/a/blkio.throttle.io_service_bytes", "8:0 Read x\nTotal 1\n", "io_read_bytes_total"},
      {"blkio/a/blkio.throttle.io_service_bytes", "Total\n", "io_read_bytes_total"},
      {"blkio/a/blkio.throttle.io_service_bytes", "", "io_read_bytes_total"},
  };
  for (const Broken& broken : cases) {
    const FixtureTree tree;
    write_v1(tree, "sys/fs/cgroup", "/a");
    tree.write("sys/fs/cgroup/" + std::string(broken.file), broken.content);
    const Series series = series_of(tree);
    const std::string_view more = broken.lost == "memory_events_total"   ? "event=\"oom_kill\""
                                  : broken.lost == "io_read_bytes_total" ? "device=\"8:0\""
                                                                         : "";
    EXPECT_FALSE(series.contains(name(broken.lost, "/a", more))) << broken.file << broken.content;
    EXPECT_EQ(at(series, "tidegauge_cgroup_read_errors_total"), 1) << broken.file << broken.content;
    EXPECT_EQ(at(series, name("pids", "/a")), 5);
    EXPECT_EQ(at(series, name("io_writes_total", "/a", "device=\"8:0\"")), 2);
  }
}

TEST(CgroupV1, AQuotaWithoutItsPeriodIsAbsent) {
  const FixtureTree tree;
  write_v1(tree, "sys/fs/cgroup", "/a");
  tree.remove("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us");
  EXPECT_FALSE(series_of(tree).contains(name("cpu_quota_cpus", "/a")));
}

// Controllers on v1, the tree of systemd on v2, found through init's mounts below another root.
TEST(CgroupHybrid, BothHierarchiesAreOneCgroup) {
  const FixtureTree tree;
  const std::string unit = "/system.slice/a.service";
  write_v1(tree, "root/sys/fs/cgroup", unit);
  const std::string unified = "root/sys/fs/cgroup/unified" + unit;
  tree.write(unified + "/cpu.stat", "usage_usec 1\nuser_usec 1\nsystem_usec 0\n");
  tree.write(unified + "/memory.pressure", pressure(5'000'000, 0));
  tree.write("root/sys/fs/cgroup/unified/system.slice/b.service/cpu.stat",
             "usage_usec 7000000\nuser_usec 7000000\nsystem_usec 0\n");
  tree.write("proc/1/mountinfo",
             "24 1 254:1 / / rw - xfs /dev/vda1 rw\n"
             "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
             "42 31 0:39 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
             "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
             "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
             "37 31 0:34 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n"
             "38 31 0:35 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
             "39 31 0:38 / /run/agent/cgroupv2 rw,relatime - cgroup2 cgroup2 rw\n");
  const Series series = series_of(tree);
  expect_v1(series, unit);
  EXPECT_EQ(at(series, name("pressure_waiting_seconds_total", unit, "resource=\"memory\"")), 5);
  EXPECT_EQ(at(series, name("cpu_usage_seconds_total", "/system.slice/b.service")), 7);
  EXPECT_EQ(cgroups_in(series), 2U);
}

TEST(CgroupMounts, GarbledMountsFallBackToSysfs) {
  for (const std::string_view mounts : {"", "garbage\n", "1 2 3\n"}) {
    const FixtureTree tree;
    write_v2_root(tree);
    tree.write("proc/1/mountinfo", mounts);
    EXPECT_EQ(cgroups_in(series_of(tree)), 1U);
  }
}

TEST(CgroupMounts, NoneIsMissing) {
  const FixtureTree tree;
  const auto section = testing::run_once(kCgroupCollector, tree.files());
  ASSERT_FALSE(section);
  EXPECT_EQ(section.error().kind, ErrorKind::kMissing);
}

TEST(CgroupMounts, UnmountedAndMountedAgain) {
  const FixtureTree tree;
  write_v2_root(tree);
  const auto collector = testing::make(kCgroupCollector, tree.files());
  ASSERT_TRUE(collector);
  ASSERT_TRUE(testing::run(**collector));
  tree.remove("sys/fs/cgroup");
  const auto gone = testing::run(**collector);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().kind, ErrorKind::kMissing);
  tree.write("sys/fs/cgroup/pids/a/pids.current", "3\n");
  const auto back = testing::run(**collector);
  ASSERT_TRUE(back) << testing::error_text(back);
  EXPECT_EQ(at(testing::flatten(*back), name("pids", "/a")), 3);
}

TEST(CgroupMetrics, EveryFamilyIsDocumented) {
  const FixtureTree tree;
  write_v2_root(tree);
  write_v2_unit(tree, "/a");
  const auto section = testing::run_once(kCgroupCollector, tree.files());
  ASSERT_TRUE(section);
  const auto docs = kCgroupCollector.metrics();
  for (const Table& table : section->tables) {
    for (const ColumnInfo& column : table.shape->columns) {
      EXPECT_TRUE(std::any_of(docs.begin(), docs.end(), [&](const MetricDoc& doc) {
        return doc.name == column.family && doc.kind == column.kind;
      })) << column.family;
    }
  }
}

TEST(CgroupMetrics, RunsLessOftenWhenTheDaemonUsesTooMuch) {
  EXPECT_TRUE(kCgroupCollector.stretch);
}

TEST(CgroupMetrics, ShapesAreSharedBetweenRuns) {
  const FixtureTree tree;
  write_v2_root(tree);
  write_v2_unit(tree, "/a");
  const auto collector = testing::make(kCgroupCollector, tree.files());
  ASSERT_TRUE(collector);
  const auto first = testing::run(**collector);
  const auto second = testing::run(**collector);
  ASSERT_TRUE(first && second);
  for (std::size_t i = 0; i < first->tables.size(); ++i) {
    EXPECT_EQ(first->tables[i].shape, second->tables[i].shape);
  }
}

TEST(Cgroup, ThisMachine) {
  const auto section = testing::run_once(kCgroupCollector, KernelFiles());
  if (!section && section.error().kind == ErrorKind::kMissing) {
    GTEST_SKIP() << "no cgroups here: " << testing::error_text(section);
  }
  ASSERT_TRUE(section) << testing::error_text(section);
  const Series series = testing::flatten(*section);
  EXPECT_GE(cgroups_in(series), 1U);
  EXPECT_EQ(at(series, "tidegauge_cgroup_read_errors_total"), 0);
}

}  // namespace
}  // namespace tidegauge
