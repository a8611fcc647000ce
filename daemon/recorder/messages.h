// SPDX-License-Identifier: Apache-2.0
#pragma once

// What encoder and decoder of Snapshots agree on.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "collectors/core/section.h"

namespace tidegauge::recording {

enum class Message : std::uint8_t {
  kCheckpoint = 1,
  kCollectors = 2,
  kShape = 3,
  kSnapshot = 4,
};

// With what a chunk begins, so that a replay may begin there: texts by name ("build.version"); the value may be
// any bytes.
using Checkpoint = std::map<std::string, std::string, std::less<>>;

// Its entry that is "false" where node_* names were switched off: a replay leaves them out, too.
inline constexpr std::string_view kNodeFamiliesEntry = "node_families";

// Bits of the byte in front of a collector's part of a Snapshot.
inline constexpr std::uint8_t kHasSection = 1;
inline constexpr std::uint8_t kSectionAsBefore = 2;
inline constexpr std::uint8_t kStatusAsBefore = 4;

// In front of a table's values: which cells are absent.
enum class Absent : std::uint8_t { kNone = 0, kAsBefore = 1, kListed = 2 };

inline constexpr std::uint32_t kNewRow = UINT32_MAX;

// The numbers of a status, in the order in which they are written: new ones at the end.
inline constexpr std::size_t kStatusFields = 14;
using StatusFields = std::array<std::int64_t, kStatusFields>;
StatusFields status_fields(const CollectorStatus& status);
CollectorStatus status_of(const StatusFields& fields);

// Those of a Snapshot itself, likewise.
inline constexpr std::size_t kSnapshotFields = 5;
using SnapshotFields = std::array<std::int64_t, kSnapshotFields>;
SnapshotFields snapshot_fields(const Snapshot& snapshot);
void set_fields(Snapshot& snapshot, const SnapshotFields& fields);

// What reading a chunk takes: few bytes can stand for many cells. The encoder stays well below what the decoder
// accepts, and a single Snapshot below the rest.
struct ChunkLoad {
  static constexpr std::size_t kMaxLabels = std::size_t{1} << 21U;
  static constexpr std::size_t kMaxLabelBytes = std::size_t{64} << 20U;
  static constexpr std::size_t kMaxCells = std::size_t{64} << 20U;
  static constexpr std::size_t kMaxCellsOfSnapshot = std::size_t{4} << 20U;

  std::size_t labels = 0;       // label values and columns of all its Shapes
  std::size_t label_bytes = 0;  // of their texts
  std::size_t cells = 0;        // of all its Snapshots

  void add(const Shape& shape);
  // Whether it is below 1/`part` of the limits.
  [[nodiscard]] bool is_below(std::size_t part) const {
    return labels <= kMaxLabels / part && label_bytes <= kMaxLabelBytes / part &&
           cells <= kMaxCells / part;
  }
};

}  // namespace tidegauge::recording
