// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/os.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::FixtureTree;
using testing::flatten;
using testing::run_once;

std::string name_of(std::string_view text) {
  OsRelease os;
  const auto parsed = parse_os_release(text, os);
  return parsed ? os.value("name") : testing::error_text(parsed);
}

TEST(ParseOsRelease, Quoting) {
  const std::pair<std::string_view, std::string_view> kTable[] = {
      {"NAME=Fedora", "Fedora"},
      {"NAME=\"Fedora Linux\"\n", "Fedora Linux"},
      {"NAME='Fedora Linux'\n", "Fedora Linux"},
      {"NAME=\"\"\n", ""},
      {"NAME=\n", ""},
      {"  NAME=Fedora  \r\n", "Fedora"},
      {"export NAME=Fedora\n", "Fedora"},
      {"NAME=Fedora Linux\n", "Fedora Linux"},
      {"NAME=Fedora # comment\n", "Fedora"},
      {"NAME=\"Fedora # Linux\"  # comment\n", "Fedora # Linux"},
      {"NAME='Fedora '  # comment\n", "Fedora "},
      {"NAME=\"a \\\"b\\\" \\\\ \\$c \\`d\"\n", "a \"b\" \\ $c `d"},
      {"NAME=\"a\\nb\"\n", "a\nb"},
      {"NAME=\"a\\qb\"\n", "a\\qb"},
      {"NAME='a\\nb'\n", "a\\nb"},
      {"NAME=a\\nb\n", "a\\nb"},
      {"NAME=\"it's\"\n", "it's"},
      {"NAME='say \"hi\"'\n", "say \"hi\""},
      {"NAME=\"a\"'b'c\n", "abc"},
      {"NAME=a=b\n", "a=b"},
      {"NAME=\"K\xC3\xA4se\"\n", "K\xC3\xA4se"},
      {"# NAME=no\n\nNAME=yes\nname=no\n", "yes"},
      {"NAME=first\nNAME=second\n", "second"},
  };
  for (const auto& [text, name] : kTable) {
    EXPECT_EQ(name_of(text), name) << text;
  }
}

TEST(ParseOsRelease, RefusesWhatIsNoAssignment) {
  const std::pair<std::string_view, std::string_view> kTable[] = {
      {"", "malformed: os-release: expected at least one KEY=value"},
      {"# only a comment\n", "malformed: os-release: expected at least one KEY=value"},
      {"NAME=x\nFedora\n", "malformed: os-release line 2: expected KEY=value"},
      {"=x\n", "malformed: os-release line 1: expected KEY=value"},
      {"2NAME=x\n", "malformed: os-release line 1: expected KEY=value"},
      {"NA ME=x\n", "malformed: os-release line 1: expected KEY=value"},
      {"NAME=\"x\n", "malformed: os-release line 1: expected a value with its quotes closed"},
      {"NAME='x\n", "malformed: os-release line 1: expected a value with its quotes closed"},
      {"NAME=\"x\\\"\n", "malformed: os-release line 1: expected a value with its quotes closed"},
      {"NAME=\"x\\\n", "malformed: os-release line 1: expected a value with its quotes closed"},
      {"NAME=a\x01"
       "b\n",
       "malformed: os-release line 1: expected a value with its quotes closed"},
      {"OTHER=\"x\n", "malformed: os-release line 1: expected a value with its quotes closed"},
      {"SUPPORT_END=soon\n", "malformed: os-release: expected SUPPORT_END as YYYY-MM-DD"},
  };
  for (const auto& [text, error] : kTable) {
    EXPECT_EQ(name_of(text), error) << text;
  }
}

TEST(ParseOsRelease, Version) {
  const std::pair<std::string_view, std::optional<double>> kTable[] = {
      {"12", 12.0},
      {"20.04", 20.04},
      {"22.04.3", 22.04},
      {"41-rc1", 41.0},
      {"3.", 3.0},
      {"", std::nullopt},
      {"rolling", std::nullopt},
      {".5", std::nullopt},
      {"0", std::nullopt},
      {"20240101", 20240101.0},
      {"-1", std::nullopt},
      {"1e5", 1.0},
  };
  for (const auto& [text, version] : kTable) {
    OsRelease os;
    ASSERT_TRUE(parse_os_release("VERSION_ID=\"" + std::string(text) + "\"\n", os));
    EXPECT_EQ(os.version, version) << text;
  }
}

TEST(ParseOsRelease, SupportEnd) {
  const std::pair<std::string_view, std::optional<std::int64_t>> kTable[] = {
      {"1970-01-01", 0},
      {"2025-12-15", 1765756800},
      {"2024-02-29", 1709164800},
      {"1969-12-31", -86400},
      {"2025-02-29", std::nullopt},
      {"2025-13-01", std::nullopt},
      {"2025-00-01", std::nullopt},
      {"2025-1-1", std::nullopt},
      {"2025-12-15T00", std::nullopt},
      {"2025/12/15", std::nullopt},
      {"20x5-12-15", std::nullopt},
  };
  for (const auto& [text, seconds] : kTable) {
    OsRelease os;
    const auto parsed = parse_os_release("SUPPORT_END=" + std::string(text) + "\n", os);
    EXPECT_EQ(parsed.has_value(), seconds.has_value()) << text;
    EXPECT_EQ(os.support_end_seconds, seconds) << text;
  }
}

TEST(ParseOsRelease, ForgetsTheFileBefore) {
  OsRelease os;
  ASSERT_TRUE(parse_os_release("NAME=x\nVERSION_ID=3\nSUPPORT_END=2025-12-15\n", os));
  ASSERT_TRUE(parse_os_release("ID=y\n", os));
  EXPECT_EQ(os.value("name"), "");
  EXPECT_EQ(os.value("id"), "y");
  EXPECT_EQ(os.value("no such label"), "");
  EXPECT_FALSE(os.version);
  EXPECT_FALSE(os.support_end_seconds);
}

TEST(ParseOsRelease, HugeAndGarbage) {
  OsRelease os;
  EXPECT_TRUE(parse_os_release("NAME=" + std::string(1'000'000, 'x'), os));
  EXPECT_TRUE(parse_os_release("VERSION_ID=" + std::string(1000, '9'), os));
  EXPECT_FALSE(os.version) << "no double holds it";
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 200, '\0');
    for (char& c : text) {
      c = static_cast<char>(random());
    }
    (void)parse_os_release(text, os);
  }
}

TEST(Os, EveryFixture) {
  struct Expected {
    std::string_view fixture;
    std::string_view id;
    std::string_view id_like;
    std::string_view name;
    std::string_view version_id;
    double version;
  };
  for (const Expected& expected :
       {Expected{"linux-3.10", "centos", "rhel fedora", "CentOS Linux", "7", 7},
        Expected{"linux-4.19", "debian", "", "Debian GNU/Linux", "10", 10},
        Expected{"linux-5.10", "debian", "", "Debian GNU/Linux", "11", 11},
        Expected{"linux-6.12", "fedora", "", "Fedora Linux", "41", 41}}) {
    const auto section = run_once(kOsCollector, testing::fixture(expected.fixture));
    ASSERT_TRUE(section) << expected.fixture << testing::error_text(section);
    const std::string key = "node_os_version{id=\"" + std::string(expected.id) + "\",id_like=\"" +
                            std::string(expected.id_like) + "\",name=\"" +
                            std::string(expected.name) + "\"}";
    const auto series = flatten(*section);
    ASSERT_TRUE(series.contains(key)) << key;
    EXPECT_EQ(series.at(key), expected.version);
    EXPECT_EQ(section->tables[0].shape->rows[0][11], expected.version_id);
    EXPECT_EQ(series.contains("node_os_support_end_timestamp_seconds"), expected.id == "fedora");
  }
}

TEST(Os, Fedora) {
  const auto section = run_once(kOsCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << testing::error_text(section);
  using Series = std::map<std::string, double>;
  EXPECT_EQ(
      flatten(*section),
      (Series{{"node_os_info{build_id=\"\",id=\"fedora\",id_like=\"\",image_id=\"\",image_version="
               "\"\",name=\"Fedora Linux\",pretty_name=\"Fedora Linux 41 (Server Edition)\","
               "variant=\"Server Edition\",variant_id=\"server\",version=\"41 (Server Edition)\","
               "version_codename=\"\",version_id=\"41\"}",
               1},
              {"node_os_version{id=\"fedora\",id_like=\"\",name=\"Fedora Linux\"}", 41},
              {"node_os_support_end_timestamp_seconds", 1765756800}}));
}

TEST(Os, EtcComesFirst) {
  FixtureTree tree;
  EXPECT_EQ(run_once(kOsCollector, tree.files()).error().kind, ErrorKind::kMissing);
  tree.write("root/usr/lib/os-release", "ID=vendor\n");
  const auto collector = testing::make(kOsCollector, tree.files());
  const auto id = [&]() -> std::string {
    const auto section = testing::run(**collector);
    return section ? section->tables[0].shape->rows[0][1] : testing::error_text(section);
  };
  EXPECT_EQ(id(), "vendor");
  tree.write("root/etc/os-release", "ID=host\n");
  EXPECT_EQ(id(), "host");
  tree.write("root/etc/os-release", "");
  EXPECT_NE(id().find("malformed"), std::string::npos) << "an empty file is no missing one";
  tree.write("root/etc/os-release", "ID=after\n");
  EXPECT_EQ(id(), "after");
  tree.remove("root/etc/os-release");
  EXPECT_EQ(id(), "vendor");
}

TEST(Os, AnUpgradeIsSeenAndOtherwiseTheShapeStays) {
  FixtureTree tree("linux-6.12");
  const auto collector = testing::make(kOsCollector, tree.files());
  ASSERT_TRUE(collector);
  const auto first = testing::run(**collector);
  const auto second = testing::run(**collector);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->tables[0].shape, second->tables[0].shape);
  tree.write("root/usr/lib/os-release", "ID=fedora\nVERSION_ID=42\n");
  const auto third = testing::run(**collector);
  ASSERT_TRUE(third);
  EXPECT_EQ(third->tables[0].shape->rows[0][11], "42");
  EXPECT_EQ(third->tables.size(), 2U) << "no SUPPORT_END any more";
}

TEST(Os, ThisMachine) {
  const auto section = run_once(kOsCollector, KernelFiles());
  if (!section && section.error().kind == ErrorKind::kMissing) {
    GTEST_SKIP() << "no os-release here: " << testing::error_text(section);
  }
  EXPECT_TRUE(section) << testing::error_text(section);
}

}  // namespace
}  // namespace tidegauge
