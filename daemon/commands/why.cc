// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/why.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "daemon/commands/daemon_client.h"
#include "daemon/commands/recording_command.h"
#include "daemon/commands/why_text.h"
#include "daemon/config/load.h"
#include "daemon/heuristics/utc_text.h"
#include "daemon/heuristics/verdict_json.h"
#include "daemon/replay/found_verdicts.h"
#include "daemon/replay/replay_heuristics.h"

namespace tidegauge {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kCannotSay = 2;

int print(const Json& report, const WhyOptions& options) {
  StandardOutput output;
  const bool is_text = !options.json;
  output.write(is_text ? why_text(report, options.all, use_environments_charset())
                       : heuristics::json_text(report));
  return output.finish() != 0 ? kCannotSay : why_exit_code(report);
}

// ---- a daemon's ----

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

int ask(const CommandLine& command_line, CollectorRegistry registry) {
  const auto config = load_config(command_line, registry);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return kCannotSay;
  }
  std::optional<DaemonAnswer> answer;
  for (const std::string& address : config->listen_addresses) {
    answer = answer ? answer : ask_daemon(address, "GET", "/api/v1/verdicts");
  }
  if (!answer) {
    complain_of_recording(
        "no daemon answers at web.listen_address; is it running? systemctl status tidegauge");
    return kCannotSay;
  }
  if (answer->status != 200) {
    complain_of_recording("the daemon cannot say (HTTP " + std::to_string(answer->status) +
                          "): " + first_line(answer->body));
    return kCannotSay;
  }
  const Json report = Json::parse(answer->body, nullptr, false);
  if (!is_why_report(report)) {
    complain_of_recording("the daemon's answer is not understood: is it of another version?");
    return kCannotSay;
  }
  return print(report, command_line.options.why);
}

// ---- a recording's ----

constexpr std::size_t kMaxFoundBytes = std::size_t{32} << 20U;

Json recording_json(const RecordingOptions& options, const replay::RecordingWalk& walk,
                    const replay::FoundVerdicts& found, const heuristics::Report& report,
                    std::int64_t first_realtime_ns) {
  Json out = heuristics::report_frame(report);
  std::vector<const heuristics::Verdict*> verdicts;
  heuristics::Severity worst = heuristics::Severity::kInfo;
  for (const heuristics::Verdict& verdict : found.found()) {
    verdicts.push_back(&verdict);
    worst = std::max(worst, verdict.severity);
  }
  out["severity"] = verdicts.empty() ? "ok" : heuristics::severity_name(worst);
  out["recording"] = options.file;
  out["from"] = utc_text(first_realtime_ns);
  out["to"] = utc_text(report.realtime_ns);
  out["snapshots"] = walk.snapshots();
  out["damages"] = walk.damages();
  std::size_t bytes = kMaxFoundBytes;
  out["found"] = heuristics::verdicts_json(verdicts, bytes);
  out["left_out"] = found.left_out() + verdicts.size() - out["found"].size();
  return out;
}

int look_at_recording(const CommandLine& command_line) {
  const RecordingOptions& options = command_line.options.recording;
  auto walk = open_recording(options);
  if (!walk) {
    return kCannotSay;
  }
  replay::ReplayHeuristics heuristics;
  heuristics.warm_up(options.file, *walk);
  replay::FoundVerdicts found;
  std::int64_t first_realtime_ns = 0;
  while (const SnapshotPtr snapshot = walk->next()) {
    first_realtime_ns = walk->snapshots() == 1 ? snapshot->realtime_ns : first_realtime_ns;
    heuristics.apply(snapshot, walk->checkpoint(), walk->history());
    found.look(*heuristics.report());
  }
  if (walk->snapshots() == 0) {
    complain_of_recording(options.file + ": nothing in it can be looked at");
    return kCannotSay;
  }
  return print(recording_json(options, *walk, found, *heuristics.report(), first_realtime_ns),
               command_line.options.why);
}

}  // namespace

int why(const CommandLine& command_line, CollectorRegistry registry) {
  const std::string& file = command_line.options.recording.file;
  if (file.empty()) {
    return ask(command_line, registry);
  }
  int code = kCannotSay;  // stays where an exception ends it
  with_recording(file, [&] { return code = look_at_recording(command_line); });
  return code;
}

}  // namespace tidegauge
