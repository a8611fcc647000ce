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
  // Appends its messages. The first of a chunk always fits. A section that readers would refuse is told as absent.
  void add(const SnapshotPtr& snapshot, std::string& out);
  [[nodiscard]] std::uint64_t sections_left_out() const { return left_out_; }

 private:
  struct KnownShape {
    std::shared_ptr<const Shape> shape;  // held, so that its address is nobody else's
    std::uint64_t id = 0;
    std::uint64_t base = 0;
    std::vector<std::uint32_t> base_rows;  // of each row: which one of the base's it is, or kNewRow
  };

  // What was told of a collector last.
  struct Told {
    std::shared_ptr<const Section> section;
    TableIndex tables;
    std::shared_ptr<const Section> left_out;  // the last one that could not be told
  };

  [[nodiscard]] const KnownShape* known(const std::shared_ptr<const Shape>& shape) const;
  [[nodiscard]] bool can_be_told(const Section& section);
  void tell_shapes(const Section& section, const Told& before, std::string& out);
  void tell_shape(const Table& table, std::size_t place, const Told& before, std::string& out);
  [[nodiscard]] const Table* base_of(const Table& table, std::size_t place,
                                     const Told& before) const;
  void tell_collectors(const Snapshot& snapshot, std::string& out);
  void put_section(ByteWriter& body, const Section& section, Told& told, std::int64_t boottime_ns);
  void put_table(ByteWriter& body, const Table& table, const Told& before);
  void forget_shapes();

  std::map<const Shape*, KnownShape> shapes_;
  SnapshotPtr last_;
  std::vector<Told> told_;                           // of each collector
  std::vector<std::shared_ptr<const Section>> now_;  // scratch: null where nothing is told
  std::size_t cells_of_snapshot_ = 0;
  std::uint64_t left_out_ = 0;
  std::uint64_t next_shape_ = 1;
  ChunkLoad load_;
  std::string body_;
};

}  // namespace tidegauge::recording
