// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/recording_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace tidegauge::recording {

// Bytes by place, from a file or from memory.
class RecordingReader::Source {
 public:
  explicit Source(std::string bytes) : bytes_(std::move(bytes)), size_(bytes_.size()) {}
  Source(int fd, std::uint64_t size) : fd_(fd), size_(size) {}
  ~Source() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  [[nodiscard]] std::uint64_t size() const { return size_; }
  // As many as there are.
  void read(std::uint64_t offset, std::size_t bytes, std::string& out) const {
    out.clear();
    if (offset >= size_) {
      return;
    }
    out.resize(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, size_ - offset)));
    if (fd_ < 0) {
      bytes_.copy(out.data(), out.size(), static_cast<std::size_t>(offset));
      return;
    }
    std::size_t got = 0;
    while (got < out.size()) {
      const ssize_t count =
          ::pread(fd_, out.data() + got, out.size() - got, static_cast<off_t>(offset + got));
      if (count < 0 && errno == EINTR) {
        continue;
      }
      if (count <= 0) {
        break;
      }
      got += static_cast<std::size_t>(count);
    }
    out.resize(got);
  }

 private:
  int fd_ = -1;
  std::string bytes_;
  std::uint64_t size_;
};

RecordingReader::RecordingReader(std::unique_ptr<Source> source) : source_(std::move(source)) {}
RecordingReader::RecordingReader(RecordingReader&&) noexcept = default;
RecordingReader& RecordingReader::operator=(RecordingReader&&) noexcept = default;
RecordingReader::~RecordingReader() = default;

Result<RecordingReader> RecordingReader::open(const std::string& path) {
  // Whoever names a FIFO should not wait.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    return system_error(errno, path);
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return tl::make_unexpected(Error{ErrorKind::kInvalid, 0, path + ": not a regular file"});
  }
  RecordingReader reader(std::make_unique<Source>(fd, static_cast<std::uint64_t>(info.st_size)));
  std::string header;
  reader.source_->read(0, kFileHeaderBytes, header);
  if (auto good = check_file_header(header); !good) {
    Error error = good.error();
    error.where = path + ": at byte 0: " + error.where;
    return tl::make_unexpected(std::move(error));
  }
  return reader;
}

Result<RecordingReader> RecordingReader::from_bytes(std::string bytes) {
  RecordingReader reader(std::make_unique<Source>(std::move(bytes)));
  std::string header;
  reader.source_->read(0, kFileHeaderBytes, header);
  if (auto good = check_file_header(header); !good) {
    return tl::make_unexpected(good.error());
  }
  return reader;
}

std::optional<RecordingReader::Found> RecordingReader::find_chunk(
    std::uint64_t offset, std::optional<Damage>& damage) const {
  constexpr std::size_t kStep = std::size_t{1} << 16U;
  std::string bytes;
  std::uint64_t at = offset;
  while (at < source_->size()) {
    source_->read(at, at == offset ? kChunkHeaderBytes : kStep, bytes);
    std::size_t position = 0;
    while (position < bytes.size()) {
      const std::string_view rest = std::string_view(bytes).substr(position);
      if (rest.size() < kChunkHeaderBytes && at + bytes.size() < source_->size()) {
        break;  // read on from here
      }
      const auto header = parse_chunk_header(rest.substr(0, kChunkHeaderBytes));
      if (header) {
        return Found{at + position, *header};
      }
      if (!damage) {
        damage = Damage{offset, header.error().where};
      }
      ++position;
      while (position + 4 <= bytes.size() &&
             !may_be_chunk(std::string_view(bytes).substr(position))) {
        ++position;
      }
      if (position + 4 > bytes.size() && at + bytes.size() < source_->size()) {
        break;
      }
    }
    if (position == 0) {
      break;  // the file has become shorter
    }
    at += position;
  }
  return std::nullopt;
}

std::optional<RecordingReader::Item> RecordingReader::read_chunk(const Found& chunk) {
  const std::uint64_t body = chunk.offset + kChunkHeaderBytes;
  source_->read(body, chunk.header.stored_bytes, stored_);
  const auto whole = decompressor_.decompress(chunk.header, stored_, plain_);
  if (!whole) {
    // Where bytes are missing the next chunk begins earlier than the header says.
    offset_ = chunk.offset + kMagicBytes;
    is_lost_ = true;
    return Item(Damage{chunk.offset, whole.error().where});
  }
  offset_ = body + chunk.header.stored_bytes;
  chunk_offset_ = chunk.offset;
  switch (chunk.header.info.kind) {
    case ChunkKind::kSnapshots:
      decoder_.emplace(plain_);
      history_ = std::exchange(next_history_, {});
      return std::nullopt;
    case ChunkKind::kHistory:
      next_history_ = plain_;
      return std::nullopt;
    case ChunkKind::kRawFiles: {
      auto files = decode_raw_files(plain_);
      return files ? Item(std::move(*files)) : Item(Damage{chunk.offset, files.error().where});
    }
    case ChunkKind::kEnd:
      saw_end_ = true;
      return std::nullopt;
  }
  return std::nullopt;  // of a newer build
}

std::optional<RecordingReader::Item> RecordingReader::next() {
  for (;;) {
    if (decoder_) {
      auto snapshot = decoder_->next();
      if (snapshot && *snapshot) {
        checkpoint_ = decoder_->checkpoint();
        return Item(std::move(**snapshot));
      }
      decoder_.reset();
      if (!snapshot) {
        return Item(Damage{chunk_offset_, snapshot.error().where});
      }
    }
    std::optional<Damage> damage;
    const auto chunk =
        pending_ ? std::exchange(pending_, std::nullopt) : find_chunk(offset_, damage);
    if (damage) {
      pending_ = chunk;
      if (!chunk) {  // this is how it ends
        offset_ = source_->size();
        told_end_ = true;
      }
      if (!std::exchange(is_lost_, false)) {  // else it is the gap that was told
        return Item(std::move(*damage));
      }
      continue;
    }
    is_lost_ = false;
    if (!chunk) {
      if (saw_end_ || std::exchange(told_end_, true)) {
        return std::nullopt;
      }
      return Item(Damage{source_->size(), "the file ends before its recording did"});
    }
    saw_end_ = false;
    if (chunk->header.info.kind == ChunkKind::kSnapshots &&
        chunk->header.info.last_realtime_ns < skip_before_ns_) {
      offset_ = chunk->offset + kChunkHeaderBytes + chunk->header.stored_bytes;
      next_history_.clear();
      continue;
    }
    if (auto item = read_chunk(*chunk)) {
      return item;
    }
  }
}

const Checkpoint& RecordingReader::checkpoint() const { return checkpoint_; }

void RecordingReader::skip_before(std::int64_t realtime_ns) { skip_before_ns_ = realtime_ns; }

void RecordingReader::rewind() {
  offset_ = kFileHeaderBytes;
  saw_end_ = false;
  told_end_ = false;
  is_lost_ = false;
  pending_.reset();
  decoder_.reset();
  next_history_.clear();
  history_.clear();
}

RecordingSummary RecordingReader::summarize(bool check) const {
  RecordingSummary out;
  std::string stored;
  out.file_bytes = source_->size();
  std::uint64_t offset = kFileHeaderBytes;
  bool is_first = true;
  bool is_lost = false;
  for (;;) {
    std::optional<Damage> damage;
    const auto chunk = find_chunk(offset, damage);
    if (std::exchange(is_lost, false)) {
      damage.reset();  // counted already
    }
    // Less than a header at the end was not written to its end.
    const bool is_torn = !chunk && out.file_bytes - offset < kChunkHeaderBytes;
    out.damages += damage && !(check && is_torn) ? 1U : 0U;
    out.is_complete = out.is_complete && !damage;
    if (!chunk) {
      break;
    }
    const ChunkInfo& info = chunk->header.info;
    offset = chunk->offset + kChunkHeaderBytes + chunk->header.stored_bytes;
    out.is_complete = info.kind == ChunkKind::kEnd && offset == out.file_bytes;
    if (offset > out.file_bytes) {
      out.damages += check ? 0U : 1U;
      break;
    }
    if (check) {
      source_->read(chunk->offset + kChunkHeaderBytes, chunk->header.stored_bytes, stored);
      if (!check_stored(chunk->header, stored)) {
        ++out.damages;
        offset = chunk->offset + kMagicBytes;
        is_lost = true;
        out.is_complete = false;
        continue;
      }
    }
    if (info.kind == ChunkKind::kSnapshots) {
      out.snapshots += info.count;
      out.first_realtime_ns = is_first ? info.first_realtime_ns : out.first_realtime_ns;
      out.last_realtime_ns = info.last_realtime_ns;
      is_first = false;
    }
  }
  return out;
}

}  // namespace tidegauge::recording
