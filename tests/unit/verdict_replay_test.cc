// SPDX-License-Identifier: Apache-2.0

// Recordings of real incidents and of quiet hosts (tests/fixtures/recordings, made by tests/lab/record_cases.py) through
// the heuristics: what must be found is found in time and names the right ones, and nothing else is.
//
// The truth beside each recording: `verdicts` must begin while the program ran or soon after, `may` can, anything else
// is a false alarm. TIDEGAUGE_VERDICTS=1 prints what was found.

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/heuristics/assess.h"
#include "daemon/replay/recording_walk.h"

namespace tidegauge::heuristics {
namespace {

constexpr double kDetectionSeconds = 15;
constexpr double kOnsetSeconds = 2;

std::vector<std::string> recordings() {
  std::vector<std::string> out;
  for (const auto& entry :
       std::filesystem::directory_iterator(TIDEGAUGE_SOURCE_DIR "/tests/fixtures/recordings")) {
    if (entry.path().extension() == ".yaml") {
      out.push_back(entry.path().stem().string());
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

struct Found {
  std::map<std::uint64_t, Verdict> verdicts;  // as they were last, by number
  double begin_seconds = 0;
};

Found replay(const std::string& name) {
  Found out;
  auto walk = replay::RecordingWalk::open(
      std::string(TIDEGAUGE_SOURCE_DIR "/tests/fixtures/recordings/") + name + ".tgrec", {},
      [](const recording::Damage& damage) { ADD_FAILURE() << damage.what; });
  EXPECT_TRUE(walk) << name;
  if (!walk) {
    return out;
  }
  Heuristics heuristics;
  while (const SnapshotPtr snapshot = walk->next()) {
    if (out.begin_seconds == 0) {
      out.begin_seconds = static_cast<double>(snapshot->realtime_ns) / 1e9;
    }
    heuristics.update(*snapshot);
    const auto report = heuristics.report();
    for (const Verdict& verdict : report->active) {
      // The richest account: the one with most confidence.
      const auto at = out.verdicts.find(verdict.number);
      if (at == out.verdicts.end() || verdict.finding.confidence >= at->second.finding.confidence) {
        out.verdicts.insert_or_assign(verdict.number, verdict);
      }
    }
  }
  return out;
}

double seconds_of(std::int64_t realtime_ns) { return static_cast<double>(realtime_ns) / 1e9; }

void print(const std::string& name, const Found& found) {
  std::cout << "== " << name << "\n";
  for (const auto& [number, verdict] : found.verdicts) {
    const Finding& finding = verdict.finding;
    std::cout << "  " << info_of(finding.id).name << " [" << finding.instance << "] confidence "
              << finding.confidence << " onset "
              << seconds_of(verdict.onset_realtime_ns) - found.begin_seconds << " s, told at "
              << seconds_of(verdict.detected_realtime_ns) - found.begin_seconds << " s\n    "
              << finding.sentence << "\n";
    for (const Party& party : finding.causes) {
      std::cout << "    cause " << party.text() << " share " << party.share.value_or(-1) << " "
                << party.doing << " " << party.file << party.directory << " " << party.device
                << "\n";
    }
    for (const Party& party : finding.victims) {
      std::cout << "    victim " << party.text() << " " << party.doing << "\n";
    }
    for (const Evidence& evidence : finding.evidence) {
      std::cout << "    " << evidence.what << " " << format_figure(evidence.value, evidence.unit)
                << "\n";
    }
    for (const RuledOut& ruled : finding.ruled_out) {
      std::cout << "    not " << ruled.alternative << ": " << ruled.because << "\n";
    }
    for (const Moment& moment : finding.timeline) {
      std::cout << "    " << static_cast<double>(moment.boottime_ns - finding.onset_ns) / 1e9
                << " s " << moment.what << "\n";
    }
  }
}

std::set<std::string> names_of(const YAML::Node& list) {
  std::set<std::string> out;
  for (const auto& one : list) {
    out.insert(one.IsMap() ? one["verdict"].as<std::string>() : one.as<std::string>());
  }
  return out;
}

// Whether one of the verdict's causes is who the truth says it is.
bool names_culprit(const Finding& finding, const YAML::Node& truth) {
  const auto is = [&](const char* key, const std::string& value) {
    return !truth[key] || value == truth[key].as<std::string>();
  };
  if (finding.causes.empty()) {
    return !truth["comm"] && !truth["group"];
  }
  return std::any_of(finding.causes.begin(), finding.causes.end(), [&](const Party& party) {
    const bool process = is("comm", party.comm.empty() ? party.group : party.comm) ||
                         (truth["group"] && party.group == truth["group"].as<std::string>());
    const bool file =
        !truth["file"] || party.file.find(truth["file"].as<std::string>()) != std::string::npos;
    return process && file;
  });
}

class VerdictReplay : public ::testing::TestWithParam<std::string> {};

TEST_P(VerdictReplay, SaysWhatIsTrue) {
  const std::string& name = GetParam();
  const YAML::Node truth = YAML::LoadFile(
      std::string(TIDEGAUGE_SOURCE_DIR "/tests/fixtures/recordings/") + name + ".yaml");
  const Found found = replay(name);
  if (std::getenv("TIDEGAUGE_VERDICTS") != nullptr) {
    print(name, found);
  }
  const std::set<std::string> wanted = names_of(truth["verdicts"]);
  const std::set<std::string> allowed = names_of(truth["may"]);
  for (const auto& [number, verdict] : found.verdicts) {
    const std::string id(info_of(verdict.finding.id).name);
    EXPECT_TRUE(wanted.contains(id) || allowed.contains(id))
        << "false alarm: " << id << ": " << verdict.finding.sentence;
    EXPECT_GE(verdict.finding.confidence, 0);
    EXPECT_LE(verdict.finding.confidence, 1);
    EXPECT_FALSE(verdict.finding.sentence.empty());
    EXPECT_EQ(verdict.finding.sentence.find("unknown"), std::string::npos)
        << verdict.finding.sentence;
  }
  const double started = truth["program"] ? truth["program"]["started"].as<double>() : 0;
  for (const auto& one : truth["verdicts"]) {
    const std::string id = one["verdict"].as<std::string>();
    const bool is_culprit_told =
        std::any_of(found.verdicts.begin(), found.verdicts.end(), [&](const auto& v) {
          return info_of(v.second.finding.id).name == id && names_culprit(v.second.finding, one);
        });
    const auto at = std::find_if(found.verdicts.begin(), found.verdicts.end(), [&](const auto& v) {
      return info_of(v.second.finding.id).name == id;
    });
    if (at == found.verdicts.end() && one["known_miss"]) {
      std::cout << "KNOWN MISS: " << name << ": " << id << " "
                << one["known_miss"].as<std::string>() << "\n";
      continue;
    }
    if (at == found.verdicts.end()) {
      ADD_FAILURE() << "not found: " << id;
      continue;
    }
    EXPECT_TRUE(is_culprit_told) << id << " does not name its culprit";
    const Verdict& verdict = at->second;
    if (one["until"]) {  // it builds up: all that counts is that it is told before
      EXPECT_LT(seconds_of(verdict.detected_realtime_ns), one["until"].as<double>())
          << id << " came too late";
      continue;
    }
    // Where the condition needs time to be there, the truth says when it is.
    const char* const when = one["at"] ? "at" : "onset";
    const double onset = one[when] ? one[when].as<double>() : started;
    const double tolerance =
        one["onset_tolerance"] ? one["onset_tolerance"].as<double>() : kDetectionSeconds;
    if (one["known_miss"]) {  // it is found, but not as well as it should be
      std::cout << "KNOWN MISS: " << name << ": " << id << " "
                << one["known_miss"].as<std::string>() << "\n";
      continue;
    }
    const double delay = one["delay"] ? one["delay"].as<double>() : kDetectionSeconds;
    EXPECT_LE(seconds_of(verdict.detected_realtime_ns) -
                  std::max(onset, seconds_of(verdict.onset_realtime_ns)),
              delay)
        << id << " came late";
    EXPECT_GE(seconds_of(verdict.onset_realtime_ns) - onset, -kOnsetSeconds - 1)
        << id << " begins too early";
    EXPECT_LE(seconds_of(verdict.onset_realtime_ns) - onset, tolerance) << id << " begins too late";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Recordings, VerdictReplay, ::testing::ValuesIn(recordings()), [](const auto& one) {
      std::string out = one.param;
      std::replace_if(
          out.begin(), out.end(),
          [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
      return out;
    });

}  // namespace
}  // namespace tidegauge::heuristics
