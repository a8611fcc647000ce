// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/slabinfo.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::string_view kHeader =
    "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> ...\n";
constexpr std::string_view kTail = " : tunables    0    0    0 : slabdata     37     37      0\n";

std::string line(std::string_view front) { return std::string(front).append(kTail); }

TEST(ParseSlabinfo, OneLinePerCache) {
  const std::string text = std::string(kHeader) + line("kmalloc-8192  132  148  8192  4  8") +
                           line("very-long-name-of-a-cache 1 18446744073709551615 3 4 5");
  std::vector<Slab> slabs;
  ASSERT_TRUE(parse_slabinfo(text, slabs));
  ASSERT_EQ(slabs.size(), 2U);
  EXPECT_EQ(slabs[0].name, "kmalloc-8192");
  EXPECT_EQ(slabs[0].active_objects, 132U);
  EXPECT_EQ(slabs[0].objects, 148U);
  EXPECT_EQ(slabs[0].object_size_bytes, 8192U);
  EXPECT_EQ(slabs[0].objects_per_slab, 4U);
  EXPECT_EQ(slabs[0].pages_per_slab, 8U);
  EXPECT_EQ(slabs[1].objects, ~std::uint64_t{0});
}

TEST(ParseSlabinfo, StatisticsOfDebugKernelsAreAccepted) {
  std::vector<Slab> slabs;
  EXPECT_TRUE(
      parse_slabinfo("a 1 2 3 4 5 : tunables 0 0 0 : slabdata 1 1 0 : globalstat 1 2\n", slabs));
}

TEST(ParseSlabinfo, RejectsOtherText) {
  std::vector<Slab> slabs;
  for (const std::string& text :
       {std::string(), std::string(kHeader), std::string("\n"), std::string("a 1 2 3 4 5\n"),
        std::string("a 1 2 3"), line("a 1 2 3 4 x"), line("a 1 2 3 4 -5"), line("a 1 2 3 4"),
        line("a 1 2 3 4 99999999999999999999"), std::string("a 1 2 3 4 5 : tunables 0 0")}) {
    EXPECT_NE(testing::error_text(parse_slabinfo(text, slabs)).find("malformed: slabinfo"),
              std::string::npos)
        << text;
  }
}

TEST(SlabinfoCollector, EveryFixtureKernel) {
  for (const char* name : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
    const auto section = testing::run_once(kSlabinfoCollector, testing::fixture(name));
    ASSERT_TRUE(section) << name << ": " << testing::error_text(section);
    const auto series = testing::flatten(*section);
    EXPECT_EQ(series.size(), 25U);
    EXPECT_EQ(series.at("node_slabinfo_active_objects{slab=\"dentry\"}"), 81012);
    EXPECT_EQ(series.at("node_slabinfo_object_size_bytes{slab=\"dentry\"}"), 192);
  }
}

TEST(SlabinfoCollector, Filters) {
  const auto files = testing::fixture("linux-6.12");
  const auto run = [&](const std::vector<std::string>& options) {
    const auto section = testing::run_once(kSlabinfoCollector, files, options);
    return section ? testing::flatten(*section).size() : 0;
  };
  EXPECT_EQ(run({"slabs_include=^kmalloc"}), 10U);
  EXPECT_EQ(run({"slabs_exclude=^kmalloc"}), 15U);
  EXPECT_EQ(run({"slabs_include=^kmalloc", "slabs_exclude=192"}), 5U);
  EXPECT_EQ(run({"slabs_include="}), 25U);
}

TEST(SlabinfoCollector, CachesComeAndGoAndMayShareAName) {
  testing::FixtureTree tree;
  tree.write("proc/slabinfo",
             line("a 1 2 3 4 5") + line("bio-0 7 8 9 1 1") + line("bio-0 6 6 6 6 6"));
  auto collector = testing::make(kSlabinfoCollector, tree.files());
  ASSERT_TRUE(collector);
  auto section = testing::run(**collector);
  ASSERT_TRUE(section);
  auto series = testing::flatten(*section);
  EXPECT_EQ(series.size(), 10U);
  EXPECT_EQ(series.at("node_slabinfo_active_objects{slab=\"bio-0\"}"), 7);
  tree.write("proc/slabinfo", line("b 2 2 3 4 5"));
  section = testing::run(**collector);
  ASSERT_TRUE(section);
  series = testing::flatten(*section);
  EXPECT_EQ(series.size(), 5U);
  EXPECT_EQ(series.at("node_slabinfo_active_objects{slab=\"b\"}"), 2);
}

TEST(SlabinfoCollector, ThisMachine) {
  const auto section = testing::run_once(kSlabinfoCollector, KernelFiles());
  if (!section && section.error().kind != ErrorKind::kMalformed) {
    GTEST_SKIP() << section.error().message();  // mode 0400, or a kernel without it
  }
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_FALSE(testing::flatten(*section).empty());
}

}  // namespace
}  // namespace tidegauge
