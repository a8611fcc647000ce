// SPDX-License-Identifier: Apache-2.0
// Request targets and headers as clients send them.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daemon/exporter/http_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto target = tidegauge::parse_target(text)) {
    if (target->path.empty() || target->path.front() != '/' ||
        target->path.find('\0') != std::string::npos) {
      std::abort();
    }
  }
  static_cast<void>(tidegauge::accepts_gzip(text));
  return 0;
}
