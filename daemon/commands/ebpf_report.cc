// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/ebpf_report.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/commands/daemon_client.h"
#include "daemon/commands/terminal_text.h"
#include "daemon/config/load.h"
#include "daemon/scheduler/clock.h"
#include "daemon/service/collector_set.h"
#include "daemon/service/ebpf_json.h"

namespace tidegauge {

namespace {

using Json = nlohmann::json;

bool uses_ebpf(std::string_view collector) {
  return collector.starts_with("ebpf") || collector == "process";
}

// The collectors that load programs, run twice a second apart.
std::optional<std::string> try_here(const Config& config) {
  auto collectors = make_collectors(config);
  if (!collectors) {
    std::fprintf(stderr, "%s\n", collectors.error().message.c_str());
    return std::nullopt;
  }
  const SystemClock clock;
  ReadBuffer buffer;
  for (int pass = 0; pass < 2; ++pass) {
    for (ScheduledCollector& scheduled : *collectors) {
      if (!uses_ebpf(scheduled.info->name)) {
        continue;
      }
      CollectContext context{.realtime_ns = clock.realtime_ns(),
                             .boottime_ns = clock.boottime_ns(),
                             .buffer = &buffer};
      Section section;
      if (auto done = scheduled.collector->collect(context, section); !done) {
        std::fprintf(stderr, "%s: %s\n", std::string(scheduled.info->name).c_str(),
                     done.error().message().c_str());
      }
    }
    if (pass == 0) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  }
  return ebpf_json();
}

}  // namespace

std::string ebpf_table(std::string_view json) {
  const Json all = Json::parse(json, nullptr, false);
  if (all.is_discarded() || !all.is_object() || !all.contains("features") ||
      !all.contains("programs")) {
    return {};
  }
  const auto cell = [](const Json& row, const char* key, std::size_t columns) {
    return left_aligned(row.value(key, ""), columns, Charset::kAscii) + " ";
  };
  std::string out;
  if (const std::string refused = all.value("refused", ""); !refused.empty()) {
    out += "No BPF programs: " + printable(refused, 200, Charset::kAscii) + "\n";
  }
  out += "FEATURE           TIER       WHY NOT A BETTER ONE\n";
  for (const Json& row : all["features"]) {
    out += cell(row, "feature", 17) + cell(row, "tier", 10) +
           printable(row.value("reason", ""), 200, Charset::kAscii) + "\n";
  }
  out += "\nPROGRAM                     FEATURE           TIER       STATE       RUNS NS/RUN\n";
  std::vector<const Json*> shown;
  for (const Json& row : all["programs"]) {
    if (row.value("state", "") != "missing") {
      shown.push_back(&row);
    }
  }
  std::stable_sort(shown.begin(), shown.end(), [](const Json* a, const Json* b) {
    return a->value("run_seconds", 0.0) > b->value("run_seconds", 0.0);
  });
  for (const Json* row : shown) {
    const double runs = row->value("runs", 0.0);
    std::array<char, 16> each{"-"};
    if (runs > 0) {
      std::snprintf(each.data(), each.size(), "%.0f", row->value("run_seconds", 0.0) / runs * 1e9);
    }
    out += cell(*row, "program", 27) + cell(*row, "feature", 17) + cell(*row, "tier", 10) +
           cell(*row, "state", 8) + right_aligned(human(runs, 1000), 7) + " " +
           right_aligned(each.data(), 6) + "\n";
  }
  std::set<std::string> off;
  for (const Json& row : all["features"]) {
    if (row.value("tier", "") == "off") {
      off.insert(row.value("feature", ""));
    }
  }
  for (const Json& row : all["programs"]) {
    const std::string state = row.value("state", "");
    const std::string reason = row.value("reason", "");
    if (!reason.empty() && (state != "missing" || off.contains(row.value("feature", "")))) {
      out += "  " + printable(row.value("program", ""), 40, Charset::kAscii) + ": " +
             printable(reason, 200, Charset::kAscii) + "\n";
    }
  }
  return out;
}

int ebpf_report(const CommandLine& command_line, CollectorRegistry registry) {
  const auto config = load_config(command_line, registry);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return 2;
  }
  std::optional<std::string> json;
  for (const std::string& address : config->listen_addresses) {
    if (json) {
      break;
    }
    if (auto answer = ask_daemon(address, "GET", "/api/v1/ebpf"); answer && answer->status == 200) {
      json = std::move(answer->body);
    }
  }
  if (!json || ebpf_table(*json).empty()) {
    std::fprintf(stderr, "no daemon answers; tried here for a second:\n");
    json = try_here(*config);
  }
  if (!json) {
    return 1;
  }
  const std::string text = command_line.options.ebpf_json ? *json : ebpf_table(*json);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace tidegauge
