// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/sysctl.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

std::optional<std::int64_t> number(std::string_view field) {
  const auto parsed = parse_sysctl_number(field);
  return parsed ? std::optional(static_cast<std::int64_t>(parsed->bits)) : std::nullopt;
}

TEST(ParseSysctlNumber, BasesAndSigns) {
  EXPECT_EQ(number("60"), 60);
  EXPECT_EQ(number("0"), 0);
  EXPECT_EQ(number("-1"), -1);
  EXPECT_EQ(number("+7"), 7);
  EXPECT_EQ(number("0x1F"), 31);
  EXPECT_EQ(number("0b101"), 5);
  EXPECT_EQ(number("0o17"), 15);
  EXPECT_EQ(number("017"), 15);
  EXPECT_EQ(number("00000000"), 0);
  EXPECT_EQ(number("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(number("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(parse_sysctl_number("18446744073692774399")->bits, 18446744073692774399U);
  for (const char* field : {"", "-", "+", "0x", "08", "1.5", "1x", "--1", "x", "0x-1",
                            "18446744073709551616", "-9223372036854775809"}) {
    EXPECT_FALSE(parse_sysctl_number(field)) << field;
  }
}

TEST(ParseSysctlNumbers, ReportsNameAndLine) {
  std::vector<SysctlNumber> numbers;
  ASSERT_TRUE(parse_sysctl_numbers("net.ipv4.tcp_rmem", "4096\t131072\t6291456\n", numbers));
  EXPECT_EQ(numbers.size(), 3U);
  EXPECT_EQ(testing::error_text(parse_sysctl_numbers("kernel.hostname", "db1\n", numbers)),
            "malformed: kernel.hostname line 1: expected numbers only");
  EXPECT_NE(testing::error_text(parse_sysctl_numbers("vm.swappiness", "\n", numbers)), "");
  std::vector<std::string_view> words;
  EXPECT_NE(testing::error_text(parse_sysctl_words("kernel.x", "", words)), "");
}

TEST(SysctlMetricName, AsNodeExporter) {
  EXPECT_EQ(sysctl_metric_name("vm.swappiness"), "vm_swappiness");
  EXPECT_EQ(sysctl_metric_name("kernel.threads-max"), "kernel_threads_max");
  EXPECT_EQ(sysctl_metric_name("a_.-_b"), "a_b");
  EXPECT_EQ(sysctl_metric_name("a._.b"), "a__b");
  EXPECT_EQ(sysctl_metric_name("a__b"), "a__b");
  EXPECT_EQ(sysctl_metric_name("_a_"), "_a_");
  EXPECT_EQ(sysctl_metric_name("a."), "a_");
  EXPECT_EQ(sysctl_metric_name("caf\xc3\xa9.x"), "caf_x");
}

TEST(SysctlCollector, DefaultsLeaveOutWhatTheKernelLacks) {
  const auto section = testing::run_once(kSysctlCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << testing::error_text(section);
  const auto series = testing::flatten(*section);
  EXPECT_EQ(series.size(), 18U);
  EXPECT_EQ(series.at("node_sysctl_vm_swappiness"), 60);
  EXPECT_EQ(series.at("node_sysctl_fs_file_max"), 9223372036854775807.0);
  EXPECT_EQ(section->tables[0].shape->columns[0].kind, MetricKind::kUntyped);
  const auto old = testing::run_once(kSysctlCollector, testing::fixture("linux-3.10"));
  ASSERT_TRUE(old) << testing::error_text(old);
  EXPECT_EQ(testing::flatten(*old).size(), 14U);
  EXPECT_FALSE(testing::flatten(*old).contains("node_sysctl_kernel_task_delayacct"));
  EXPECT_TRUE(testing::run_once(kSysctlCollector, testing::fixture("linux-4.19")));
  EXPECT_TRUE(testing::run_once(kSysctlCollector, testing::fixture("linux-5.10")));
}

TEST(SysctlCollector, SeveralNumbersAndInfo) {
  testing::FixtureTree tree;
  tree.write("proc/sys/fs/file-nr", "1024\t0\t1631329\n");
  tree.write("proc/sys/kernel/seccomp/actions_avail", "kill_process trap\n");
  tree.write("proc/sys/kernel/sched_rt_runtime_us", "-1\n");
  const auto section = testing::run_once(
      kSysctlCollector, tree.files(),
      {"include=fs.file-nr\nfs.file-nr:total,current,max\nfs.file-nr\nkernel.sched_rt_runtime_us",
       "include_info=kernel.seccomp.actions_avail\nkernel.seccomp.actions_avail\nkernel.none"});
  ASSERT_TRUE(section) << testing::error_text(section);
  const std::map<std::string, double> expected{
      {"node_sysctl_fs_file_nr{index=\"0\"}", 1024},
      {"node_sysctl_fs_file_nr{index=\"1\"}", 0},
      {"node_sysctl_fs_file_nr{index=\"2\"}", 1631329},
      {"node_sysctl_fs_file_nr_total", 1024},
      {"node_sysctl_fs_file_nr_current", 0},
      {"node_sysctl_fs_file_nr_max", 1631329},
      {"node_sysctl_kernel_sched_rt_runtime_us", -1},
      {"node_sysctl_info{name=\"kernel.seccomp.actions_avail\",value=\"kill_process\","
       "index=\"0\"}",
       1},
      {"node_sysctl_info{name=\"kernel.seccomp.actions_avail\",value=\"trap\",index=\"1\"}", 1}};
  EXPECT_EQ(testing::flatten(*section), expected);
}

TEST(SysctlCollector, FollowsANumberOfValuesAndASignThatChange) {
  testing::FixtureTree tree;
  auto collector = testing::make(kSysctlCollector, tree.files(), {"include=a.b", "include_info="});
  ASSERT_TRUE(collector);
  const auto run = [&](std::string_view content) {
    tree.write("proc/sys/a/b", content);
    const auto section = testing::run(**collector);
    return section ? testing::flatten(*section) : std::map<std::string, double>{};
  };
  EXPECT_EQ(run("5\n"), (std::map<std::string, double>{{"node_sysctl_a_b", 5}}));
  EXPECT_EQ(run("-5\n"), (std::map<std::string, double>{{"node_sysctl_a_b", -5}}));
  EXPECT_EQ(run("1 2\n"), (std::map<std::string, double>{{"node_sysctl_a_b{index=\"0\"}", 1},
                                                         {"node_sysctl_a_b{index=\"1\"}", 2}}));
  EXPECT_EQ(run("7\n"), (std::map<std::string, double>{{"node_sysctl_a_b", 7}}));
}

TEST(SysctlCollector, RefusesWhatCannotBe) {
  testing::FixtureTree tree;
  tree.write("proc/sys/a/b", "1 2\n");
  for (const char* option : {"include=:x", "include=a.b:x,", "include_info=a.b:x"}) {
    const auto made = testing::make(kSysctlCollector, tree.files(), {option});
    ASSERT_FALSE(made) << option;
    EXPECT_EQ(made.error().kind, ErrorKind::kInvalid);
  }
  const auto wrong_count = testing::run_once(kSysctlCollector, tree.files(), {"include=a.b:x"});
  ASSERT_FALSE(wrong_count);
  EXPECT_EQ(wrong_count.error().kind, ErrorKind::kInvalid);
  tree.write("proc/sys/a/b", "words\n");
  EXPECT_FALSE(testing::run_once(kSysctlCollector, tree.files(), {"include=a.b"}));
}

TEST(SysctlCollector, ThisMachine) {
  const auto section = testing::run_once(kSysctlCollector, KernelFiles());
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_TRUE(testing::flatten(*section).contains("node_sysctl_vm_swappiness"));
}

}  // namespace
}  // namespace tidegauge
