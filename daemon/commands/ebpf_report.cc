// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/ebpf_report.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "daemon/commands/terminal_text.h"
#include "daemon/config/load.h"
#include "daemon/scheduler/clock.h"
#include "daemon/service/collector_set.h"
#include "daemon/service/ebpf_json.h"

namespace tidegauge {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxAnswerBytes = 1U << 20U;

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

// "host:port", "[v6]:port", ":port"; nothing for a socket of another kind.
std::unique_ptr<addrinfo, FreeAddresses> resolve(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos || address.starts_with('/') || address.starts_with("unix:")) {
    return nullptr;
  }
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[') {
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty() || host == "0.0.0.0" || host == "*") {
    host = "127.0.0.1";
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &list) != 0) {
    return nullptr;
  }
  return std::unique_ptr<addrinfo, FreeAddresses>(list);
}

// Of the daemon; nothing when none answers with what this command understands.
std::optional<std::string> fetch(const std::string& address) {
  const auto target = resolve(address);
  if (target == nullptr) {
    return std::nullopt;
  }
  const int fd = ::socket(target->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return std::nullopt;
  }
  const timeval limit{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  const std::string request =
      "GET /api/v1/ebpf HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n\r\n";
  std::string answer;
  if (::connect(fd, target->ai_addr, target->ai_addrlen) == 0 &&
      ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(request.size())) {
    std::array<char, 16384> part{};
    ssize_t got = 0;
    while (answer.size() < kMaxAnswerBytes && (got = ::read(fd, part.data(), part.size())) > 0) {
      answer.append(part.data(), static_cast<std::size_t>(got));
    }
  }
  ::close(fd);
  const auto body = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.1 200") || body == std::string::npos) {
    return std::nullopt;
  }
  return answer.substr(body + 4);
}

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
    json = json ? json : fetch(address);
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
