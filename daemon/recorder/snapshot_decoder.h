// SPDX-License-Identifier: Apache-2.0
#pragma once

// The plain bytes of a chunk as Snapshots again. Believes nothing: every count is checked against the bytes that
// are left and against ChunkLoad, so that a hostile file costs no more than an honest one of its size.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/result.h"
#include "collectors/core/section.h"
#include "daemon/recorder/messages.h"
#include "daemon/recorder/wire.h"

namespace tidegauge::recording {

// Not thread-safe.
class SnapshotDecoder {
 public:
  // `plain` must outlive it.
  explicit SnapshotDecoder(std::string_view plain) : messages_(plain) {}

  // The next one; none at the end. After an error nothing more comes. The names of its collectors live as long
  // as the pointer does.
  Result<std::optional<SnapshotPtr>> next();
  // As of the last Snapshot; the chunk's own is there after the first.
  [[nodiscard]] const Checkpoint& checkpoint() const { return checkpoint_; }

 private:
  struct KnownShape {
    std::shared_ptr<const Shape> shape;
    std::uint64_t base = 0;
    std::vector<std::uint32_t> base_rows;
  };
  // What a Snapshot needs beside itself.
  struct Kept {
    Snapshot snapshot;
    std::shared_ptr<const std::vector<std::string>> names;
  };
  // The last known of a collector.
  struct Last {
    StatusFields status{};
    std::shared_ptr<const Section> section;
    TableIndex tables;
  };

  tl::unexpected<Error> bad(std::string what) const;
  Result<void> read_checkpoint(std::string_view bytes);
  Result<void> read_collectors(std::string_view bytes);
  Result<void> read_shape(std::string_view bytes);
  Result<SnapshotPtr> read_snapshot(std::string_view bytes);
  Result<std::shared_ptr<Section>> read_section(ByteReader& body, std::int64_t boottime_ns,
                                                const Last& last, std::vector<std::uint64_t>& ids);
  Result<void> read_table(ByteReader& body, const Last& last, Table& table, std::uint64_t& id);
  static std::optional<ColumnInfo> read_column(std::string_view bytes);
  [[nodiscard]] bool read_rows(ByteReader& body, const Shape* base, Shape& shape,
                               std::vector<std::uint32_t>& base_rows) const;
  [[nodiscard]] const KnownShape* known(std::uint64_t id) const;

  ByteReader messages_;
  Checkpoint checkpoint_;
  std::shared_ptr<const std::vector<std::string>> names_;
  std::vector<KnownShape> shapes_;  // by id, from 1
  std::vector<Last> last_;
  SnapshotFields fields_{};
  ChunkLoad load_;
  std::size_t cells_of_snapshot_ = 0;
};

}  // namespace tidegauge::recording
