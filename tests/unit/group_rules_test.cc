// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/group_rules.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "collectors/core/text.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

const std::string kId = "0e1d2c3b4a59687766554433221100ffeeddccbbaa99887766554433221100ab";

GroupRules rules(std::vector<GroupRuleSpec> specs) {
  auto compiled = GroupRules::compile(std::move(specs));
  EXPECT_TRUE(compiled) << testing::error_text(compiled);
  return std::move(*compiled);
}

struct Member {
  std::string comm = "java";
  std::string executable = "/opt/jdk/bin/java";
  std::string command_line = "java -Xmx1g -Dapp=shop -jar a.jar ";
  std::string user = "www";
  std::string cgroup = "/system.slice/shop.service";
  CgroupIdentity owner{.unit = "shop.service", .slice = "system.slice"};
  bool kernel_thread = false;
};

std::string group_of(const GroupRules& rules, const Member& member) {
  ProcessIdentity identity;
  identity.comm = member.comm;
  identity.executable = member.executable;
  identity.command_line = member.command_line;
  identity.user = member.user;
  identity.cgroup = member.cgroup;
  identity.owner = &member.owner;
  identity.kernel_thread = member.kernel_thread;
  return rules.group_of(identity).name;
}

struct Condition {
  GroupRuleSpec spec;
  bool holds;
};

TEST(GroupRules, EachCondition) {
  const Member member{.owner = {.unit = "shop.service", .container = kId, .runtime = "docker"}};
  const Condition kCases[] = {
      {{.name = "x"}, true},
      {{.name = "x", .comm = {"java"}}, true},
      {{.name = "x", .comm = {"jav"}}, false},
      {{.name = "x", .comm = {"node", "java"}}, true},
      {{.name = "x", .executable = {"java"}}, true},
      {{.name = "x", .executable = {"/opt/jdk/bin/java"}}, true},
      {{.name = "x", .executable = {"/usr/bin/java"}}, false},
      {{.name = "x", .executable = {"bin/java"}}, false},
      {{.name = "x", .user = {"root", "www"}}, true},
      {{.name = "x", .user = {"root"}}, false},
      {{.name = "x", .unit = {"shop.service"}}, true},
      {{.name = "x", .unit = {"shop"}}, false},
      {{.name = "x", .container = {"0e1d2c"}}, true},
      {{.name = "x", .container = {kId}}, true},
      {{.name = "x", .container = {"*"}}, true},
      {{.name = "x", .container = {"1e1d", "0e"}}, true},
      {{.name = "x", .container = {"e1d2"}}, false},
      {{.name = "x", .container = {""}}, false},
      {{.name = "x", .comm_regex = "^j.v"}, true},
      {{.name = "x", .comm_regex = "a$"}, true},
      {{.name = "x", .comm_regex = "^v"}, false},
      {{.name = "x", .command_line_regex = "-Dapp=shop\\b"}, true},
      {{.name = "x", .command_line_regex = "-Dapp=shops"}, false},
      {{.name = "x", .cgroup_regex = "^/system\\.slice/"}, true},
      {{.name = "x", .cgroup_regex = "^/user"}, false},
      {{.name = "x", .comm = {"java"}, .user = {"root"}}, false},
      {{.name = "x", .comm = {"java"}, .user = {"www"}, .cgroup_regex = "shop"}, true},
  };
  for (std::size_t i = 0; i < std::size(kCases); ++i) {
    EXPECT_EQ(group_of(rules({kCases[i].spec}), member) == "x", kCases[i].holds) << "case " << i;
  }
}

// What is not known matches no condition on it.
TEST(GroupRules, UnknownMatchesNothing) {
  const ProcessIdentity nobody;
  const GroupRuleSpec kCases[] = {
      {.name = "x", .comm = {"a"}},       {.name = "x", .executable = {"a"}},
      {.name = "x", .executable = {""}},  {.name = "x", .user = {"a"}},
      {.name = "x", .unit = {"a"}},       {.name = "x", .container = {"*"}},
      {.name = "x", .comm_regex = "."},   {.name = "x", .command_line_regex = "."},
      {.name = "x", .cgroup_regex = "."},
  };
  for (std::size_t i = 0; i < std::size(kCases); ++i) {
    EXPECT_EQ(rules({kCases[i]}).group_of(nobody).name, "unnamed") << "case " << i;
  }
}

TEST(GroupRules, FirstMatchWins) {
  const GroupRules three = rules({{.name = "no", .comm = {"node"}},
                                  {.name = "first", .comm = {"java"}},
                                  {.name = "second", .comm = {"java"}}});
  EXPECT_EQ(group_of(three, {}), "first");
  EXPECT_EQ(group_of(three, {.comm = "sh"}), "shop.service") << "else the default";
}

TEST(GroupRules, NamesWithPlaceholders) {
  const Member member{.owner = {.unit = "shop.service", .container = kId, .pod = "2c48-91"}};
  const std::pair<GroupRuleSpec, std::string> kCases[] = {
      {{.name = "{comm}"}, "java"},
      {{.name = "a-{comm}-{user}"}, "a-java-www"},
      {{.name = "{exe}"}, "java"},
      {{.name = "{unit}"}, "shop.service"},
      {{.name = "c:{container}"}, "c:0e1d2c3b4a59"},
      {{.name = "{pod}"}, "2c48-91"},
      {{.name = "{cgroup}"}, "/system.slice/shop.service"},
      {{.name = "app:{app}", .command_line_regex = "-Dapp=(?P<app>\\w+)"}, "app:shop"},
      {{.name = "{a}{b}", .comm_regex = "^(?P<a>.)", .cgroup_regex = "(?P<b>slice)"}, "jslice"},
      {{.name = "{comm}", .comm_regex = "^(?P<comm>..)"}, "ja"},
      {{.name = "x{b}", .comm_regex = "(?P<b>Q)?"}, "x"},
      {{.name = "}x"}, "}x"},
      // Nothing is left of the name: as if no rule had matched.
      {{.name = "{b}", .comm_regex = "(?P<b>Q)?"}, "container:0e1d2c3b4a59"},
  };
  for (const auto& [spec, expected] : kCases) {
    EXPECT_EQ(group_of(rules({spec}), member), expected) << spec.name;
  }
}

// What leaves is hidden, what is compared is the truth.
TEST(GroupRules, NamesHideWhatPrivacyHides) {
  const PrivacyFilter drop(Privacy::kDrop, "");
  const PrivacyFilter hash(Privacy::kHash, "salt");
  const CgroupIdentity mount = identify_cgroup("/system.slice/home-alice.mount");
  const CgroupIdentity backup = identify_cgroup("/system.slice/backup@home-alice.service");
  const CgroupIdentity session = identify_cgroup("/user.slice/user-1000.slice/session-3.scope");
  const CgroupIdentity own =
      identify_cgroup("/user.slice/user-1000.slice/user@1000.service/app.slice/secret.service");
  const CgroupIdentity machine = identify_cgroup("/lxc/alice");
  const CgroupIdentity docker = identify_cgroup("/docker/" + kId);
  struct Case {
    std::vector<GroupRuleSpec> specs;
    const CgroupIdentity& owner;
    std::string dropped;
    std::string hashed;
  };
  const Case kCases[] = {
      {{{.name = "u:{unit}", .unit = {"home-alice.mount"}}},
       mount,
       "u:-",
       "u:" + hash.user("home-alice.mount")},
      {{{.name = "{unit}"}},
       backup,
       "backup@-.service",
       "backup@" + hash.user("home-alice") + ".service"},
      {{{.name = "{unit}"}}, session, "-", hash.user("session-3.scope")},
      {{{.name = "{container}", .container = {"alice"}}}, machine, "-", hash.user("alice")},
      {{{.name = "{container}"}}, docker, kId.substr(0, 12), kId.substr(0, 12)},
      {{}, backup, "backup@-.service", "backup@" + hash.user("home-alice") + ".service"},
      {{}, own, "vim", "user/" + hash.user("secret.service")},
      {{}, session, "vim", "vim"},
      {{}, machine, "lxc:-", "lxc:" + hash.user("alice")},
      {{}, docker, "docker:" + kId.substr(0, 12), "docker:" + kId.substr(0, 12)},
  };
  for (std::size_t i = 0; i < std::size(kCases); ++i) {
    const GroupRules compiled = rules(kCases[i].specs);
    ProcessIdentity identity;
    identity.comm = "vim";
    identity.owner = &kCases[i].owner;
    identity.privacy = &drop;
    EXPECT_EQ(compiled.group_of(identity).name, kCases[i].dropped) << "case " << i;
    identity.privacy = &hash;
    EXPECT_EQ(compiled.group_of(identity).name, kCases[i].hashed) << "case " << i;
  }
}

TEST(GroupRules, Errors) {
  const std::pair<GroupRuleSpec, std::string> kCases[] = {
      {{.name = ""}, "groups[1].name"},
      {{.name = "{nothing}"}, "groups[1].name"},
      {{.name = "{}"}, "groups[1].name"},
      {{.name = "a{comm"}, "groups[1].name"},
      {{.name = "{app}", .comm_regex = "(app)"}, "groups[1].name"},
      {{.name = "x", .comm_regex = "("}, "groups[1].comm_regex"},
      {{.name = "x", .comm_regex = "a{100000}"}, "groups[1].comm_regex"},
      {{.name = "x", .comm_regex = "(?=look)"}, "groups[1].comm_regex"},
      {{.name = "x", .command_line_regex = "["}, "groups[1].cmdline"},
      {{.name = "x", .cgroup_regex = "*"}, "groups[1].cgroup"},
      {{.name = "x", .comm_regex = "(1)(2)(3)(4)(5)(6)(7)(8)"}, "groups[1].comm_regex"},
  };
  for (const auto& [spec, where] : kCases) {
    const auto compiled = GroupRules::compile({{.name = "fine"}, spec});
    ASSERT_FALSE(compiled) << spec.name << " " << spec.comm_regex;
    EXPECT_EQ(compiled.error().kind, ErrorKind::kInvalid);
    EXPECT_EQ(compiled.error().option, where) << compiled.error().message();
  }
  EXPECT_TRUE(GroupRules::compile({{.name = "{g}", .comm_regex = "(1)(2)(3)(4)(5)(6)(?P<g>7)"}}));
}

TEST(GroupRules, ReadsNoMoreThanTheRulesAskFor) {
  const GroupRules none = rules({{.name = "x", .comm = {"a"}}});
  EXPECT_FALSE(none.needs_executable());
  EXPECT_FALSE(none.needs_command_line());
  EXPECT_TRUE(rules({{.name = "x", .executable = {"a"}}}).needs_executable());
  EXPECT_TRUE(rules({{.name = "{exe}"}}).needs_executable());
  EXPECT_TRUE(rules({{.name = "x", .command_line_regex = "a"}}).needs_command_line());
}

// Whoever writes the command line chooses what the expression has to chew on.
TEST(GroupRules, NoExpressionTakesLong) {
  const GroupRules evil = rules({{.name = "x", .command_line_regex = "^(a+)+$"},
                                 {.name = "y", .command_line_regex = "(a|aa)*c"},
                                 {.name = "z", .command_line_regex = "(.*)(.*)(.*)(.*)d"}});
  const Member member{.command_line = std::string(4096, 'a') + "b"};
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(group_of(evil, member), "shop.service");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(500));
}

TEST(GroupRules, NamesAreTextOfBoundedLength) {
  const GroupRules by_name = rules({{.name = "{comm}{cgroup}"}});
  const std::string kHostile[] = {
      "a\nb\"c\\d",
      "\xFF\xFE",
      std::string("a\0b", 3),
      "{comm}",
      std::string(kMaxGroupNameBytes - 1, 'a') + "\xC3\xA9",  // would be cut in its middle
      std::string(5000, '\xF0'),
  };
  for (const std::string& comm : kHostile) {
    const std::string name = group_of(by_name, {.comm = comm});
    EXPECT_LE(name.size(), kMaxGroupNameBytes);
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(sanitize_label(name), name);
  }
  // They would be one series: so they are one group.
  EXPECT_EQ(group_of(by_name, {.comm = "a\xFF"}), group_of(by_name, {.comm = "a\xFE"}));
}

struct Default {
  Member member;
  std::string group;
};

TEST(DefaultGroup, ByWhatIsKnown) {
  const Default kCases[] = {
      {{.owner = {.container = kId, .runtime = "docker"}}, "docker:0e1d2c3b4a59"},
      {{.owner = {.container = kId, .runtime = "containerd", .pod = "u"}},
       "containerd:0e1d2c3b4a59"},
      {{.owner = {.container = kId, .pod = "u"}}, "container:0e1d2c3b4a59"},
      {{.owner = {.container = "web1", .runtime = "lxc"}}, "lxc:web1"},
      {{.owner = {.unit = "nginx.service", .slice = "system.slice"}}, "nginx.service"},
      {{.owner = {.unit = "docker.service", .container = kId, .runtime = "docker"}},
       "docker:0e1d2c3b4a59"},
      {{.owner = {.unit = "nginx.service", .slice = "app.slice", .of_user = true}},
       "www/nginx.service"},
      {{.comm = "vim", .owner = {.unit = "session-3.scope"}}, "vim"},
      {{.comm = "vim", .owner = {.unit = "user@1000.service"}}, "vim"},
      {{.comm = "systemd", .owner = {.unit = "init.scope"}}, "systemd"},
      {{.comm = "sh", .owner = {}}, "sh"},
      {{.comm = "", .owner = {}}, "unnamed"},
      // Any user can run a process under any name.
      {{.comm = "sshd.service", .owner = {}}, "comm:sshd.service"},
      {{.comm = "docker:0e1d2c3b", .owner = {}}, "comm:docker:0e1d2c3b"},
      {{.comm = "[kworker]", .owner = {}}, "comm:[kworker]"},
      {{.comm = "other", .owner = {}}, "comm:other"},
  };
  const GroupRules none = rules({});
  for (const Default& one : kCases) {
    EXPECT_EQ(group_of(none, one.member), one.group);
  }
}

TEST(GroupRules, SayWhoChoseTheName) {
  CgroupIdentity owner{.unit = "shop.service"};
  ProcessIdentity process;
  process.comm = "java";
  process.command_line = "java --port=80";
  process.cgroup = "/tenant/7";
  const auto chosen = [&](GroupRuleSpec spec) {
    return rules({std::move(spec)}).group_of(process).chosen;
  };
  EXPECT_FALSE(chosen({.name = "shop", .comm = {"java"}}));
  EXPECT_FALSE(chosen({.name = "{cgroup}"}));
  EXPECT_FALSE(chosen({.name = "{tenant}", .cgroup_regex = "/tenant/(?P<tenant>.*)"}));
  EXPECT_TRUE(chosen({.name = "{comm}"}));
  EXPECT_TRUE(chosen({.name = "{port}", .command_line_regex = "--port=(?P<port>\\d+)"}));
  EXPECT_TRUE(rules({}).group_of(process).chosen);
  process.owner = &owner;
  EXPECT_FALSE(rules({}).group_of(process).chosen);
}

TEST(DefaultGroup, KernelThreads) {
  const std::pair<const char*, const char*> kCases[] = {
      {"kworker/3:1H-kblockd", "kworker"},
      {"kworker/R-xfs-buf/sda1", "kworker"},
      {"ksoftirqd/0", "ksoftirqd"},
      {"irq/24-nvme0q1", "irq"},
      {"jbd2/vda1-8", "jbd2/vda1-8"},
      {"kswapd0", "kswapd"},
      {"kswapd12", "kswapd"},
      {"kswapd", "kswapd"},
      {"kswapdaemon", "kswapdaemon"},
      {"kcompactd1", "kcompactd"},
      {"rcu_sched", "rcu"},
      {"rcu_preempt", "rcu"},
      {"rcu_tasks_kthre", "rcu"},
      {"loop0", "loop0"},
      {"kthreadd", "kthreadd"},
      {"/", "kernel"},
      {"", "kernel"},
  };
  const GroupRules none = rules({});
  for (const auto& [comm, group] : kCases) {
    EXPECT_EQ(group_of(none, {.comm = comm, .owner = {}, .kernel_thread = true}),
              "[" + std::string(group) + "]")
        << comm;
  }
  EXPECT_EQ(group_of(none, {.comm = "kswapd0", .owner = {}}), "kswapd0") << "only calls itself so";
}

}  // namespace
}  // namespace tidegauge
