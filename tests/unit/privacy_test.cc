// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/privacy.h"

#include <gtest/gtest.h>

#include "collectors/core/sha256.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

std::string sha256(std::string_view text) {
  Sha256 hash;
  hash.add(text);
  return hash.finish();
}

TEST(Privacy, Words) {
  EXPECT_EQ(parse_privacy("keep"), Privacy::kKeep);
  EXPECT_EQ(parse_privacy("hash"), Privacy::kHash);
  EXPECT_EQ(parse_privacy("drop"), Privacy::kDrop);
  for (const char* text : {"", "Keep", "hash ", "none", "true"}) {
    EXPECT_EQ(parse_privacy(text), std::nullopt) << text;
  }
}

TEST(PrivacyFilter, KeepsByDefault) {
  const PrivacyFilter filter;
  EXPECT_EQ(filter.path("/home/x/bin/y (deleted)"), "/home/x/bin/y (deleted)");
  EXPECT_EQ(filter.user("postgres"), "postgres");
}

TEST(PrivacyFilter, HashesWithItsSalt) {
  const PrivacyFilter filter(Privacy::kHash, "salt");
  EXPECT_EQ(filter.path("/usr/bin/sh"), "h:" + sha256("salt/usr/bin/sh").substr(0, 16));
  EXPECT_EQ(filter.path("/usr/bin/sh"), filter.path("/usr/bin/sh"));
  EXPECT_NE(filter.path("/usr/bin/sh"), filter.path("/usr/bin/sh2"));
  EXPECT_EQ(filter.user("root").size(), 18U);
  EXPECT_NE(filter.user("root"), PrivacyFilter(Privacy::kHash, "other").user("root"));
  EXPECT_EQ(filter.user("root").find_first_not_of("0123456789abcdef", 2), std::string::npos);
  EXPECT_EQ(filter.path(std::string("\0\xFF\n", 3)).size(), 18U) << "any bytes";
}

TEST(PrivacyFilter, Drops) {
  const PrivacyFilter filter(Privacy::kDrop, "salt");
  EXPECT_EQ(filter.path("/usr/bin/sh"), "-");
  EXPECT_EQ(filter.user("root"), "-");
}

TEST(PrivacyFilter, NothingStaysNothing) {
  for (const Privacy privacy : {Privacy::kKeep, Privacy::kHash, Privacy::kDrop}) {
    EXPECT_EQ(PrivacyFilter(privacy, "s").path(""), "");
  }
}

TEST(KernelFilesPrivacy, TheSaltIsTheMachineId) {
  const testing::FixtureTree tree;
  const auto filter_of = [&](Privacy privacy) {
    KernelRoots roots = tree.files().roots();
    roots.privacy = privacy;
    return KernelFiles(roots).privacy();
  };
  EXPECT_EQ(filter_of(Privacy::kHash).user("root"), "-") << "no machine id";
  EXPECT_EQ(filter_of(Privacy::kHash).privacy(), Privacy::kDrop);
  for (const char* none :
       {"", "\n", "uninitialized\n", "0123456789abcdef0123456789abcde\n",
        "0123456789abcdef0123456789abcdeg\n", "00000000000000000000000000000000\n"}) {
    tree.write("root/etc/machine-id", none);
    EXPECT_EQ(filter_of(Privacy::kHash).user("root"), "-") << none;
  }
  tree.write("root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
  EXPECT_EQ(filter_of(Privacy::kHash).user("root"),
            PrivacyFilter(Privacy::kHash, "0123456789abcdef0123456789abcdef").user("root"));
  EXPECT_EQ(filter_of(Privacy::kDrop).user("root"), "-");
  EXPECT_EQ(filter_of(Privacy::kKeep).user("root"), "root");
  EXPECT_EQ(KernelFiles().privacy().user("root"), "root");
}

}  // namespace
}  // namespace tidegauge
