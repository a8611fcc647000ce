// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/chunk.h"

#include <libdeflate.h>
#include <zstd.h>

#include <array>
#include <new>
#include <utility>

namespace tidegauge::recording {

namespace {

constexpr std::uint32_t kChunkMagic = 0x4B434754;  // "TGCK"
constexpr std::uint8_t kZstd = 1;
// 128 KiB of history: some twenty ticks' differences. Larger ones cost the recorder memory and gain little.
constexpr int kWindowLog = 17;

std::uint32_t checksum(std::string_view bytes) {
  return ::libdeflate_crc32(0, bytes.data(), bytes.size());
}

// Little-endian, whatever the machine.
void put(std::string& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) {
    out.push_back(static_cast<char>(value >> (8U * i)));
  }
}

std::uint64_t get(std::string_view bytes, std::size_t at, unsigned size) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8U * i);
  }
  return value;
}

tl::unexpected<Error> bad(std::string what) {
  return tl::make_unexpected(Error{ErrorKind::kMalformed, 0, std::move(what)});
}

}  // namespace

std::string file_header() {
  std::string out(kFileMagic);
  put(out, kFormatMajor, 2);
  put(out, kFormatMinor, 2);
  put(out, checksum(out), 4);
  return out;
}

Result<void> check_file_header(std::string_view bytes) {
  if (bytes.size() < kFileHeaderBytes || !bytes.starts_with(kFileMagic)) {
    return bad("not a recording of Tidegauge");
  }
  if (get(bytes, 12, 4) != checksum(bytes.substr(0, 12))) {
    return bad("the checksum of the file's header is wrong");
  }
  if (const auto major = get(bytes, 8, 2); major != kFormatMajor) {
    return bad("recorded in format " + std::to_string(major) + ", this build reads " +
               std::to_string(kFormatMajor));
  }
  return {};
}

bool may_be_chunk(std::string_view bytes) {
  return bytes.size() >= 4 && get(bytes, 0, 4) == kChunkMagic;
}

Result<ChunkHeader> parse_chunk_header(std::string_view bytes) {
  if (bytes.size() < kChunkHeaderBytes) {
    return bad("the file ends within the header of a chunk");
  }
  if (!may_be_chunk(bytes)) {
    return bad("no chunk begins here");
  }
  if (get(bytes, 44, 4) != checksum(bytes.substr(0, 44))) {
    return bad("the checksum of a chunk's header is wrong");
  }
  ChunkHeader out;
  out.kind_byte = static_cast<std::uint8_t>(bytes[4]);
  out.info.kind = static_cast<ChunkKind>(out.kind_byte);
  out.stored_bytes = static_cast<std::uint32_t>(get(bytes, 8, 4));
  out.plain_bytes = static_cast<std::uint32_t>(get(bytes, 12, 4));
  out.info.count = static_cast<std::uint32_t>(get(bytes, 16, 4));
  out.info.first_realtime_ns = static_cast<std::int64_t>(get(bytes, 20, 8));
  out.info.last_realtime_ns = static_cast<std::int64_t>(get(bytes, 28, 8));
  out.checksum = static_cast<std::uint32_t>(get(bytes, 36, 4));
  if (static_cast<std::uint8_t>(bytes[5]) != kZstd) {
    return bad("a chunk is compressed in a way this build does not know");
  }
  if (out.stored_bytes > kMaxStoredBytes || out.plain_bytes > kMaxPlainBytes) {
    return bad("a chunk claims to be larger than any that is written");
  }
  return out;
}

ChunkDecompressor::ChunkDecompressor()
    : context_(::ZSTD_createDCtx(),
               [](ZSTD_DCtx* context) { static_cast<void>(::ZSTD_freeDCtx(context)); }) {
  if (!context_) {
    throw std::bad_alloc();
  }
}

Result<void> check_stored(const ChunkHeader& header, std::string_view stored) {
  if (stored.size() != header.stored_bytes) {
    return bad("the file ends within a chunk");
  }
  if (checksum(stored) != header.checksum) {
    return bad("the checksum of a chunk is wrong");
  }
  return {};
}

Result<void> ChunkDecompressor::decompress(const ChunkHeader& header, std::string_view stored,
                                           std::string& plain) {
  if (auto good = check_stored(header, stored); !good) {
    return good;
  }
  plain.resize(header.plain_bytes);
  const std::size_t size = ::ZSTD_decompressDCtx(context_.get(), plain.data(), plain.size(),
                                                 stored.data(), stored.size());
  if (::ZSTD_isError(size) != 0 || size != header.plain_bytes) {
    return bad("a chunk cannot be decompressed");
  }
  return {};
}

ChunkCompressor::ChunkCompressor(int level)
    : context_(::ZSTD_createCCtx(),
               [](ZSTD_CCtx* context) { static_cast<void>(::ZSTD_freeCCtx(context)); }) {
  if (!context_) {
    throw std::bad_alloc();
  }
  static_cast<void>(::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level));
  static_cast<void>(::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_windowLog, kWindowLog));
}

void ChunkCompressor::add(std::string_view plain) {
  plain_bytes_ += plain.size();
  ZSTD_inBuffer in{plain.data(), plain.size(), 0};
  while (in.pos < in.size) {
    std::array<char, 16384> buffer;
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    const std::size_t left = ::ZSTD_compressStream2(context_.get(), &out, &in, ZSTD_e_continue);
    if (::ZSTD_isError(left) != 0) {
      throw std::bad_alloc();  // the only way it can fail
    }
    out_.append(buffer.data(), out.pos);
  }
}

std::string ChunkCompressor::finish(const ChunkInfo& info) {
  std::size_t left = 1;
  while (left != 0) {
    std::array<char, 16384> buffer;
    ZSTD_inBuffer in{nullptr, 0, 0};
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    left = ::ZSTD_compressStream2(context_.get(), &out, &in, ZSTD_e_end);
    if (::ZSTD_isError(left) != 0) {
      throw std::bad_alloc();
    }
    out_.append(buffer.data(), out.pos);
  }
  std::string chunk;
  chunk.reserve(kChunkHeaderBytes + out_.size());
  put(chunk, kChunkMagic, 4);
  put(chunk, static_cast<std::uint8_t>(info.kind), 1);
  put(chunk, kZstd, 1);
  put(chunk, 0, 2);
  put(chunk, out_.size(), 4);
  put(chunk, std::exchange(plain_bytes_, 0), 4);
  put(chunk, info.count, 4);
  put(chunk, static_cast<std::uint64_t>(info.first_realtime_ns), 8);
  put(chunk, static_cast<std::uint64_t>(info.last_realtime_ns), 8);
  put(chunk, checksum(out_), 4);
  put(chunk, 0, 4);
  put(chunk, checksum(chunk), 4);
  chunk.append(out_);
  out_ = {};  // of a size that few chunks need
  return chunk;
}

}  // namespace tidegauge::recording
