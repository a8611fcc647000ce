// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/meminfo_numa.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

TEST(ParseNodeMeminfo, StripsTheNode) {
  std::vector<MeminfoField> fields;
  ASSERT_TRUE(parse_node_meminfo(
      "\nNode 1 MemTotal:       134217728 kB\nNode 1 HugePages_Total:     3\n", fields));
  ASSERT_EQ(fields.size(), 2U);
  EXPECT_EQ(fields[0].name, "MemTotal");
  EXPECT_EQ(fields[0].value, 134217728U);
  EXPECT_FALSE(fields[1].kibibytes);
}

TEST(ParseNodeMeminfo, RejectsOtherText) {
  std::vector<MeminfoField> fields;
  for (const char* text : {"", "\n", "MemTotal: 1 kB\n", "Node x MemTotal: 1 kB\n", "Node 0\n",
                           "Node 0 MemTotal:", "Node 0 MemTotal: 99999999999999999999 kB\n",
                           "Node 0 MemTotal: 1 kB extra\n", "Node 0 MemTotal: 1"}) {
    EXPECT_NE(testing::error_text(parse_node_meminfo(text, fields)).find("malformed: meminfo"),
              std::string::npos)
        << text;
  }
}

TEST(ParseNodeNumastat, NamesAndNumbers) {
  std::vector<NumastatField> fields;
  ASSERT_TRUE(parse_node_numastat("numa_hit 18446744073709551615\nnew_event 3", fields));
  ASSERT_EQ(fields.size(), 2U);
  EXPECT_EQ(fields[0].name, "numa_hit");
  EXPECT_EQ(fields[0].allocations, ~std::uint64_t{0});
  for (const char* text : {"", "numa_hit\n", "numa_hit x\n", "numa_hit 1 2\n", "\n"}) {
    EXPECT_NE(testing::error_text(parse_node_numastat(text, fields)).find("malformed: numastat"),
              std::string::npos)
        << text;
  }
}

TEST(MeminfoNumaCollector, OneRowPerNode) {
  testing::FixtureTree tree("linux-6.12");
  tree.write("sys/devices/system/node/node10/meminfo",
             "Node 10 MemTotal: 64 kB\nNode 10 OnlyHere: 4 kB\n");
  tree.write("sys/devices/system/node/node10/numastat", "numa_hit 5\n");
  tree.write("sys/devices/system/node/possible", "0-10\n");
  const auto section = testing::run_once(kMeminfoNumaCollector, tree.files());
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = testing::flatten(*section);
  EXPECT_EQ(series.at("node_memory_numa_MemTotal{node=\"0\"}"), 4063904.0 * 1024);
  EXPECT_EQ(series.at("node_memory_numa_Active_anon{node=\"0\"}"), 753216.0 * 1024);
  EXPECT_EQ(series.at("node_memory_numa_HugePages_Free{node=\"0\"}"), 6);
  EXPECT_EQ(series.at("node_memory_numa_interleave_hit_total{node=\"0\"}"), 22110);
  EXPECT_EQ(series.at("node_memory_numa_MemTotal{node=\"10\"}"), 65536);
  EXPECT_EQ(series.at("node_memory_numa_numa_hit_total{node=\"10\"}"), 5);
  EXPECT_FALSE(series.contains("node_memory_numa_OnlyHere{node=\"0\"}"));
}

TEST(MeminfoNumaCollector, EveryFixtureKernel) {
  for (const char* name : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    const auto section = testing::run_once(kMeminfoNumaCollector, testing::fixture(name));
    ASSERT_TRUE(section) << name << ": " << testing::error_text(section);
    EXPECT_TRUE(testing::flatten(*section).contains("node_memory_numa_FilePages{node=\"0\"}"));
  }
}

TEST(MeminfoNumaCollector, NodesComeAndGo) {
  testing::FixtureTree tree("linux-6.12");
  auto collector = testing::make(kMeminfoNumaCollector, tree.files());
  ASSERT_TRUE(collector);
  ASSERT_TRUE(testing::run(**collector));
  tree.write("sys/devices/system/node/node1/meminfo", "Node 1 MemTotal: 64 kB\n");
  EXPECT_FALSE(testing::run(**collector)) << "a node that is there has both files";
  tree.write("sys/devices/system/node/node1/numastat", "numa_hit 5\n");
  auto section = testing::run(**collector);
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_TRUE(testing::flatten(*section).contains("node_memory_numa_MemTotal{node=\"1\"}"));
  tree.remove("sys/devices/system/node/node1");
  section = testing::run(**collector);
  ASSERT_TRUE(section);
  EXPECT_FALSE(testing::flatten(*section).contains("node_memory_numa_MemTotal{node=\"1\"}"));
}

TEST(MeminfoNumaCollector, NoNodesIsNoError) {
  const auto section = testing::run_once(kMeminfoNumaCollector, testing::FixtureTree().files());
  ASSERT_TRUE(section);
  EXPECT_TRUE(testing::flatten(*section).empty());
}

TEST(MeminfoNumaCollector, MalformedNodeIsAnError) {
  testing::FixtureTree tree;
  tree.write("sys/devices/system/node/node0/meminfo", "");
  EXPECT_NE(
      testing::error_text(testing::run_once(kMeminfoNumaCollector, tree.files())).find("malformed"),
      std::string::npos);
}

TEST(MeminfoNumaCollector, ThisMachine) {
  if (!std::filesystem::exists("/sys/devices/system/node/node0/meminfo")) {
    GTEST_SKIP() << "this kernel has no NUMA nodes in sysfs";
  }
  const auto section = testing::run_once(kMeminfoNumaCollector, KernelFiles());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_TRUE(testing::flatten(*section).contains("node_memory_numa_MemTotal{node=\"0\"}"));
}

}  // namespace
}  // namespace tidegauge
