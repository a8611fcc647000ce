// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/shown_identity.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tidegauge {
namespace {

const std::string kId = "0e1d2c3b4a59687766554433221100ffeeddccbbaa99887766554433221100ab";
const std::string kUid = "2c48913c-b29f-11e7-9350-020968147796";
const std::string kUser = "/user.slice/user-1000.slice/";

// With "#" for whatever the filter makes of the hidden part.
struct Case {
  std::string path;
  std::string hidden;
  std::string unit;
  std::string container;
};

std::string replaced(std::string text, const std::string& by) {
  const auto at = text.find('#');
  return at == std::string::npos ? text : text.replace(at, 1, by);
}

TEST(ShownIdentity, OfPaths) {
  const std::vector<Case> cases = {
      {"/", "", "", ""},
      {"/init.scope", "", "init.scope", ""},
      {"/system.slice/nginx.service", "", "nginx.service", ""},
      {"/system.slice/user-manager.service", "", "user-manager.service", ""},
      {"/system.slice/run-u17.scope", "", "run-u17.scope", ""},
      {"/system.slice/sshd@.service", "", "sshd@.service", ""},
      {"/system.slice/home-alice-secret.mount", "home-alice-secret.mount", "#", ""},
      {"/system.slice/dev-disk-by\\x2dlabel-alice.swap", "dev-disk-by\\x2dlabel-alice.swap", "#",
       ""},
      {"/system.slice/run-alice-agent.socket", "run-alice-agent.socket", "#", ""},
      {"/system.slice/backup@home-alice.service", "home-alice", "backup@#.service", ""},
      {"/system.slice/a@b@c.d.service", "b@c.d", "a@#.service", ""},
      {kUser + "user@1000.service", "1000", "user@#.service", ""},
      {kUser + "session-3.scope", "session-3.scope", "#", ""},
      {kUser + "user@1000.service/app.slice/app-secret-17.scope", "app-secret-17.scope", "#", ""},
      {kUser + "user@1000.service/app.slice/plain.service", "plain.service", "#", ""},
      {kUser + "user@1000.service/a@b.service", "a@b.service", "#", ""},
      {kUser + "user@1000.service/user.slice/libpod-" + kId + ".scope", "1000", "user@#.service",
       kId},
      {"/system.slice/docker-" + kId + ".scope", "", "", kId},
      {"/docker/" + kId, "", "", kId},
      {"/kubepods/burstable/pod" + kUid + "/" + kId, "", "", kId},
      {"/docker/" + kId + "/system.slice/nginx.service", "", "nginx.service", kId},
      {"/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234", "", "",
       "0123456789abcdef0123456789abcdef-1234"},
      {"/lxc/alice", "alice", "", "#"},
      {"/lxc/deadbeefcafe", "deadbeefcafe", "", "#"},
      {"/lxc.payload.alice/system.slice/nginx.service", "alice", "nginx.service", "#"},
      {"/machine.slice/machine-alice.scope", "alice", "", "#"},
      {"/machine.slice/systemd-nspawn@alice.service", "alice", "", "#"},
      {"/machine.slice/machine-qemu\\x2d1\\x2dalice.scope", "qemu-1-alice", "", "#"},
  };
  const PrivacyFilter hash(Privacy::kHash, "salt");
  const PrivacyFilter drop(Privacy::kDrop, "");
  for (const Case& one : cases) {
    const CgroupIdentity truth = identify_cgroup(one.path);
    EXPECT_EQ(shown_identity(PrivacyFilter(), truth), truth) << one.path;
    const CgroupIdentity hashed = shown_identity(hash, truth);
    EXPECT_EQ(hashed.unit, replaced(one.unit, hash.user(one.hidden))) << one.path;
    EXPECT_EQ(hashed.container, replaced(one.container, hash.user(one.hidden))) << one.path;
    EXPECT_EQ(hashed.pod, truth.pod) << one.path;
    EXPECT_EQ(hashed.runtime, truth.runtime) << one.path;
    const CgroupIdentity dropped = shown_identity(drop, truth);
    EXPECT_EQ(dropped.unit, replaced(one.unit, "-")) << one.path;
    EXPECT_EQ(dropped.container, replaced(one.container, "-")) << one.path;
  }
}

// Types that systemd has, wherever the identity came from.
TEST(ShownIdentity, OfTypes) {
  const PrivacyFilter drop(Privacy::kDrop, "");
  for (const char* type : {".mount", ".swap", ".automount", ".socket", ".device", ".path", ".x"}) {
    EXPECT_EQ(shown_identity(drop, {.unit = std::string("home-alice") + type}).unit, "-") << type;
  }
  EXPECT_EQ(shown_identity(drop, {.unit = "alice"}).unit, "-");
  EXPECT_EQ(shown_identity(drop, {.slice = "system.slice"}).slice, "system.slice");
  EXPECT_EQ(shown_identity(drop, {.slice = "user-1000.slice", .of_user = true}).slice, "-");
  EXPECT_EQ(shown_identity(drop, {.container = "alice"}).container, "-");
  EXPECT_EQ(shown_identity(drop, {.container = "cafe"}).container, "-") << "a name, not an id";
}

}  // namespace
}  // namespace tidegauge
