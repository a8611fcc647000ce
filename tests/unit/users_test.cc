// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/users.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

TEST(ParsePasswd, Lines) {
  const auto names = parse_passwd(
      "root:x:0:0:root:/root:/bin/bash\n"
      "\n"
      "www:x:33:33::/var/www:/usr/sbin/nologin\n"
      "toor:x:0:0::/root:/bin/sh\n"     // of equal uids the first wins
      "short:x:7\n"                     // uid is all that is asked for
      "nobody:x:4294967294:65534:::\n"  // the highest there is but one
      "#off:x:50:50::/:\n"
      "+::::::\n"
      "+nis:x:51:51:::\n"
      "-nis:x:52:52:::\n"
      "huge:x:4294967296:1:::\n"
      "word:x:abc:1:::\n"
      "minus:x:-1:1:::\n"
      "empty:x::1:::\n"
      "colons\n"
      "one:colon\n"
      ":x:53:1:::\n" +
      std::string(65, 'n') + ":x:54:1:::\n" + std::string(64, 'm') + ":x:55:1:::\n" +
      "\xFF\"\\:x:56:1:::\n"
      "last:x:57:1:::");
  EXPECT_EQ(names.size(), 7U);
  const std::pair<std::uint32_t, std::string> kExpected[] = {{0, "root"},
                                                             {33, "www"},
                                                             {7, "short"},
                                                             {4294967294U, "nobody"},
                                                             {55, std::string(64, 'm')},
                                                             {56, "\xFF\"\\"},
                                                             {57, "last"}};
  for (const auto& [uid, name] : kExpected) {
    const auto at = names.find(uid);
    ASSERT_NE(at, names.end()) << uid;
    EXPECT_EQ(at->second, name);
  }
  EXPECT_TRUE(parse_passwd("").empty());
  EXPECT_TRUE(parse_passwd(std::string(100'000, 'a')).empty());
}

TEST(ParsePasswd, Bounded) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) {
    text += "u" + std::to_string(i) + ":x:" + std::to_string(i) + ":1:::\n";
  }
  EXPECT_EQ(parse_passwd(text).size(), 16384U);
}

TEST(Users, FollowsTheFile) {
  const testing::FixtureTree tree;
  ReadBuffer buffer;
  Users users(tree.path("root/etc/passwd"));
  users.refresh(buffer);
  EXPECT_EQ(users.name(33), "33") << "no file, no names";
  tree.write("root/etc/passwd", "www:x:33:33:::\n");
  users.refresh(buffer);
  EXPECT_EQ(users.name(33), "www");
  EXPECT_EQ(users.name(34), "34");
  tree.write("root/etc/passwd", "http:x:33:33:::\n");
  users.refresh(buffer);
  EXPECT_EQ(users.name(33), "http");
  tree.remove("root/etc/passwd");
  users.refresh(buffer);
  EXPECT_EQ(users.name(33), "33");
}

// What is no file leaves no names, does not block, and is looked at again.
TEST(Users, NotAFile) {
  const testing::FixtureTree tree;
  ReadBuffer buffer;
  tree.write("root/etc/passwd/inside", "");
  Users users(tree.path("root/etc/passwd"));
  users.refresh(buffer);
  EXPECT_EQ(users.name(0), "0");
  tree.remove("root/etc/passwd");
  ASSERT_EQ(::mkfifo(tree.path("root/etc/passwd").c_str(), 0600), 0);
  users.refresh(buffer);
  EXPECT_EQ(users.name(0), "0");
}

}  // namespace
}  // namespace tidegauge
