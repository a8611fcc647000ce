// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/ring.h"

#include <algorithm>
#include <utility>

namespace tidegauge::recording {

Ring::Ring(RingOptions options, std::function<Checkpoint()> checkpoint)
    : options_(options), checkpoint_(std::move(checkpoint)), compressor_(options.level) {}

bool Ring::is_chunk_full(const Snapshot& next) const {
  constexpr std::size_t kPart = 16;
  return next.boottime_ns - open_.first_boottime_ns >= options_.chunk_ns ||
         compressor_.stored_bytes() >= options_.max_bytes / kPart ||
         compressor_.plain_bytes() >= kMaxPlainBytes / 2 || !encoder_.fits(next);
}

ChunkPtr Ring::add(const SnapshotPtr& snapshot) {
  ChunkPtr sealed;
  if (open_.info.count != 0 && is_chunk_full(*snapshot)) {
    sealed = seal();
  }
  if (!put(snapshot)) {
    // Its messages are lost on the encoder, so it begins anew.
    if (open_.info.count != 0) {
      sealed = seal();
    }
    if (!put(snapshot)) {
      ++stats_.snapshots_left_out;
      return sealed;
    }
  }
  ++stats_.recorded;
  ++open_.info.count;
  open_.info.first_realtime_ns = std::min(open_.info.first_realtime_ns, snapshot->realtime_ns);
  open_.info.last_realtime_ns = std::max(open_.info.last_realtime_ns, snapshot->realtime_ns);
  open_.last_boottime_ns = snapshot->boottime_ns;
  evict(snapshot->boottime_ns);
  return sealed;
}

// False where the chunk would be larger than a file may have it.
bool Ring::put(const SnapshotPtr& snapshot) {
  plain_.clear();
  if (open_.info.count == 0) {
    encoder_.begin_chunk(checkpoint_(), plain_);
    open_.info.first_realtime_ns = snapshot->realtime_ns;
    open_.info.last_realtime_ns = snapshot->realtime_ns;
    open_.first_boottime_ns = snapshot->boottime_ns;
  }
  encoder_.add(snapshot, plain_);
  if (compressor_.plain_bytes() + plain_.size() > kMaxPlainBytes) {
    plain_ = {};
    return false;
  }
  compressor_.add(plain_);
  stats_.plain_bytes += plain_.size();
  constexpr std::size_t kMuch = std::size_t{64} << 10U;
  if (plain_.capacity() > kMuch) {  // the first of a chunk tells everything
    plain_ = {};
  }
  return true;
}

ChunkPtr Ring::seal() {
  if (open_.info.count == 0) {
    return nullptr;
  }
  auto chunk = std::make_shared<Chunk>(std::exchange(open_, {}));
  chunk->bytes = compressor_.finish(chunk->info);
  sealed_bytes_ += chunk->bytes.size();
  stats_.compressed_bytes += chunk->bytes.size();
  chunks_.push_back(std::move(chunk));
  return chunks_.back();
}

void Ring::evict(std::int64_t now_boottime_ns) {
  while (!chunks_.empty()) {
    const Chunk& oldest = *chunks_.front();
    const bool is_old = now_boottime_ns - oldest.last_boottime_ns > options_.window_ns;
    const bool is_much = sealed_bytes_ + compressor_.stored_bytes() > options_.max_bytes;
    if (!is_old && !is_much) {
      return;
    }
    stats_.evicted_early += is_old ? 0 : oldest.info.count;
    sealed_bytes_ -= oldest.bytes.size();
    chunks_.pop_front();
  }
}

RingStats Ring::stats() const {
  RingStats out = stats_;
  out.bytes = sealed_bytes_ + compressor_.stored_bytes();
  out.chunks = chunks_.size();
  out.sections_left_out = encoder_.sections_left_out();
  out.snapshots = open_.info.count;
  for (const ChunkPtr& chunk : chunks_) {
    out.snapshots += chunk->info.count;
  }
  if (out.snapshots != 0) {
    const std::int64_t first_ns =
        chunks_.empty() ? open_.first_boottime_ns : chunks_.front()->first_boottime_ns;
    const std::int64_t last_ns =
        open_.info.count != 0 ? open_.last_boottime_ns : chunks_.back()->last_boottime_ns;
    out.window_ns = last_ns - first_ns;
  }
  return out;
}

}  // namespace tidegauge::recording
