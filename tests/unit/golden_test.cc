// SPDX-License-Identifier: Apache-2.0

// Whole expositions of the fixture machines, byte for byte, and the generated documentation. After a
// wanted change: TIDEGAUGE_UPDATE_GOLDEN=1 build/tidegauge_tests --gtest_filter='Golden*', then read
// the diff.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "collectors/registry.h"
#include "daemon/commands/commands.h"
#include "daemon/exporter/collector_status_text.h"
#include "daemon/exporter/own_metrics.h"
#include "daemon/exporter/section_text.h"
#include "daemon/heuristics/assess.h"
#include "tests/unit/exposition_parser.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Collectors whose values are the running machine's, whatever the roots.
bool is_live(std::string_view collector) {
  return collector == "uname" || collector == "self" || collector == "time" ||
         collector == "filesystem" || collector == "files";
}

std::string exposition(const std::string& machine) {
  std::string out;
  for (const CollectorInfo* info : all_collectors()) {
    if (is_live(info->name)) {
      continue;
    }
    std::vector<std::string> options;
    if (info->name == "netdev") {
      options = {"netlink=false"};  // rtnetlink would show this machine's devices
    }
    const auto section = testing::run_once(*info, testing::fixture(machine), options);
    if (!section) {
      out += "# " + std::string(info->name) + ": " + std::string(to_string(section.error().kind)) +
             "\n";
      continue;
    }
    SectionText text(nullptr);
    out += text.render(std::make_shared<const Section>(*section));
  }
  return out;
}

class Golden : public ::testing::TestWithParam<const char*> {};

TEST_P(Golden, Exposition) {
  const std::string machine = GetParam();
  const std::string path = std::string(TIDEGAUGE_SOURCE_DIR) + "/tests/golden/" + machine + ".txt";
  const std::string now = exposition(machine);
  EXPECT_EQ(testing::parse_exposition(now).error, "");
  EXPECT_GT(testing::parse_exposition(now).families.size(), 100U);
  if (std::getenv("TIDEGAUGE_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary) << now;
  }
  const std::string golden = read_whole(path);
  ASSERT_FALSE(golden.empty()) << path;
  EXPECT_TRUE(now == golden) << path << " is behind";
  if (now != golden) {
    const auto at = std::mismatch(now.begin(), now.end(), golden.begin(), golden.end());
    const auto offset = static_cast<std::size_t>(at.first - now.begin());
    const auto line = now.rfind('\n', offset) + 1;
    ADD_FAILURE() << "first difference: got    " << now.substr(line, now.find('\n', offset) - line)
                  << "\n                  golden "
                  << golden.substr(line, golden.find('\n', offset) - line);
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, Golden,
                         ::testing::Values("linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"),
                         [](const auto& param) {
                           std::string name = param.param;
                           for (char& c : name) {
                             c = c == '-' || c == '.' ? '_' : c;
                           }
                           return name;
                         });

TEST(MetricsReference, TheFileInTheTreeIsUpToDate) {
  EXPECT_TRUE(metrics_reference(all_collectors()) ==
              read_whole(std::string(TIDEGAUGE_SOURCE_DIR) + "/docs/metrics.md"))
      << "run: build/tidegauge metrics > docs/metrics.md";
}

// Prometheus gives every series a job and an instance: one that comes with such a label has it renamed to exported_...
TEST(MetricsReference, NoLabelIsPrometheusOwn) {
  std::vector<MetricDoc> docs = heuristics::heuristics_metrics();
  const auto add = [&](const std::vector<MetricDoc>& more) {
    docs.insert(docs.end(), more.begin(), more.end());
  };
  add(own_metric_docs());
  add(collector_status_docs());
  for (const CollectorInfo* info : all_collectors()) {
    add(info->metrics());
  }
  EXPECT_GT(docs.size(), 300U);
  for (const MetricDoc& doc : docs) {
    for (const std::string_view label : doc.labels) {
      EXPECT_FALSE(label == "job" || label == "instance" || label.starts_with("exported_") ||
                   label.starts_with("__"))
          << doc.name << " has the label " << label;
    }
  }
}

// What collectors emit is what they document: every family of every fixture machine.
TEST(MetricsReference, DocumentsEveryFamilyOfTheFixtures) {
  for (const CollectorInfo* info : all_collectors()) {
    if (is_live(info->name) || info->name == "textfile") {
      continue;
    }
    const auto docs = info->metrics();
    for (const char* machine : {"linux-3.10", "linux-4.19", "linux-5.10", "linux-6.12"}) {
      const auto section = testing::run_once(*info, testing::fixture(machine));
      if (!section) {
        continue;
      }
      for (const Table& table : section->tables) {
        for (const ColumnInfo& column : table.shape->columns) {
          bool documented = false;
          for (const MetricDoc& doc : docs) {
            const auto open = doc.name.find('<');
            const auto close = doc.name.find('>');
            documented =
                documented || (open == std::string::npos
                                   ? doc.name == column.family
                                   : column.family.starts_with(doc.name.substr(0, open)) &&
                                         column.family.ends_with(doc.name.substr(close + 1)));
            if (doc.name == column.family) {
              EXPECT_EQ(doc.kind, column.kind) << doc.name;
            }
          }
          EXPECT_TRUE(documented) << info->name << " emits " << column.family;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tidegauge
