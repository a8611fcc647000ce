// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/http_message.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace tidegauge {
namespace {

TEST(AcceptsGzip, Table) {
  struct Case {
    std::string_view header;
    bool wanted;
  };
  const Case cases[] = {
      {"", false},
      {"gzip", true},
      {"GZip", true},
      {"x-gzip", true},
      {"deflate, gzip, br", true},
      {"deflate,br", false},
      {"identity", false},
      {"*", true},
      {"*;q=0", false},
      {"gzip;q=0", false},
      {"gzip; q=0.000", false},
      {"gzip ; Q = 0", false},
      {"gzip;q=0.001", true},
      {"gzip;q=1.0", true},
      {"gzip;q=0, *", false},
      {"*, gzip;q=0", false},
      {"*;q=0, gzip", true},
      {"identity;q=1, *;q=0.5", true},
      {"gzipped", false},
      {"not-gzip", false},
      {",,;;=,", false},
      {"gzip;q", true},
      {"gzip;q=", true},
  };
  for (const Case& c : cases) EXPECT_EQ(accepts_gzip(c.header), c.wanted) << c.header;
}

TEST(ParseTarget, DecodesPathAndQuery) {
  const auto target = parse_target("/a%20b/+?collect%5b%5D=cpu&collect[]=disk+io&x&y=1=2&&=v#frag");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/a b/+");
  const HttpQuery wanted = {
      {"collect[]", "cpu"}, {"collect[]", "disk io"}, {"x", ""}, {"y", "1=2"}, {"", "v"}};
  EXPECT_EQ(target->query, wanted);
}

TEST(ParseTarget, TakesTheAbsoluteForm) {
  const auto target = parse_target("http://host:10070/metrics?a=b");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/metrics");
  EXPECT_EQ(target->query.size(), 1U);
}

TEST(ParseTarget, RefusesTheMalformed) {
  const std::string_view cases[] = {
      "",     "metrics",       "*",        "http://host", "?a=b",   "/%",    "/%4",     "/%zz",
      "/%00", "/metrics%00/x", "/a%0d%0a", "/?a=%",       "/?a=%1", "/?%=a", "/?a=%7f", "/\x01",
  };
  for (const std::string_view text : cases) EXPECT_FALSE(parse_target(text)) << text;
}

TEST(ParseTarget, LeavesDotsAndSlashesAlone) {
  EXPECT_EQ(parse_target("//metrics").value().path, "//metrics");
  EXPECT_EQ(parse_target("/x/../metrics").value().path, "/x/../metrics");
  EXPECT_EQ(parse_target("/metrics%2f").value().path, "/metrics/");
}

}  // namespace
}  // namespace tidegauge
