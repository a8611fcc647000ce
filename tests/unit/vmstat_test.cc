// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/vmstat.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

std::map<std::string, double> series_of(std::string_view fixture,
                                        const std::vector<std::string>& options = {}) {
  const auto section = testing::run_once(kVmstatCollector, testing::fixture(fixture), options);
  EXPECT_TRUE(section) << testing::error_text(section);
  return section ? testing::flatten(*section) : std::map<std::string, double>{};
}

TEST(ParseVmstat, NamesAndNumbers) {
  std::vector<VmstatField> fields;
  ASSERT_TRUE(parse_vmstat("pgfault 18446744073709551615\nnr_odd -5\nlast 0", fields));
  ASSERT_EQ(fields.size(), 3U);
  EXPECT_EQ(fields[0].name, "pgfault");
  EXPECT_EQ(fields[0].bits, ~std::uint64_t{0});
  EXPECT_TRUE(fields[1].is_negative);
  EXPECT_EQ(static_cast<std::int64_t>(fields[1].bits), -5);
}

TEST(ParseVmstat, RejectsOtherText) {
  std::vector<VmstatField> fields;
  for (const char* text : {"", "\n", "pgfault\n", "pgfault ", "pgfault x\n", "a 1\n\nb 2\n",
                           "pgfault 18446744073709551616\n", "pgfault 1.5\n"}) {
    EXPECT_NE(testing::error_text(parse_vmstat(text, fields)).find("malformed: vmstat"),
              std::string::npos)
        << text;
  }
  EXPECT_EQ(testing::error_text(parse_vmstat("a 1\nb\n", fields)),
            "malformed: vmstat line 2: expected a name and a number");
}

TEST(VmstatCollector, DefaultHasNodeExportersFieldsAndReclaim) {
  const auto series = series_of("linux-6.12");
  EXPECT_EQ(series.at("node_vmstat_pgpgin"), 40123456);
  EXPECT_EQ(series.at("node_vmstat_pgmajfault"), 40213);
  EXPECT_EQ(series.at("node_vmstat_oom_kill"), 2);
  EXPECT_EQ(series.at("node_vmstat_pgscan_kswapd"), 342579);
  EXPECT_EQ(series.at("node_vmstat_pgsteal_direct"), 1157);
  EXPECT_EQ(series.at("node_vmstat_allocstall_normal"), 21);
  EXPECT_EQ(series.at("node_vmstat_workingset_refault_file"), 40213);
  EXPECT_EQ(series.at("node_vmstat_kswapd_low_wmark_hit_quickly"), 812);
  for (const char* name : {"compact_stall", "pageoutrun", "drop_slab", "thp_swpout",
                           "balloon_inflate", "swap_ra_hit", "swpin_zero", "pswpout"}) {
    EXPECT_TRUE(series.contains(std::string("node_vmstat_") + name)) << name;
  }
  EXPECT_FALSE(series.contains("node_vmstat_nr_free_pages"));
  EXPECT_FALSE(series.contains("node_vmstat_pgalloc_normal"));
}

TEST(VmstatCollector, KernelGenerationsKeepTheirOwnNames) {
  const auto old = series_of("linux-3.10");
  EXPECT_EQ(old.at("node_vmstat_pgscan_kswapd_normal"), 101234);
  EXPECT_EQ(old.at("node_vmstat_allocstall"), 24);
  EXPECT_FALSE(old.contains("node_vmstat_pgscan_kswapd"));
  EXPECT_FALSE(old.contains("node_vmstat_oom_kill"));
  const auto v4 = series_of("linux-4.19");
  EXPECT_EQ(v4.at("node_vmstat_workingset_refault"), 40213);
  EXPECT_EQ(v4.at("node_vmstat_pgscan_kswapd"), 342579);
  EXPECT_EQ(series_of("linux-5.10").at("node_vmstat_pgscan_file"), 319780);
}

TEST(VmstatCollector, FieldsOptionReplacesTheDefault) {
  const auto series = series_of("linux-6.12", {"fields=^(oom_kill|pgpg|pswp|pg.*fault).*"});
  EXPECT_EQ(series.size(), 7U);
  EXPECT_EQ(series_of("linux-6.12", {"fields=^nr_free_pages$"}).size(), 1U);
  EXPECT_TRUE(series_of("linux-6.12", {"fields="}).contains("node_vmstat_pgalloc_normal"));
  EXPECT_FALSE(testing::make(kVmstatCollector, testing::fixture("linux-6.12"), {"fields=("}));
}

TEST(VmstatCollector, EverythingIsUntyped) {
  const auto section = testing::run_once(kVmstatCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section);
  for (const ColumnInfo& column : section->tables[0].shape->columns) {
    EXPECT_EQ(column.kind, MetricKind::kUntyped) << column.family;
  }
}

TEST(VmstatCollector, ValuesMayTurnNegativeAndBack) {
  testing::FixtureTree tree;
  auto collector = testing::make(kVmstatCollector, tree.files());
  ASSERT_TRUE(collector);
  for (const double value : {7.0, -3.0, 18446744073709551615.0}) {
    tree.write("proc/vmstat", value < 0    ? "pgfault -3\npgpgin 1\n"
                              : value == 7 ? "pgfault 7\npgpgin 1\n"
                                           : "pgfault 18446744073709551615\npgpgin 1\n");
    const auto section = testing::run(**collector);
    ASSERT_TRUE(section);
    EXPECT_EQ(testing::flatten(*section).at("node_vmstat_pgfault"), value);
    EXPECT_EQ(testing::flatten(*section).at("node_vmstat_pgpgin"), 1);
  }
}

TEST(VmstatCollector, ThisMachine) {
  const auto section = testing::run_once(kVmstatCollector, KernelFiles());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_GT(testing::flatten(*section).at("node_vmstat_pgfault"), 0);
}

}  // namespace
}  // namespace tidegauge
