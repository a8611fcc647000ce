// SPDX-License-Identifier: Apache-2.0
// Recordings from hostile hands. The first byte chooses what the rest is: a file as it is; the plain bytes of a chunk
// of Snapshots or of raw files, with sound headers and checksums around them; or a message after sound ones, which
// gets further than chance would. All of it is read and rendered, and rendered text must be lines that Prometheus can
// read one by one.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "collectors/core/text.h"
#include "collectors/registry.h"
#include "daemon/recorder/recording_reader.h"
#include "daemon/recorder/wire.h"
#include "daemon/replay/raw_text.h"
#include "daemon/replay/recorded_text.h"
#include "daemon/replay/sample_lines.h"

namespace {

using namespace tidegauge;             // NOLINT(google-build-using-namespace)
using namespace tidegauge::recording;  // NOLINT(google-build-using-namespace)

// Text that a small input blows up to is slow under the sanitizers and finds nothing new.
constexpr std::size_t kMaxText = std::size_t{4} << 20U;

[[noreturn]] void fail(const char* what, std::string_view text) {
  std::fprintf(stderr, "%s: %.*s\n", what,
               static_cast<int>(std::min<std::size_t>(text.size(), 200)), text.data());
  std::abort();
}

void message(std::string& out, Message type, std::string_view body) {
  ByteWriter writer(out);
  writer.byte(static_cast<std::uint8_t>(type));
  writer.text(body);
}

std::string chunk(ChunkKind kind, std::string_view plain) {
  static ChunkCompressor compressor(1);
  compressor.add(plain);
  return compressor.finish({.kind = kind, .count = 1});
}

std::string file_of(std::uint8_t mode, std::string_view bytes) {
  std::string out = file_header();
  switch (mode % 5) {
    case 0:
      return std::string(bytes);
    case 1:
      out += bytes;  // chunks, behind a sound header
      return out;
    case 2:
      out += chunk(ChunkKind::kSnapshots, bytes);
      break;
    case 3:
      out += chunk(ChunkKind::kRawFiles, bytes);
      break;
    case 4: {
      // One collector, and what follows is messages: a shape without base needs no more.
      std::string collectors;
      ByteWriter writer(collectors);
      writer.number(2);
      writer.text("loadavg");
      writer.text("unknown");
      std::string plain;
      message(plain, Message::kCollectors, collectors);
      plain += bytes;
      out += chunk(ChunkKind::kSnapshots, plain);
      out += chunk(ChunkKind::kSnapshots, bytes);
      break;
    }
    default:
      break;
  }
  return out + chunk(ChunkKind::kEnd, "");
}

void check_name(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9') ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:") !=
          std::string_view::npos) {
    fail("a bad name", name);
  }
}

void check_text(const std::string& text) {
  if (sanitize_label(text, text.size()) != text) {
    fail("not UTF-8", text);
  }
  replay::read_samples(
      text,
      [&](const replay::FamilyLines& family) {
        check_name(family.name);
        return true;
      },
      [&](std::string_view series, std::string_view value) {
        const replay::SeriesParts parts = replay::series_parts(series);
        check_name(parts.name);
        if (!parse_real(value)) {
          fail("a bad value", value);
        }
      });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  auto reader = RecordingReader::from_bytes(
      file_of(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1}));
  if (!reader) {
    return 0;
  }
  static_cast<void>(reader->summary());
  static_cast<void>(reader->check());
  replay::RecordedExposition exposition(all_collectors());
  std::size_t rendered = 0;
  std::size_t damages = 0;
  while (auto item = reader->next()) {
    if (auto* snapshot = std::get_if<SnapshotPtr>(&*item)) {
      if (rendered < kMaxText) {
        const auto text = exposition.body(*snapshot, true);
        check_text(*text);
        rendered += text->size();
      }
    } else if (auto* raw = std::get_if<RawFiles>(&*item)) {
      static_cast<void>(replay::raw_text(*raw));
    } else if (++damages > size + 2) {
      fail("more damage than bytes", std::get<Damage>(*item).what);
    }
  }
  return 0;
}
