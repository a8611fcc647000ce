// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/verdict_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "collectors/core/text.h"
#include "daemon/heuristics/utc_text.h"

namespace tidegauge::heuristics {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxNameBytes = 256;
constexpr std::size_t kMaxSentenceBytes = 1024;
// Of each list of a verdict.
constexpr std::size_t kMaxItems = 24;
constexpr double kNsPerSecond = 1e9;

Json name_json(std::string_view text) { return sanitize_label(text, kMaxNameBytes); }
Json sentence_json(std::string_view text) { return sanitize_label(text, kMaxSentenceBytes); }

// JSON has neither NaN nor infinity.
Json number_json(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

double seconds_of(std::int64_t ns) { return static_cast<double>(ns) / kNsPerSecond; }

// To the millisecond, so that the digits are those of the text beside it.
double unix_seconds(std::int64_t realtime_ns) {
  constexpr std::int64_t kNsPerMillisecond = 1'000'000;
  return static_cast<double>(realtime_ns / kNsPerMillisecond) / 1000;
}

void add_time(Json& out, const std::string& name, std::int64_t realtime_ns) {
  out[name] = utc_text(realtime_ns);
  out[name + "_seconds"] = unix_seconds(realtime_ns);
}

template <class T, class ToJson>
Json list_json(const std::vector<T>& list, ToJson to_json) {
  Json out = Json::array();
  for (std::size_t i = 0; i < std::min(list.size(), kMaxItems); ++i) {
    out.push_back(to_json(list[i]));
  }
  return out;
}

Json party_json(const Party& party) {
  Json out;
  out["text"] = sentence_json(party.text());
  const std::pair<const char*, const std::string*> names[] = {
      {"pid", &party.pid},       {"comm", &party.comm},
      {"thread", &party.thread}, {"group", &party.group},
      {"unit", &party.unit},     {"container", &party.container},
      {"file", &party.file},     {"directory", &party.directory},
      {"device", &party.device}, {"zone", &party.zone},
      {"cpu", &party.cpu},       {"cgroup", &party.cgroup},
  };
  for (const auto& [key, value] : names) {
    if (!value->empty()) {
      out[key] = name_json(*value);
    }
  }
  if (party.share) {
    out["share"] = number_json(*party.share);
  }
  if (!party.doing.empty()) {
    out["doing"] = sentence_json(party.doing);
  }
  return out;
}

Json evidence_json(const Evidence& evidence) {
  Json out;
  out["what"] = name_json(evidence.what);
  out["value"] = number_json(evidence.value);
  out["unit"] = unit_name(evidence.unit);
  out["text"] = format_figure(evidence.value, evidence.unit);
  out["threshold"] = evidence.threshold ? number_json(*evidence.threshold) : Json(nullptr);
  if (evidence.threshold) {
    out["threshold_text"] = format_figure(*evidence.threshold, evidence.unit);
  }
  out["source"] = name_json(evidence.source);
  return out;
}

// Boot time as time of day, as the clocks stood when the verdict was found.
std::int64_t realtime_of(const Verdict& verdict, std::int64_t boottime_ns) {
  return verdict.detected_realtime_ns - (verdict.detected_boottime_ns - boottime_ns);
}

Json timeline_json(const Verdict& verdict) {
  return list_json(verdict.finding.timeline, [&](const Moment& moment) {
    Json out;
    add_time(out, "time", realtime_of(verdict, moment.boottime_ns));
    out["offset_seconds"] = seconds_of(moment.boottime_ns - verdict.finding.onset_ns);
    out["what"] = name_json(moment.what);
    return out;
  });
}

// What it is and since when.
Json head_json(const Verdict& verdict) {
  const Finding& finding = verdict.finding;
  const VerdictInfo& info = info_of(finding.id);
  Json out;
  out["verdict"] = info.name;
  out["title"] = info.title;
  out["instance"] = name_json(finding.instance);
  out["number"] = verdict.number;
  out["is_active"] = verdict.is_active();
  out["severity"] = severity_name(verdict.severity);
  out["confidence"] = number_json(finding.confidence);
  add_time(out, "onset", verdict.onset_realtime_ns);
  out["onset_resolution_seconds"] = number_json(finding.onset_resolution_seconds);
  add_time(out, "detected", verdict.detected_realtime_ns);
  out["detection_delay_seconds"] = seconds_of(verdict.detected_boottime_ns - finding.onset_ns);
  if (!verdict.is_active()) {
    add_time(out, "ended", verdict.ended_realtime_ns);
    out["lasted_seconds"] = seconds_of(verdict.ended_boottime_ns - finding.onset_ns);
  }
  out["sentence"] = sentence_json(finding.sentence);
  return out;
}

// The worst of those that are active; "ok" without any.
std::string_view severity_of(const std::vector<Verdict>& active) {
  const auto worst =
      std::max_element(active.begin(), active.end(),
                       [](const Verdict& a, const Verdict& b) { return a.severity < b.severity; });
  return worst == active.end() ? "ok" : severity_name(worst->severity);
}

}  // namespace

Json verdict_json(const Verdict& verdict) {
  const Finding& finding = verdict.finding;
  Json out = head_json(verdict);
  out["causes"] = list_json(finding.causes, party_json);
  out["victims"] = list_json(finding.victims, party_json);
  out["evidence"] = list_json(finding.evidence, evidence_json);
  out["ruled_out"] = list_json(finding.ruled_out, [](const RuledOut& one) {
    return Json{{"alternative", name_json(one.alternative)},
                {"because", sentence_json(one.because)}};
  });
  out["unchecked"] = list_json(finding.unchecked, sentence_json);
  out["timeline"] = timeline_json(verdict);
  out["next_steps"] = list_json(finding.next_steps, sentence_json);
  return out;
}

Json verdicts_json(const std::vector<const Verdict*>& verdicts, std::size_t& bytes) {
  Json out = Json::array();
  for (const Verdict* verdict : verdicts) {
    Json one = verdict_json(*verdict);
    std::size_t size = json_text(one).size();
    if (size > bytes / 2) {  // others want to be named, too
      one = head_json(*verdict);
      one["is_short"] = true;
      size = json_text(one).size();
    }
    if (size > bytes) {
      break;
    }
    bytes -= size;
    out.push_back(std::move(one));
  }
  return out;
}

Json report_frame(const Report& report) {
  Json out;
  add_time(out, "time", report.realtime_ns);
  out["host"] = name_json(report.host);
  out["kernel"] = name_json(report.kernel);
  out["severity"] = severity_of(report.active);
  out["headroom"] = list_json(report.headroom, evidence_json);
  out["unchecked"] = list_json(report.unchecked, sentence_json);
  return out;
}

Json report_json(const Report& report) {
  Json out = report_frame(report);
  std::size_t bytes = kMaxReportBytes;
  std::vector<const Verdict*> active;
  for (const Verdict& verdict : report.active) {
    active.push_back(&verdict);
  }
  std::vector<const Verdict*> recent;
  for (auto at = report.recent.rbegin(); at != report.recent.rend(); ++at) {
    recent.push_back(at->get());
  }
  out["active"] = verdicts_json(active, bytes);
  out["recent"] = verdicts_json(recent, bytes);
  return out;
}

std::string json_text(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace tidegauge::heuristics
