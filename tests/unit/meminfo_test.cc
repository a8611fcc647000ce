// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/meminfo.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

std::string parse_error(std::string_view text) {
  std::vector<MeminfoField> fields;
  return testing::error_text(parse_meminfo(text, fields));
}

TEST(ParseMeminfo, TakesEveryLineWithOrWithoutUnit) {
  std::vector<MeminfoField> fields;
  ASSERT_TRUE(
      parse_meminfo("MemTotal:        8010212 kB\nActive(anon):     402196 kB\n"
                    "HugePages_Total:       7\nSomethingNew: 18446744073709551615 kB\n",
                    fields));
  ASSERT_EQ(fields.size(), 4U);
  EXPECT_EQ(fields[0].name, "MemTotal");
  EXPECT_EQ(fields[0].value, 8010212U);
  EXPECT_TRUE(fields[0].kibibytes);
  EXPECT_EQ(fields[2].name, "HugePages_Total");
  EXPECT_EQ(fields[2].value, 7U);
  EXPECT_FALSE(fields[2].kibibytes);
  EXPECT_EQ(fields[3].value, ~std::uint64_t{0});
}

TEST(ParseMeminfo, MissingFinalNewlineIsFineUnlessTheUnitIsCutOff) {
  EXPECT_EQ(parse_error("MemTotal: 1 kB\nHugePages_Total: 7"), "");
  EXPECT_EQ(parse_error("MemTotal: 1 kB\nMemFree: 7 kB"), "");
  EXPECT_NE(parse_error("MemTotal: 1 kB\nMemFree: 7").find("meminfo line 2"), std::string::npos);
}

TEST(ParseMeminfo, RejectsWhatTheKernelDoesNotPrint) {
  for (const char* text :
       {"", "\n", "MemTotal", "MemTotal:", "MemTotal: x kB\n", "MemTotal: -1 kB\n",
        "MemTotal: 18446744073709551616 kB\n", "MemTotal: 1 MB\n", "MemTotal: 1 kB more\n",
        ": 1 kB\n", "Mem Total: 1 kB\n", "MemTotal: 1 kB\n\nMemFree: 1 kB\n", "\xff\x00garbage"}) {
    EXPECT_NE(parse_error(text).find("malformed: meminfo"), std::string::npos) << text;
  }
  EXPECT_EQ(parse_error("A: 1 kB\nB: y kB\n"),
            "malformed: meminfo line 2: expected \"Name: number\", with or without kB");
}

TEST(MeminfoMetricName, ReplacesParentheses) {
  EXPECT_EQ(meminfo_metric_name("Active(anon)"), "Active_anon");
  EXPECT_EQ(meminfo_metric_name("HugePages_Free:"), "HugePages_Free");
  EXPECT_EQ(meminfo_metric_name("Odd-name)("), "Odd_name__");
}

TEST(MeminfoCollector, NamesFieldsAsNodeExporterDoes) {
  const auto section = testing::run_once(kMeminfoCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = testing::flatten(*section);
  EXPECT_EQ(series.at("node_memory_MemTotal_bytes"), 4063904.0 * 1024);
  EXPECT_EQ(series.at("node_memory_Active_anon_bytes"), 753216.0 * 1024);
  EXPECT_EQ(series.at("node_memory_HugePages_Total"), 8);
  EXPECT_EQ(series.at("node_memory_HugePages_Free"), 6);
  EXPECT_EQ(series.at("node_memory_Hugepagesize_bytes"), 2048.0 * 1024);
  EXPECT_EQ(series.at("node_memory_VmallocTotal_bytes"), 34359738367.0 * 1024);
  EXPECT_TRUE(series.contains("node_memory_KReclaimable_bytes"));
  EXPECT_FALSE(series.contains("node_memory_HugePages_Total_bytes"));
}

TEST(MeminfoCollector, WhatAKernelLacksIsAbsent) {
  const auto section = testing::run_once(kMeminfoCollector, testing::fixture("linux-3.10"));
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = testing::flatten(*section);
  EXPECT_EQ(series.at("node_memory_VmallocChunk_bytes"), 34359700480.0 * 1024);
  EXPECT_FALSE(series.contains("node_memory_MemAvailable_bytes"));
  for (const char* name : {"linux-4.19", "linux-5.10"}) {
    EXPECT_TRUE(testing::run_once(kMeminfoCollector, testing::fixture(name))) << name;
  }
}

TEST(MeminfoCollector, AnUnderflowWrapsAsInNodeExporter) {
  testing::FixtureTree tree;
  tree.write("proc/meminfo", "Committed_AS:   18446744073709551608 kB\n");
  const auto section = testing::run_once(kMeminfoCollector, tree.files());
  ASSERT_TRUE(section);
  EXPECT_EQ(testing::flatten(*section).at("node_memory_Committed_AS_bytes"),
            18446744073709543424.0);
}

TEST(MeminfoCollector, SharesItsShapeUntilTheFieldsChange) {
  testing::FixtureTree tree;
  tree.write("proc/meminfo", "MemTotal: 4 kB\nHugePages_Total: 1\n");
  auto collector = testing::make(kMeminfoCollector, tree.files());
  ASSERT_TRUE(collector);
  const auto first = testing::run(**collector);
  const auto second = testing::run(**collector);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->tables[0].shape, second->tables[0].shape);
  tree.write("proc/meminfo", "MemTotal: 4 kB\nMemFree: 2 kB\nHugePages_Total: 1\n");
  const auto third = testing::run(**collector);
  ASSERT_TRUE(third);
  EXPECT_EQ(testing::flatten(*third).at("node_memory_MemFree_bytes"), 2048);
}

TEST(MeminfoCollector, MissingFileIsAnError) {
  const auto section = testing::run_once(kMeminfoCollector, testing::FixtureTree().files());
  ASSERT_FALSE(section);
  EXPECT_EQ(section.error().kind, ErrorKind::kMissing);
}

TEST(MeminfoCollector, ThisMachine) {
  const auto section = testing::run_once(kMeminfoCollector, KernelFiles());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_GT(testing::flatten(*section).at("node_memory_MemTotal_bytes"), 0);
}

}  // namespace
}  // namespace tidegauge
