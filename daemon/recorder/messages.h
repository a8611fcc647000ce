// SPDX-License-Identifier: Apache-2.0
#pragma once

// What encoder and decoder of Snapshots agree on.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

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

// What a Shape may be like: as an exposition can show it, and of a size that files can have.
inline constexpr std::size_t kMaxNameBytes = 256;
inline constexpr std::size_t kMaxHelpBytes = 16'384;
inline constexpr std::size_t kMaxLabelNames = 64;  // of a series, constant ones included
inline constexpr std::size_t kMaxColumns = 16'384;
inline constexpr std::size_t kMaxTablesOfSection = 4096;
bool is_metric_name(std::string_view text);
bool is_label_name(std::string_view text);
// Its names, without its rows.
bool is_possible(const Shape& shape);

// The tables of a section by the ids of their Shapes.
class TableIndex {
 public:
  void assign(std::vector<std::uint64_t> ids);
  // The first that has this Shape.
  [[nodiscard]] std::optional<std::size_t> find(std::uint64_t id) const;
  [[nodiscard]] const std::vector<std::uint64_t>& ids() const { return ids_; }

 private:
  static constexpr std::size_t kFew = 16;  // looked through one by one
  std::vector<std::uint64_t> ids_;
  std::unordered_map<std::uint64_t, std::size_t> index_;  // of many
};

// What reading a chunk takes: few bytes can stand for many cells. The encoder stays well below what the decoder
// accepts, and leaves out of a single Snapshot what alone would be too much.
struct ChunkLoad {
  static constexpr std::size_t kMaxLabels = std::size_t{1} << 21U;
  static constexpr std::size_t kMaxLabelBytes = std::size_t{64} << 20U;
  // As an exposition has them, every label again with every value.
  static constexpr std::size_t kMaxTextBytes = std::size_t{256} << 20U;
  static constexpr std::size_t kMaxSnapshots = std::size_t{1} << 16U;
  static constexpr std::size_t kMaxCells = std::size_t{64} << 20U;
  static constexpr std::size_t kMaxCellsOfSnapshot = std::size_t{4} << 20U;

  std::size_t labels = 0;       // label values, columns and names of all its Shapes
  std::size_t label_bytes = 0;  // of their texts
  std::size_t text_bytes = 0;   // of the series of all its Shapes
  std::size_t snapshots = 0;
  std::size_t cells = 0;  // of all its Snapshots

  void add(const Shape& shape) {
    add_names(shape);
    add_rows(shape);
  }
  void add_names(const Shape& shape);
  void add_rows(const Shape& shape);
  // Whether it is below 1/`part` of the limits.
  [[nodiscard]] bool is_below(std::size_t part) const {
    return labels <= kMaxLabels / part && label_bytes <= kMaxLabelBytes / part &&
           text_bytes <= kMaxTextBytes / part && snapshots <= kMaxSnapshots / part &&
           cells <= kMaxCells / part;
  }
};

}  // namespace tidegauge::recording
