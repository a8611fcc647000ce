// SPDX-License-Identifier: Apache-2.0
// make_recording FILE SECONDS INTERVAL_MS [CHUNK_MS [NAME...]]: records this machine with the real collectors (or
// those named), for tests of what reads recordings. Copies of two kernel files and the end chunk are in it.
// make_recording --seeds FILE DIRECTORY: a recording as inputs of tests/fuzz/recording_fuzz.cc.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "collectors/registry.h"
#include "daemon/config/load.h"
#include "daemon/heuristics/assess.h"
#include "daemon/recorder/raw_files.h"
#include "daemon/recorder/ring.h"
#include "daemon/scheduler/clock.h"
#include "daemon/scheduler/scheduler.h"
#include "daemon/service/collector_set.h"

namespace {

using namespace tidegauge;  // NOLINT(google-build-using-namespace): a program of a test

int number(const char* text) {
  int value = 0;
  std::from_chars(text, text + std::strlen(text), value);
  return value;
}

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string raw_chunk(std::int64_t realtime_ns) {
  recording::RawFiles raw{"onset", realtime_ns, {}};
  for (const char* path : {"/proc/meminfo", "/proc/vmstat"}) {
    raw.files.emplace_back(path, read(path));
  }
  raw.files.emplace_back("/proc/hostile", "a\x1b[31mred\x07\xff\n");
  recording::ChunkCompressor compressor(1);
  compressor.add(encode(raw));
  return compressor.finish({.kind = recording::ChunkKind::kRawFiles,
                            .count = 1,
                            .first_realtime_ns = realtime_ns,
                            .last_realtime_ns = realtime_ns});
}

int record(const std::string& path, std::chrono::milliseconds length, int interval_ms, int chunk_ms,
           const std::vector<std::string>& names) {
  CommandLine line;
  line.config_file = "";
  line.flags.push_back({"tick", {std::to_string(interval_ms) + "ms"}});
  const auto config = load_config(line, all_collectors());
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return 2;
  }
  auto collectors = make_collectors(*config, names);
  if (!collectors) {
    std::fprintf(stderr, "%s\n", collectors.error().message.c_str());
    return 2;
  }
  std::mutex mutex;
  recording::RingOptions options;
  options.max_bytes = std::size_t{1} << 30U;
  options.window_ns = INT64_MAX / 2;
  options.chunk_ns = std::int64_t{chunk_ms} * 1'000'000;
  recording::Ring ring(options, [] { return recording::Checkpoint{{"test", "1"}}; });
  static SystemClock clock;
  Scheduler scheduler(scheduler_options(*config), std::move(*collectors), clock,
                      [](std::string_view, const Error*) {});
  heuristics::Heuristics heuristics;
  scheduler.set_derived(heuristics::Heuristics::kName, [&heuristics](const Snapshot& snapshot) {
    return heuristics.update(snapshot);
  });
  std::int64_t last_ns = 0;
  scheduler.on_snapshot([&](const SnapshotPtr& snapshot) {
    const std::lock_guard lock(mutex);
    ring.add(snapshot);
    last_ns = snapshot->realtime_ns;
  });
  scheduler.start(0);
  const auto end = std::chrono::steady_clock::now() + length;
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    scheduler.supervise();
  }
  const bool ended = scheduler.stop();
  {
    const std::lock_guard lock(mutex);
    ring.seal();
    std::ofstream out(path, std::ios::binary);
    out << recording::file_header();
    for (const auto& chunk : ring.chunks()) {
      out << chunk->bytes;
    }
    out << raw_chunk(last_ns)
        << recording::ChunkCompressor(1).finish({.kind = recording::ChunkKind::kEnd});
    std::printf("%llu snapshots\n", static_cast<unsigned long long>(ring.stats().snapshots));
    out.flush();
    if (!out) {
      std::fprintf(stderr, "%s: cannot be written\n", path.c_str());
      return 1;
    }
  }
  std::fflush(stdout);
  if (!ended) {
    std::quick_exit(0);
  }
  return 0;
}

// The whole file, and the plain bytes of each chunk; the first byte is the fuzzer's mode.
int write_seeds(const std::string& path, const std::string& directory) {
  const std::string bytes = read(path);
  int number_of = 0;
  const auto write = [&](char mode, const std::string& text) {
    std::ofstream out(directory + "/seed-" + std::to_string(number_of++), std::ios::binary);
    out << mode << text;
  };
  write(0, bytes);
  recording::ChunkDecompressor decompressor;
  std::string plain;
  for (std::size_t at = recording::kFileHeaderBytes; at < bytes.size();) {
    const auto header = recording::parse_chunk_header(
        std::string_view(bytes).substr(at, recording::kChunkHeaderBytes));
    if (!header) {
      return 1;
    }
    at += recording::kChunkHeaderBytes;
    if (!decompressor.decompress(*header, std::string_view(bytes).substr(at, header->stored_bytes),
                                 plain)) {
      return 1;
    }
    at += header->stored_bytes;
    if (header->info.kind != recording::ChunkKind::kEnd) {
      write(header->info.kind == recording::ChunkKind::kSnapshots ? 2 : 3, plain);
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "--seeds") == 0) {
    return write_seeds(argv[2], argv[3]);
  }
  if (argc < 4) {
    std::fprintf(stderr, "usage: make_recording FILE SECONDS INTERVAL_MS [CHUNK_MS [NAME...]]\n");
    return 2;
  }
  return record(argv[1], std::chrono::seconds(number(argv[2])), number(argv[3]),
                argc > 4 ? number(argv[4]) : 3000, {argv + std::min(argc, 5), argv + argc});
}
