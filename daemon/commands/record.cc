// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/record.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "daemon/commands/daemon_client.h"
#include "daemon/config/load.h"

namespace tidegauge {

int record(const CommandLine& command_line, CollectorRegistry registry) {
  const auto config = load_config(command_line, registry);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return 2;
  }
  std::optional<DaemonAnswer> answer;
  for (const std::string& address : config->listen_addresses) {
    answer = answer ? answer : ask_daemon(address, "POST", "/api/v1/record?reason=command");
  }
  if (!answer) {
    std::fprintf(stderr,
                 "tidegauge: no daemon answers at web.listen_address; SIGUSR2 asks it, too: "
                 "systemctl kill -s USR2 tidegauge\n");
    return 1;
  }
  const auto body = nlohmann::json::parse(answer->body, nullptr, false);
  const auto text = [&](const char* key) {
    const auto at = body.is_object() ? body.find(key) : body.end();
    return body.is_object() && at != body.end() && at->is_string() ? at->get<std::string>()
                                                                   : std::string();
  };
  if (answer->status != 202 || text("file").empty()) {
    const std::string why = text("error").empty() ? answer->body : text("error");
    std::fprintf(stderr, "tidegauge: the daemon refuses (HTTP %d): %s\n", answer->status,
                 why.substr(0, why.find('\n')).c_str());
    return 1;
  }
  const double after_s = static_cast<double>(config->recorder.after_ns) / 1e9;
  std::printf("%s/%s\n", config->recorder.directory.c_str(), text("file").c_str());
  std::fprintf(stderr, "recorded for %g s more, then the file is complete\n", after_s);
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace tidegauge
