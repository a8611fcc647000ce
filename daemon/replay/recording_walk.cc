// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/recording_walk.h"

#include <utility>
#include <variant>

#include "daemon/heuristics/utc_text.h"

namespace tidegauge::replay {

namespace {

constexpr std::int64_t kMillisecondNs = 1'000'000;

// Times are printed as whole milliseconds, so those are compared.
std::int64_t begin_of_millisecond(std::int64_t ns) {
  const std::int64_t rest_ns = ns % kMillisecondNs;
  std::int64_t out = 0;
  const bool overflows =
      __builtin_sub_overflow(ns, rest_ns + (rest_ns < 0 ? kMillisecondNs : 0), &out);
  return overflows ? INT64_MIN : out;
}

std::int64_t end_of_millisecond(std::int64_t ns) {
  std::int64_t out = 0;
  const bool overflows = __builtin_add_overflow(begin_of_millisecond(ns), kMillisecondNs - 1, &out);
  return overflows ? INT64_MAX : out;
}

}  // namespace

Result<RecordingWalk> RecordingWalk::open(const std::string& path, const WalkRange& range,
                                          Damaged damaged) {
  auto reader = recording::RecordingReader::open(path);
  if (!reader) {
    return tl::make_unexpected(reader.error());
  }
  RecordingWalk walk(std::move(*reader), std::move(damaged));
  walk.summary_ = walk.reader_.summary();
  const std::int64_t end_ns = walk.summary_.last_realtime_ns;
  if (range.from) {
    walk.from_ns_ = begin_of_millisecond(range.from->resolve(end_ns));
  }
  if (range.to) {
    walk.to_ns_ = end_of_millisecond(range.to->resolve(end_ns));
  }
  if (walk.from_ns_ > walk.to_ns_) {
    return tl::make_unexpected(Error{ErrorKind::kInvalid, 0,
                                     path + ": --from is " + time_text(walk.from_ns_) +
                                         ", which is later than --to, " + time_text(walk.to_ns_)});
  }
  walk.reader_.skip_before(walk.from_ns_);
  return walk;
}

std::optional<recording::RecordingReader::Item> RecordingWalk::next_item() {
  while (auto item = reader_.next()) {
    const auto* damage = std::get_if<recording::Damage>(&*item);
    if (damage == nullptr) {
      return item;
    }
    if (is_first_walk_) {
      ++damages_;
      damaged_(*damage);
    }
  }
  is_first_walk_ = false;
  return std::nullopt;
}

SnapshotPtr RecordingWalk::next() {
  while (auto item = next_item()) {
    const auto* snapshot = std::get_if<SnapshotPtr>(&*item);
    if (snapshot != nullptr && is_wanted((*snapshot)->realtime_ns)) {
      ++snapshots_;
      return *snapshot;
    }
  }
  return nullptr;
}

std::optional<recording::RawFiles> RecordingWalk::next_raw() {
  while (auto item = next_item()) {
    auto* files = std::get_if<recording::RawFiles>(&*item);
    if (files != nullptr && is_wanted(files->realtime_ns)) {
      return std::move(*files);
    }
  }
  return std::nullopt;
}

void RecordingWalk::rewind() { reader_.rewind(); }

bool RecordingWalk::node_families() const {
  const auto at = reader_.checkpoint().find(recording::kNodeFamiliesEntry);
  return at == reader_.checkpoint().end() || at->second != "false";
}

std::string time_text(std::int64_t realtime_ns) { return utc_text(realtime_ns); }

}  // namespace tidegauge::replay
