// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/verdict_tables.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <string_view>
#include <utility>

namespace tidegauge::heuristics {

namespace {

enum StateColumn : std::uint8_t { kActive, kConfidence, kOnset, kOnsets };

struct Family {
  std::string_view name;
  std::string_view help;
  MetricKind kind;
};

constexpr std::array<Family, 4> kFamilies{{
    {"tidegauge_verdict_active", "Whether the verdict holds; there for every verdict, always.",
     MetricKind::kGauge},
    {"tidegauge_verdict_confidence",
     "How sure it is, 0 to 1, of the surest one of its instances; 0 while it does not hold.",
     MetricKind::kGauge},
    {"tidegauge_verdict_onset_timestamp_seconds",
     "Since when it holds, found backwards in the history; only while it does.",
     MetricKind::kGauge},
    {"tidegauge_verdict_onsets_total", "How often it began.", MetricKind::kCounter},
}};

constexpr std::string_view kInfo = "tidegauge_verdict_info";
constexpr std::string_view kInfoHelp =
    "Whom or what a verdict is about, while it holds; always 1. The first cause of each instance.";

std::vector<std::string> info_labels() {
  return {"verdict",   "subject", "pid",       "comm",   "thread", "group", "unit",
          "container", "file",    "directory", "device", "zone",   "cpu",   "cgroup"};
}

std::vector<ColumnInfo> state_columns() {
  std::vector<ColumnInfo> out;
  for (const Family& family : kFamilies) {
    ColumnInfo info;
    info.family = family.name;
    info.help = family.help;
    info.kind = family.kind;
    out.push_back(std::move(info));
  }
  out[kConfidence].type = NumberType::kReal;
  out[kOnset].scale = kMilliseconds;
  return out;
}

}  // namespace

VerdictTables::VerdictTables()
    : states_({"verdict", "severity"}, state_columns()),
      info_(std::string(kInfo), std::string(kInfoHelp), MetricKind::kGauge, info_labels()) {}

void VerdictTables::append(const Conditions& conditions, Section& out) {
  constexpr std::int64_t kNsPerMillisecond = 1'000'000;
  const std::vector<const Verdict*> active = conditions.active();
  states_.begin();
  for (const VerdictInfo& info : all_verdicts()) {
    double confidence = 0;
    const Verdict* first = nullptr;
    for (const Verdict* verdict : active) {
      if (verdict->finding.id == info.id) {
        confidence = std::max(confidence, verdict->finding.confidence);
        if (first == nullptr || verdict->onset_realtime_ns < first->onset_realtime_ns) {
          first = verdict;
        }
      }
    }
    states_.row({info.name, severity_name(info.severity)});
    states_.set(kActive, first != nullptr ? 1 : 0);
    states_.set(kConfidence, std::bit_cast<std::uint64_t>(confidence));
    if (first != nullptr) {
      states_.set(kOnset, static_cast<std::uint64_t>(std::max<std::int64_t>(
                              first->onset_realtime_ns / kNsPerMillisecond, 0)));
    }
    states_.set(kOnsets, conditions.onsets(info.id));
  }
  out.tables.push_back(states_.take());
  info_.begin();
  for (std::size_t i = 0; i < std::min(active.size(), kMaxInfos); ++i) {
    const Finding& finding = active[i]->finding;
    const Party subject = finding.causes.empty() ? Party{} : finding.causes.front();
    info_.add({info_of(finding.id).name, finding.instance, subject.pid, subject.comm,
               subject.thread, subject.group, subject.unit, subject.container, subject.file,
               subject.directory, subject.device, subject.zone, subject.cpu, subject.cgroup},
              1);
  }
  out.tables.push_back(info_.take());
}

std::vector<MetricDoc> verdict_metrics() {
  std::vector<MetricDoc> out;
  out.reserve(kFamilies.size() + 1);
  for (const Family& family : kFamilies) {
    out.push_back(
        {std::string(family.name), family.kind, {"verdict", "severity"}, std::string(family.help)});
  }
  out.push_back({std::string(kInfo), MetricKind::kGauge, info_labels(), std::string(kInfoHelp)});
  return out;
}

}  // namespace tidegauge::heuristics
