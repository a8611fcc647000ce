// SPDX-License-Identifier: Apache-2.0
#pragma once

// The last minutes, compressed, in memory: whole chunks, bounded by time and by bytes. Pure but for memory: no
// clock, no files.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collectors/core/section.h"
#include "daemon/recorder/chunk.h"
#include "daemon/recorder/messages.h"
#include "daemon/recorder/snapshot_encoder.h"

namespace tidegauge::recording {

struct RingOptions {
  std::int64_t window_ns = 900'000'000'000;
  // Of the chunks, the one that grows included; the compressor's own memory of less than 1 MiB is not counted.
  std::size_t max_bytes = std::size_t{8} << 20U;
  // A chunk grows no longer than that, nor larger than a 16th of `max_bytes`.
  std::int64_t chunk_ns = 60'000'000'000;
  int level = 1;  // of zstd; 3 made chunks 5 % smaller
};

// As it is written to a file.
struct Chunk {
  ChunkInfo info;
  std::string bytes;
  std::int64_t first_boottime_ns = 0;
  std::int64_t last_boottime_ns = 0;
};
using ChunkPtr = std::shared_ptr<const Chunk>;

struct RingStats {
  std::size_t bytes = 0;
  std::size_t chunks = 0;       // sealed ones
  std::int64_t window_ns = 0;   // from its oldest Snapshot to its newest
  std::uint64_t snapshots = 0;  // in it
  // Since the start:
  std::uint64_t recorded = 0;
  std::uint64_t plain_bytes = 0;
  std::uint64_t compressed_bytes = 0;  // of sealed chunks
  std::uint64_t evicted_early = 0;     // Snapshots that bytes and not time drove out
  // Of files' limits: parts of Snapshots, and whole ones.
  std::uint64_t sections_left_out = 0;
  std::uint64_t snapshots_left_out = 0;
};

// Not thread-safe.
class Ring {
 public:
  // `checkpoint` tells with what a chunk begins that begins now.
  Ring(RingOptions options, std::function<Checkpoint()> checkpoint);

  // Returns the chunk that this one did not fit into any more, if there was one.
  ChunkPtr add(const SnapshotPtr& snapshot);
  // Ends the chunk that grows, so that all is in chunks; returns it, null when it is empty.
  ChunkPtr seal();
  // Oldest first, sealed ones only.
  [[nodiscard]] std::vector<ChunkPtr> chunks() const { return {chunks_.begin(), chunks_.end()}; }
  [[nodiscard]] RingStats stats() const;

 private:
  [[nodiscard]] bool put(const SnapshotPtr& snapshot);
  void evict(std::int64_t now_boottime_ns);
  [[nodiscard]] bool is_chunk_full(const Snapshot& next) const;

  RingOptions options_;
  std::function<Checkpoint()> checkpoint_;
  SnapshotEncoder encoder_;
  ChunkCompressor compressor_;
  std::string plain_;  // scratch
  Chunk open_;         // but for its bytes
  std::deque<ChunkPtr> chunks_;
  std::size_t sealed_bytes_ = 0;
  RingStats stats_;
};

}  // namespace tidegauge::recording
