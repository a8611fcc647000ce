// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/raw_text.h"

#include "daemon/commands/terminal_text.h"
#include "daemon/replay/recording_walk.h"

namespace tidegauge::replay {

namespace {

constexpr std::size_t kHeadingColumns = 1024;

}  // namespace

std::string raw_text(const recording::RawFiles& files) {
  std::string out;
  for (const auto& [path, text] : files.files) {
    out.append("==> ").append(printable(path, kHeadingColumns, Charset::kAscii)).append(" (");
    out.append(printable(files.moment, kHeadingColumns, Charset::kAscii)).append(", ");
    out.append(time_text(files.realtime_ns)).append(") <==\n").append(text);
    out.append(text.empty() || text.back() == '\n' ? "\n" : "\n\n");
  }
  return out;
}

}  // namespace tidegauge::replay
