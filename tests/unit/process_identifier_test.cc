// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_identifier.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

GroupRules rules(std::vector<GroupRuleSpec> specs) {
  auto compiled = GroupRules::compile(std::move(specs));
  EXPECT_TRUE(compiled) << testing::error_text(compiled);
  return std::move(*compiled);
}

ProcessSample sample(std::uint32_t pid, std::uint64_t cgroup_key = 0) {
  ProcessSample out;
  out.key.pid = pid;
  out.comm.assign("java");
  out.uid = 33;
  out.cgroup_key = cgroup_key;
  return out;
}

TEST(ProcessIdentifier, ByUserExecutableAndCommandLine) {
  const testing::FixtureTree tree;
  tree.write("root/etc/passwd", "www:x:33:33:::\n");
  tree.write("proc/10/cmdline", std::string_view("java\0-Dapp=shop\0", 16));
  tree.link("proc/10/exe", "/opt/bin/java (deleted)");
  ProcessIdentifier identifier(
      tree.files(),
      rules({{.name = "{user}:{exe}:{app}", .command_line_regex = "-Dapp=(?P<app>\\w+) "}}));
  ReadBuffer buffer;
  identifier.begin_pass(buffer);
  EXPECT_EQ(identifier.classify(sample(10)).group.name, "www:java:shop");
  EXPECT_EQ(identifier.classify(sample(11)).group.name, "java") << "has left: by what is left";
  ProcessSample kernel = sample(10);
  kernel.kernel_thread = true;
  EXPECT_EQ(identifier.classify(kernel).group.name, "[java]") << "has neither, and is not asked";
}

TEST(ProcessIdentifier, OneOwnerPerCgroup) {
  const testing::FixtureTree tree;
  tree.write("proc/10/cgroup", "0::/system.slice/shop.service\n");
  tree.write("proc/11/cgroup", "0::/system.slice/shop.service\n");
  ProcessIdentifier identifier(tree.files(), rules({}));
  ReadBuffer buffer;
  identifier.begin_pass(buffer);
  const Classified first = identifier.classify(sample(10));
  EXPECT_EQ(first.group.name, "shop.service");
  EXPECT_EQ(first.owner, identifier.classify(sample(11)).owner);
  EXPECT_EQ(identifier.classify(sample(12)).owner, nullptr);
}

// A key stands for its cgroup also when nobody of it can be asked any more.
TEST(ProcessIdentifier, KeysOutliveProcesses) {
  const testing::FixtureTree tree;
  tree.write("proc/10/cgroup", "0::/system.slice/shop.service\n");
  ProcessIdentifier identifier(tree.files(), rules({}));
  ReadBuffer buffer;
  identifier.begin_pass(buffer);
  const Classified kept = identifier.classify(sample(10, 77));
  tree.remove("proc/10");
  ExitedSample exited;
  exited.comm.assign("sh");
  exited.cgroup_key = 77;
  for (int pass = 0; pass < 300; ++pass) {
    identifier.begin_pass(buffer);
  }
  EXPECT_EQ(identifier.classify(sample(11, 77)).group.name, "shop.service");
  EXPECT_EQ(identifier.classify_exited(exited).name, "shop.service");
  exited.cgroup_key = 78;
  EXPECT_EQ(identifier.classify_exited(exited).name, "sh");
}

TEST(ProcessIdentifier, ForgetsCgroupsWithoutProcesses) {
  const testing::FixtureTree tree;
  tree.write("proc/10/cgroup", "0::/system.slice/shop.service\n");
  ProcessIdentifier identifier(tree.files(), rules({}));
  ReadBuffer buffer;
  identifier.begin_pass(buffer);
  identifier.classify(sample(10, 77));
  for (int pass = 0; pass < 300; ++pass) {
    identifier.begin_pass(buffer);
  }
  ExitedSample exited;
  exited.comm.assign("sh");
  exited.cgroup_key = 77;
  EXPECT_EQ(identifier.classify_exited(exited).name, "sh");
}

// One that came and went within a pass is of a kind like one that stayed.
TEST(ProcessIdentifier, KernelThreadsThatCameAndWent) {
  const testing::FixtureTree tree;
  const ProcessIdentifier identifier(tree.files(), rules({}));
  ExitedSample exited;
  exited.comm.assign("kworker/u8:3");
  EXPECT_EQ(identifier.classify_exited(exited).name, "comm:kworker/u8:3")
      << "a process that calls itself so";
  exited.kernel_thread = true;
  EXPECT_EQ(identifier.classify_exited(exited).name, "[kworker]");
}

}  // namespace
}  // namespace tidegauge
