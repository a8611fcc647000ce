// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup_identity.h"

#include <gtest/gtest.h>

#include <fstream>
#include <ostream>
#include <sstream>

#include "tests/unit/testing.h"

namespace tidegauge {

std::ostream& operator<<(std::ostream& out, const CgroupIdentity& identity) {
  return out << "unit=" << identity.unit << " slice=" << identity.slice
             << " container=" << identity.container << " runtime=" << identity.runtime
             << " pod=" << identity.pod;
}

namespace {

const std::string kId = "0e1d2c3b4a59687766554433221100ffeeddccbbaa99887766554433221100ab";
const std::string kInner = "f00dfeed4a59687766554433221100ffeeddccbbaa99887766554433221100cd";
const std::string kUid = "2c48913c-b29f-11e7-9350-020968147796";
const std::string kSlicedUid = "2c48913c_b29f_11e7_9350_020968147796";
const std::string kTask = "ab12cd34ef56ab12cd34ef56ab12cd34";

struct Case {
  std::string path;
  CgroupIdentity expected;
};

TEST(IdentifyCgroup, Systemd) {
  const std::vector<Case> cases = {
      {"", {}},
      {"/", {}},
      {"/init.scope", {.unit = "init.scope"}},
      {"/system.slice", {.slice = "system.slice"}},
      {"/system.slice/nginx.service", {.unit = "nginx.service", .slice = "system.slice"}},
      {"/system.slice/system-getty.slice/getty@tty1.service",
       {.unit = "getty@tty1.service", .slice = "system-getty.slice"}},
      {"/system.slice/dev-disk-by\\x2duuid-1.swap",
       {.unit = "dev-disk-by\\x2duuid-1.swap", .slice = "system.slice"}},
      {"/system.slice/_cpu.service", {.unit = "cpu.service", .slice = "system.slice"}},
      {"/system.slice/docker.service/extra", {.unit = "docker.service", .slice = "system.slice"}},
      {"/user.slice/user-1000.slice/session-3.scope",
       {.unit = "session-3.scope", .slice = "user-1000.slice", .of_user = true}},
      {"/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
       {.unit = "foo.service", .slice = "app.slice", .of_user = true}},
      {"/user.slice/user-1000.slice/user@1000.service",
       {.unit = "user@1000.service", .slice = "user-1000.slice", .of_user = true}},
      {"/user.slice", {.slice = "user.slice", .of_user = true}},
      {"/../user-1000.slice/a.scope",
       {.unit = "a.scope", .slice = "user-1000.slice", .of_user = true}},
      {"/../user@1000.service/a.scope", {.unit = "a.scope", .of_user = true}},
      {"/system.slice/user-manager.service",
       {.unit = "user-manager.service", .slice = "system.slice"}},
      {"/system.slice/run-r0123456789abcdef0123456789abcdef.scope",
       {.unit = "run-r0123456789abcdef0123456789abcdef.scope", .slice = "system.slice"}},
      {"/system.slice/gone.service (deleted)", {.unit = "gone.service", .slice = "system.slice"}},
      {"/../../system.slice/a.service", {.unit = "a.service", .slice = "system.slice"}},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(identify_cgroup(one.path), one.expected) << one.path;
  }
}

TEST(IdentifyCgroup, Engines) {
  const CgroupIdentity docker{.container = kId, .runtime = "docker"};
  const CgroupIdentity podman{.slice = "machine.slice", .container = kId, .runtime = "podman"};
  const std::vector<Case> cases = {
      {"/docker/" + kId, docker},
      {"/docker/" + kId + "/init", docker},
      {"/system.slice/docker-" + kId + ".scope",
       {.slice = "system.slice", .container = kId, .runtime = "docker"}},
      {"/batch/" + kId, {.container = kId}},
      {"/machine.slice/libpod-" + kId + ".scope", podman},
      {"/machine.slice/libpod-" + kId + ".scope/container", podman},
      {"/machine.slice/libpod-" + kId + ".scope/libpod-payload-" + kId, podman},
      {"/libpod_parent/libpod-" + kId, {.container = kId, .runtime = "podman"}},
      {"/machine.slice/libpod-conmon-" + kId + ".scope",
       {.unit = "libpod-conmon-" + kId + ".scope", .slice = "machine.slice"}},
      {"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + kId + ".scope",
       {.unit = "user@1000.service",
        .slice = "user.slice",
        .container = kId,
        .runtime = "podman",
        .of_user = true}},
      {"/system.slice/nerdctl-" + kId + ".scope",
       {.slice = "system.slice", .container = kId, .runtime = "containerd"}},
      {"/ecs/" + kTask + "/" + kId, {.container = kId, .runtime = "ecs"}},
      {"/ecs/cluster/" + kTask + "/" + kId, {.container = kId, .runtime = "ecs"}},
      {"/ecs/" + kTask + "/" + kTask + "-265927825",
       {.container = kTask + "-265927825", .runtime = "ecs"}},
      {"/ecs/" + kTask, {}},
      {"/docker/" + kId + "/docker/" + kInner, {.container = kInner, .runtime = "docker"}},
      {"/docker/" + kId + "/system.slice/docker-" + kInner + ".scope",
       {.slice = "system.slice", .container = kInner, .runtime = "docker"}},
      {"/docker/" + kId + "/system.slice/ssh.service",
       {.unit = "ssh.service", .slice = "system.slice", .container = kId, .runtime = "docker"}},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(identify_cgroup(one.path), one.expected) << one.path;
  }
}

TEST(IdentifyCgroup, Kubernetes) {
  const std::string slice = "kubepods-burstable-pod" + kSlicedUid + ".slice";
  const std::string parent = "/kubepods.slice/kubepods-burstable.slice/" + slice;
  const std::vector<Case> cases = {
      {"/kubepods/burstable/pod" + kUid, {.pod = kUid}},
      {"/kubepods/burstable/pod" + kUid + "/" + kId, {.container = kId, .pod = kUid}},
      {"/kubepods/pod" + kUid + "/crio-" + kId,
       {.container = kId, .runtime = "cri-o", .pod = kUid}},
      {"/kubepods/besteffort/pod" + kTask + "/" + kId, {.container = kId, .pod = kTask}},
      {"/pod" + kUid + "/" + kId, {.container = kId}},
      {parent, {.slice = slice, .pod = kUid}},
      {parent + "/cri-containerd-" + kId + ".scope",
       {.slice = slice, .container = kId, .runtime = "containerd", .pod = kUid}},
      {parent + "/docker-" + kId + ".scope",
       {.slice = slice, .container = kId, .runtime = "docker", .pod = kUid}},
      {parent + "/crio-" + kId + ".scope/container",
       {.slice = slice, .container = kId, .runtime = "cri-o", .pod = kUid}},
      {parent + "/crio-conmon-" + kId + ".scope",
       {.unit = "crio-conmon-" + kId + ".scope", .slice = slice, .pod = kUid}},
      {"/system.slice/containerd.service/" + slice + ":cri-containerd:" + kId,
       {.unit = "containerd.service",
        .slice = slice,
        .container = kId,
        .runtime = "containerd",
        .pod = kUid}},
      {"/docker/" + kInner + "/kubelet/kubepods/burstable/pod" + kUid + "/" + kId,
       {.container = kId, .pod = kUid}},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(identify_cgroup(one.path), one.expected) << one.path;
  }
}

TEST(IdentifyCgroup, Machines) {
  const std::vector<Case> cases = {
      {"/lxc/web", {.container = "web", .runtime = "lxc"}},
      {"/lxc/web/system.slice/ssh.service",
       {.unit = "ssh.service", .slice = "system.slice", .container = "web", .runtime = "lxc"}},
      {"/lxc.payload.web/init.scope", {.unit = "init.scope", .container = "web", .runtime = "lxc"}},
      {"/lxc.payload/web", {.container = "web", .runtime = "lxc"}},
      {"/lxc.monitor.web", {}},
      {"/lxc/web/docker/" + kId, {.container = kId, .runtime = "docker"}},
      {"/machine.slice/systemd-nspawn@my\\x2ddebian.service/payload",
       {.slice = "machine.slice", .container = "my-debian", .runtime = "nspawn"}},
      {"/machine.slice/machine-my\\x2dbox.scope",
       {.slice = "machine.slice", .container = "my-box", .runtime = "nspawn"}},
      {"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt",
       {.slice = "machine.slice", .container = "qemu-1-vm", .runtime = "libvirt-qemu"}},
      {"/machine.slice/machine-lxc\\x2d77\\x2dbox.scope",
       {.slice = "machine.slice", .container = "lxc-77-box", .runtime = "libvirt-lxc"}},
      {"/machine.slice/machine-a\\x2.scope",
       {.slice = "machine.slice", .container = "a\\x2", .runtime = "nspawn"}},
      {"/machine.slice/machine-a\\x00.scope",
       {.slice = "machine.slice", .container = "a\\x00", .runtime = "nspawn"}},
      {"/system.slice/machine-a.scope", {.unit = "machine-a.scope", .slice = "system.slice"}},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(identify_cgroup(one.path), one.expected) << one.path;
  }
}

TEST(IdentifyCgroup, NearMissesAreNoContainers) {
  std::string upper = kId;
  upper[0] = 'A';
  const std::vector<std::string> paths = {"/docker/" + kId.substr(1),
                                          "/docker/" + kId + "0",
                                          "/docker/" + upper,
                                          "/docker-.scope",
                                          "/docker-" + kId + "0.scope",
                                          "/docker-xyz.scope",
                                          std::string("/libpod-"),
                                          std::string("/lxc"),
                                          std::string("/lxc.payload."),
                                          "/:" + kId,
                                          std::string("/a:b:c"),
                                          std::string(":"),
                                          std::string("::"),
                                          std::string("/.service/.slice"),
                                          std::string("////"),
                                          std::string("\\x"),
                                          std::string("\xff\xfe/\x01")};
  for (const std::string& path : paths) {
    const CgroupIdentity identity = identify_cgroup(path);
    EXPECT_EQ(identity.container, "") << path;
    EXPECT_EQ(identity.pod, "") << path;
    EXPECT_EQ(identity.runtime, "") << path;
  }
  EXPECT_EQ(identify_cgroup("/.service/.slice"), CgroupIdentity{});
  EXPECT_EQ(identify_cgroup("/kubepods/podnot-a-uid/x"), CgroupIdentity{});
}

TEST(IdentifyCgroup, HugePath) {
  std::string path;
  for (int i = 0; i < 100'000; ++i) {
    path += "/a.slice/\\x2d:";
  }
  EXPECT_EQ(identify_cgroup(path + "/docker/" + kId).container, kId);
  EXPECT_EQ(identify_cgroup("/" + std::string(1'000'000, 'a') + ".service").unit.size(),
            1'000'008U);
}

std::string telling(std::string_view text) {
  const auto path = telling_cgroup_path(text);
  return path ? std::string(*path) : testing::error_text(path);
}

TEST(TellingCgroupPath, EveryHierarchy) {
  EXPECT_EQ(telling("0::/system.slice/a.service\n"), "/system.slice/a.service");
  EXPECT_EQ(telling("0::/"), "/") << "no newline";
  EXPECT_EQ(telling("0::/a:b/c\n"), "/a:b/c");
  const std::string docker = "/docker/" + kId;
  EXPECT_EQ(telling("12:pids:" + docker + "\n4:memory:" + docker + "\n1:name=systemd:" + docker +
                    "\n0::/system.slice/containerd.service\n"),
            docker)
      << "hybrid: a container tells more than the unit it was started by";
  EXPECT_EQ(telling("4:memory:/a/b\n0::/system.slice/s.service\n"), "/system.slice/s.service")
      << "a unit tells more than a mere path";
  EXPECT_EQ(telling("4:memory:/a/b\n1:name=systemd:/c\n0::/\n"), "/a/b") << "the deeper";
  EXPECT_EQ(telling("8:pids:/p\n3:cpu,cpuacct:/c\n4:memory:/m\n9:freezer:/f\n"), "/m");
  EXPECT_EQ(telling("8:pids:/p\n9:freezer:/f\n3:cpuacct,cpu:/c\n"), "/c");
  EXPECT_EQ(telling("9:freezer:/f\n8:pids:/p\n"), "/p");
  EXPECT_EQ(telling("4:memory:/m\n1:name=systemd:/s\n"), "/s");
  EXPECT_EQ(telling("1:name=systemd:/s\n0::/u\n"), "/u");
  EXPECT_EQ(telling("9:freezer:/f\n"), "/f");
}

TEST(TellingCgroupPath, PassesOverWhatIsNoLine) {
  EXPECT_EQ(telling("garbage\n\n4:memory:relative\n4:memory\nx:memory:/x\n0::/u\n"), "/u");
  for (const std::string_view bad :
       {"", "\n", "0:", "0::", "0::u", "-1::/u", "18446744073709551616::/u", "\xff\xfe", ":::/"}) {
    EXPECT_EQ(telling(bad), "malformed: cgroup: expected a line id:controllers:/path") << bad;
  }
}

TEST(TellingCgroupPath, ThisMachine) {
  std::ostringstream text;
  text << std::ifstream("/proc/self/cgroup").rdbuf();
  if (text.str().empty()) {
    GTEST_SKIP() << "a kernel without cgroups";
  }
  const std::string whole = text.str();
  const auto path = telling_cgroup_path(whole);
  ASSERT_TRUE(path) << testing::error_text(path);
  EXPECT_TRUE(path->starts_with('/')) << *path;
  EXPECT_NE(whole.find(":" + std::string(*path) + "\n"), std::string::npos) << *path;
  EXPECT_LE(identify_cgroup(*path).unit.size(), path->size());
}

}  // namespace
}  // namespace tidegauge
