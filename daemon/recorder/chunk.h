// SPDX-License-Identifier: Apache-2.0
#pragma once

// How chunks stand in a recording: a header of fixed size with its own checksum, then compressed bytes with
// theirs. docs/recording.md is the description; this is the only code that knows the layout.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "collectors/core/result.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace tidegauge::recording {

inline constexpr std::string_view kFileMagic = "TIDEREC1";
inline constexpr std::size_t kFileHeaderBytes = 16;
inline constexpr std::size_t kChunkHeaderBytes = 48;
inline constexpr std::size_t kMagicBytes = 4;  // with which a chunk begins
// A version that changes this cannot be read by builds of another.
inline constexpr std::uint16_t kFormatMajor = 1;
// What one adds is skipped by those that do not know it.
inline constexpr std::uint16_t kFormatMinor = 1;
// Larger ones are not written, and refused when read: what a hostile file can make us allocate.
inline constexpr std::size_t kMaxPlainBytes = std::size_t{16} << 20U;
inline constexpr std::size_t kMaxStoredBytes = kMaxPlainBytes + (std::size_t{1} << 16U);

enum class ChunkKind : std::uint8_t {
  kSnapshots = 1,  // a checkpoint, then Snapshots: see snapshot_encoder.h
  kRawFiles = 2,   // texts of kernel files at one moment: see raw_files.h
  kHistory = 4,    // what heuristics remembered where the next kSnapshots begins: opaque here
  kEnd = 3,        // nothing follows; without it a file is torn
};

// What the header says of a chunk.
struct ChunkInfo {
  ChunkKind kind = ChunkKind::kSnapshots;
  std::uint32_t count = 0;  // Snapshots or files in it
  // The least and the greatest of its times; where the clock was set back, not those of its first and last.
  std::int64_t first_realtime_ns = 0;
  std::int64_t last_realtime_ns = 0;
};

struct ChunkHeader {
  ChunkInfo info;
  std::uint8_t kind_byte = 0;      // of kinds that this build does not know, too
  std::uint32_t stored_bytes = 0;  // behind the header
  std::uint32_t plain_bytes = 0;
  std::uint32_t checksum = 0;  // of the stored bytes
};

std::string file_header();
// The error's `where` says what is wrong with it.
Result<void> check_file_header(std::string_view bytes);

// Of kChunkHeaderBytes.
Result<ChunkHeader> parse_chunk_header(std::string_view bytes);
// Whether the bytes may begin a chunk: for looking for the next one behind damage.
bool may_be_chunk(std::string_view bytes);
// Whether all of the stored bytes are there and have the header's checksum.
Result<void> check_stored(const ChunkHeader& header, std::string_view stored);
// Checks that and decompresses into `plain`, which becomes as large as the header says at most.
class ChunkDecompressor {
 public:
  ChunkDecompressor();
  Result<void> decompress(const ChunkHeader& header, std::string_view stored, std::string& plain);

 private:
  std::unique_ptr<ZSTD_DCtx_s, void (*)(ZSTD_DCtx_s*)> context_;
};

// Compresses a chunk while it grows, so that its plain bytes need not be kept. Not thread-safe.
class ChunkCompressor {
 public:
  // `level`: zstd's, 1 to 19.
  explicit ChunkCompressor(int level);

  void add(std::string_view plain);
  // Of the chunk so far.
  [[nodiscard]] std::size_t plain_bytes() const { return plain_bytes_; }
  // What is held for the chunk so far, compressor's own buffers not counted.
  [[nodiscard]] std::size_t stored_bytes() const { return out_.size(); }
  // The whole chunk, header and all, of exactly the memory it needs; begins the next one.
  std::string finish(const ChunkInfo& info);

 private:
  std::unique_ptr<ZSTD_CCtx_s, void (*)(ZSTD_CCtx_s*)> context_;
  std::string out_;
  std::size_t plain_bytes_ = 0;
};

}  // namespace tidegauge::recording
