// SPDX-License-Identifier: Apache-2.0
#pragma once

// Asks the daemon that runs on this host, for commands.

#include <optional>
#include <string>
#include <string_view>

namespace tidegauge {

struct DaemonAnswer {
  int status = 0;
  std::string body;  // 1 MiB at most
};

// `address` as in web.listen_address; `target` a path with its query. Nothing when nobody answers HTTP there
// within two seconds.
std::optional<DaemonAnswer> ask_daemon(const std::string& address, std::string_view method,
                                       std::string_view target);

}  // namespace tidegauge
