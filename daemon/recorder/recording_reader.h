// SPDX-License-Identifier: Apache-2.0
#pragma once

// A recording read from a file, chunk by chunk. What is damaged is told with its place and passed over; what stands
// before and behind it is used. Memory: one chunk at a time.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "collectors/core/result.h"
#include "collectors/core/section.h"
#include "daemon/recorder/chunk.h"
#include "daemon/recorder/messages.h"
#include "daemon/recorder/raw_files.h"
#include "daemon/recorder/snapshot_decoder.h"

namespace tidegauge::recording {

// Some bytes of the file could not be used.
struct Damage {
  std::uint64_t offset = 0;  // in the file
  std::string what;          // "the checksum of a chunk is wrong"
};

// What is known of a file without decompressing it.
struct RecordingSummary {
  std::uint64_t snapshots = 0;
  std::int64_t first_realtime_ns = 0;
  std::int64_t last_realtime_ns = 0;
  std::uint64_t file_bytes = 0;
  bool is_complete = false;  // it ends as its writer meant it to
  std::uint64_t damages = 0;
};

// Not thread-safe.
class RecordingReader {
 public:
  using Item = std::variant<SnapshotPtr, RawFiles, Damage>;

  // Fails where it is no recording, or one of another major version.
  static Result<RecordingReader> open(const std::string& path);
  // For tests and fuzzing: `bytes` are the file.
  static Result<RecordingReader> from_bytes(std::string bytes);

  RecordingReader(RecordingReader&&) noexcept;
  RecordingReader& operator=(RecordingReader&&) noexcept;
  ~RecordingReader();

  // The next part in the order of the file; none at the end. A file without its end yields a Damage last.
  std::optional<Item> next();
  // With which the chunk of the last Snapshot began.
  [[nodiscard]] const Checkpoint& checkpoint() const;
  // What heuristics had remembered where the chunk of the last Snapshot began: opaque, of the first chunk only; "" where
  // there is none.
  [[nodiscard]] const std::string& history() const { return history_; }
  // Passes over whole chunks of Snapshots that end before this time (CLOCK_REALTIME). Before next().
  void skip_before(std::int64_t realtime_ns);
  // Back to the beginning.
  void rewind();

  // Reads all headers; leaves the place alone.
  [[nodiscard]] RecordingSummary summary() const { return summarize(false); }
  // Reads the whole file and compares checksums, too. A file whose end is missing is not damaged for that.
  [[nodiscard]] RecordingSummary check() const { return summarize(true); }

 private:
  class Source;
  explicit RecordingReader(std::unique_ptr<Source> source);

  struct Found {
    std::uint64_t offset = 0;
    ChunkHeader header;
  };
  // The chunk at `offset` or, with a Damage, the next one behind it.
  std::optional<Found> find_chunk(std::uint64_t offset, std::optional<Damage>& damage) const;
  std::optional<Item> read_chunk(const Found& chunk);
  [[nodiscard]] RecordingSummary summarize(bool check) const;

  std::unique_ptr<Source> source_;
  std::uint64_t offset_ = kFileHeaderBytes;
  std::int64_t skip_before_ns_ = INT64_MIN;
  bool saw_end_ = false;
  bool told_end_ = false;
  bool is_lost_ = false;  // behind a damaged chunk, whose length may be wrong, too
  std::optional<Found> pending_;
  std::string stored_;
  std::string plain_;
  ChunkDecompressor decompressor_;
  std::uint64_t chunk_offset_ = 0;
  std::optional<SnapshotDecoder> decoder_;
  Checkpoint checkpoint_;
  std::string next_history_;
  std::string history_;
};

}  // namespace tidegauge::recording
