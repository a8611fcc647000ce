// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/raw_text.h"

#include <cstdint>
#include <limits>
#include <string_view>

#include "collectors/core/text.h"
#include "daemon/replay/recording_walk.h"

namespace tidegauge::replay {

namespace {

// C1 controls are two bytes in UTF-8; the others that a terminal obeys are below a blank, or DEL.
std::string harmless(std::string_view raw, bool keeps_lines) {
  std::string out = sanitize_label(raw, std::numeric_limits<std::size_t>::max());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto c = static_cast<unsigned char>(out[i]);
    const bool kept = keeps_lines && (c == '\n' || c == '\t');
    if ((c < 0x20 && !kept) || c == 0x7F) {
      out[i] = '?';
    } else if (c == 0xC2 && i + 1 < out.size() && static_cast<unsigned char>(out[i + 1]) < 0xA0) {
      out[i] = out[i + 1] = '?';
    }
  }
  return out;
}

}  // namespace

std::string raw_text(const recording::RawFiles& files, bool for_terminal) {
  std::string out;
  for (const auto& [path, text] : files.files) {
    out.append("==> ").append(harmless(path, false)).append(" (");
    out.append(harmless(files.moment, false)).append(", ");
    out.append(time_text(files.realtime_ns)).append(") <==\n");
    out.append(for_terminal ? harmless(text, true) : text);
    out.append(text.empty() || text.back() == '\n' ? "\n" : "\n\n");
  }
  return out;
}

}  // namespace tidegauge::replay
