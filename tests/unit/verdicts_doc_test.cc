// SPDX-License-Identifier: Apache-2.0

// docs/verdicts.md is the runbook: every verdict has its section, with everything that whoever is woken needs.

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/heuristics/thresholds.h"
#include "daemon/heuristics/verdict.h"

namespace tidegauge::heuristics {
namespace {

constexpr std::string_view kHeadings[] = {"What it means",   "Condition",  "Evidence",
                                          "Confirm by hand", "What to do", "What it cannot tell"};

// Text by section and sub-heading; that before the first sub-heading is "".
std::map<std::string, std::map<std::string, std::string>> sections() {
  std::ifstream in(std::string(TIDEGAUGE_SOURCE_DIR) + "/docs/verdicts.md");
  std::map<std::string, std::map<std::string, std::string>> out;
  std::string section;
  std::string heading;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("## ")) {
      section = line.substr(3);
      heading.clear();
    } else if (line.starts_with("### ")) {
      heading = line.substr(4);
    } else {
      out[section][heading] += line + "\n";
    }
  }
  return out;
}

TEST(VerdictsDoc, EveryVerdictHasItsSection) {
  auto all = sections();
  for (const VerdictInfo& info : all_verdicts()) {
    ASSERT_TRUE(all.contains(std::string(info.name))) << info.name;
    auto& section = all[std::string(info.name)];
    EXPECT_NE(section[""].find("Severity " + std::string(severity_name(info.severity))),
              std::string::npos)
        << info.name;
    for (const std::string_view heading : kHeadings) {
      EXPECT_GT(section[std::string(heading)].size(), 50U) << info.name << ": " << heading;
    }
    EXPECT_EQ(section.size(), 1 + std::size(kHeadings)) << info.name;
  }
}

TEST(VerdictsDoc, TimesAreThoseOfTheTable) {
  auto all = sections();
  for (const VerdictInfo& info : all_verdicts()) {
    const auto number = [](double value) { return std::to_string(static_cast<int>(value)); };
    const std::string begins = info.enter_seconds == 0
                                   ? "begins at once"
                                   : "begins after " + number(info.enter_seconds) + " s";
    const std::string& text = all[std::string(info.name)][""];
    EXPECT_NE(text.find(begins + ", ends after " + number(info.leave_seconds) + " s"),
              std::string::npos)
        << info.name << ": " << text;
  }
}

TEST(VerdictsDoc, EveryThresholdIsNamed) {
  std::ifstream in(std::string(TIDEGAUGE_SOURCE_DIR) + "/docs/verdicts.md");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  for (const ThresholdInfo& info : kThresholds) {
    EXPECT_NE(text.find("`" + std::string(info.key) + "`"), std::string::npos) << info.key;
  }
}

}  // namespace
}  // namespace tidegauge::heuristics
