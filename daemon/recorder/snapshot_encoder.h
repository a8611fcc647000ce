// SPDX-License-Identifier: Apache-2.0
#pragma once

// Snapshots as the bytes of a chunk: messages of a type, a length and a body, so that readers skip what they do
// not know. A Snapshot is told as what changed since the one before it in the chunk, column by column; what names
// its values (a Shape) is told once. docs/recording.md describes every byte.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collectors/core/section.h"
#include "daemon/recorder/messages.h"
#include "daemon/recorder/wire.h"

namespace tidegauge::recording {

// Not thread-safe. Keeps the last Snapshot of the chunk alive.
class SnapshotEncoder {
 public:
  // What comes next does not rely on anything before.
  void begin_chunk(const Checkpoint& checkpoint, std::string& out);
  // Whether it can follow in the same chunk: the collectors are those of the one before, and readers will not
  // find the chunk too large.
  [[nodiscard]] bool fits(const Snapshot& snapshot) const;
  // Appends its messages. The first of a chunk always fits.
  void add(const SnapshotPtr& snapshot, std::string& out);

 private:
  struct KnownShape {
    std::shared_ptr<const Shape> shape;  // held, so that its address is nobody else's
    std::uint64_t id = 0;
    std::uint64_t base = 0;
    std::vector<std::uint32_t> base_rows;  // of each row: which one of the base's it is, or kNewRow
  };

  [[nodiscard]] const KnownShape* known(const std::shared_ptr<const Shape>& shape) const;
  const KnownShape& tell_shape(const std::shared_ptr<const Shape>& shape, const Section* before,
                               std::string& out);
  void tell_collectors(const Snapshot& snapshot, std::string& out);
  void put_section(ByteWriter& body, const Section& section, const Section* before,
                   std::int64_t boottime_ns);
  void put_table(ByteWriter& body, const Table& table, const Section* before);
  void forget_shapes();

  std::map<const Shape*, KnownShape> shapes_;
  SnapshotPtr last_;
  std::uint64_t next_shape_ = 1;
  ChunkLoad load_;
  std::string body_;
};

}  // namespace tidegauge::recording
