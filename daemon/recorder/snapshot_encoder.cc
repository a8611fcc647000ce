// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/snapshot_encoder.h"

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>

#include <tsl/robin_map.h>

namespace tidegauge::recording {

namespace {

void put_message(std::string& out, Message type, std::string_view body) {
  ByteWriter writer(out);
  writer.byte(static_cast<std::uint8_t>(type));
  writer.text(body);
}

template <std::size_t N>
void put_growth(ByteWriter& body, const std::array<std::int64_t, N>& before,
                const std::array<std::int64_t, N>& now) {
  body.number(N);
  for (std::size_t i = 0; i < N; ++i) {
    body.signed_number(static_cast<std::int64_t>(static_cast<std::uint64_t>(now[i]) -
                                                 static_cast<std::uint64_t>(before[i])));
  }
}

void put_column(ByteWriter& body, const ColumnInfo& column) {
  std::string bytes;
  ByteWriter writer(bytes);
  writer.text(column.family);
  writer.text(column.suffix);
  writer.text(column.help);
  writer.byte(static_cast<std::uint8_t>(column.kind));
  writer.byte(static_cast<std::uint8_t>(column.type));
  writer.number(column.scale.num);
  writer.number(column.scale.den);
  writer.byte(column.scale.by_reciprocal ? 1 : 0);
  writer.number(column.labels.size());
  for (const Label& label : column.labels) {
    writer.text(label.name);
    writer.text(label.value);
  }
  body.text(bytes);  // with its length: columns may come to have more
}

// Runs of rows: (length << 1 | 1) and where they begin in the base, or (length << 1) and their label values.
void put_rows(ByteWriter& body, const Shape& shape, const std::vector<std::uint32_t>& base_rows) {
  const std::size_t rows = shape.rows.size();
  const auto base_row = [&](std::size_t row) {
    return base_rows.empty() ? kNewRow : base_rows[row];
  };
  body.number(rows);
  for (std::size_t begin = 0; begin < rows;) {
    const std::uint32_t from = base_row(begin);
    std::size_t end = begin + 1;
    while (end < rows &&
           (from == kNewRow ? base_row(end) == kNewRow : base_row(end) == from + (end - begin))) {
      ++end;
    }
    body.number((end - begin) << 1U | (from == kNewRow ? 0U : 1U));
    if (from != kNewRow) {
      body.number(from);
    }
    for (std::size_t row = begin; row < end && from == kNewRow; ++row) {
      for (const std::string& value : shape.rows[row]) {
        body.text(value);
      }
    }
    begin = end;
  }
}

std::string row_key(const std::vector<std::string>& row) {
  std::string out;
  for (const std::string& value : row) {
    out.append(std::to_string(value.size())).append(":").append(value);
  }
  return out;
}

std::vector<std::uint32_t> find_rows(const Shape& shape, const Shape& base) {
  std::vector<std::uint32_t> out(shape.rows.size(), kNewRow);
  tsl::robin_map<std::string, std::uint32_t> index;
  std::size_t begin = 0;
  while (begin < std::min(shape.rows.size(), base.rows.size()) &&
         shape.rows[begin] == base.rows[begin]) {
    out[begin] = static_cast<std::uint32_t>(begin);
    ++begin;
  }
  for (std::size_t row = begin; row < base.rows.size(); ++row) {
    index.emplace(row_key(base.rows[row]), static_cast<std::uint32_t>(row));
  }
  for (std::size_t row = begin; row < shape.rows.size(); ++row) {
    if (const auto at = index.find(row_key(shape.rows[row])); at != index.end()) {
      out[row] = at->second;
    }
  }
  return out;
}

// Zeros, of which there are many, as 0 and how many follow it.
class CellWriter {
 public:
  explicit CellWriter(ByteWriter& body) : body_(body) {}
  void put(std::uint64_t cell) {
    if (cell == 0) {
      ++zeros_;
      return;
    }
    flush();
    body_.number(cell);
  }
  void flush() {
    if (zeros_ != 0) {
      body_.byte(0);
      body_.number(std::exchange(zeros_, 0) - 1);
    }
  }

 private:
  ByteWriter& body_;
  std::uint64_t zeros_ = 0;
};

}  // namespace

void SnapshotEncoder::begin_chunk(const Checkpoint& checkpoint, std::string& out) {
  shapes_.clear();
  last_.reset();
  next_shape_ = 1;
  load_ = {};
  body_.clear();
  ByteWriter body(body_);
  body.number(checkpoint.size());
  for (const auto& [name, value] : checkpoint) {
    body.text(name);
    body.text(value);
  }
  put_message(out, Message::kCheckpoint, body_);
}

bool SnapshotEncoder::fits(const Snapshot& snapshot) const {
  constexpr std::size_t kPart = 4;
  return !last_ ||
         (load_.is_below(kPart) &&
          std::equal(snapshot.entries.begin(), snapshot.entries.end(), last_->entries.begin(),
                     last_->entries.end(), [](const SnapshotEntry& a, const SnapshotEntry& b) {
                       return a.collector == b.collector;
                     }));
}

const SnapshotEncoder::KnownShape* SnapshotEncoder::known(
    const std::shared_ptr<const Shape>& shape) const {
  const auto at = shapes_.find(shape.get());
  return at == shapes_.end() ? nullptr : &at->second;
}

const SnapshotEncoder::KnownShape& SnapshotEncoder::tell_shape(
    const std::shared_ptr<const Shape>& shape, const Section* before, std::string& out) {
  if (const KnownShape* found = known(shape)) {
    return *found;
  }
  KnownShape fresh;
  fresh.shape = shape;
  fresh.id = next_shape_++;
  if (before != nullptr) {
    const auto base =
        std::find_if(before->tables.begin(), before->tables.end(), [&](const Table& table) {
          return known(table.shape) != nullptr && table.shape->label_names == shape->label_names &&
                 table.shape->columns == shape->columns;
        });
    if (base != before->tables.end()) {
      fresh.base = known(base->shape)->id;
      fresh.base_rows = find_rows(*shape, *base->shape);
    }
  }
  std::string bytes;
  ByteWriter body(bytes);
  body.number(fresh.id);
  body.number(fresh.base);
  if (fresh.base == 0) {
    body.number(shape->label_names.size());
    for (const std::string& name : shape->label_names) {
      body.text(name);
    }
    body.number(shape->columns.size());
    for (const ColumnInfo& column : shape->columns) {
      put_column(body, column);
    }
  }
  put_rows(body, *shape, fresh.base_rows);
  put_message(out, Message::kShape, bytes);
  load_.add(*shape);
  return shapes_.emplace(shape.get(), std::move(fresh)).first->second;
}

void SnapshotEncoder::tell_collectors(const Snapshot& snapshot, std::string& out) {
  body_.clear();
  ByteWriter body(body_);
  body.number(snapshot.entries.size());
  for (const SnapshotEntry& entry : snapshot.entries) {
    body.text(entry.collector);
  }
  put_message(out, Message::kCollectors, body_);
}

void SnapshotEncoder::put_table(ByteWriter& body, const Table& table, const Section* before) {
  const KnownShape& shape = *known(table.shape);
  body.number(shape.id);
  // The first table of the section before that has this Shape, else the one this Shape is based on: the reader
  // looks in the same way.
  const Table* base = nullptr;
  bool same_rows = false;
  if (before != nullptr) {
    for (const Table& candidate : before->tables) {
      const KnownShape* of = known(candidate.shape);
      if (of != nullptr && of->id == shape.id) {
        base = &candidate;
        same_rows = true;
        break;
      }
      if (of != nullptr && base == nullptr && shape.base != 0 && of->id == shape.base) {
        base = &candidate;
      }
    }
  }
  if (table.absent.empty()) {
    body.byte(static_cast<std::uint8_t>(Absent::kNone));
  } else if (same_rows && base->absent == table.absent) {
    body.byte(static_cast<std::uint8_t>(Absent::kAsBefore));
  } else {
    body.byte(static_cast<std::uint8_t>(Absent::kListed));
    body.number(table.absent.size());
    for (const std::uint64_t word : table.absent) {
      body.number(word);
    }
  }
  const std::size_t columns = table.shape->columns.size();
  const std::size_t rows = table.shape->rows.size();
  load_.cells += rows * columns;
  CellWriter cells(body);
  for (std::size_t column = 0; column < columns; ++column) {
    const bool real = table.shape->columns[column].type == NumberType::kReal;
    for (std::size_t row = 0; row < rows; ++row) {
      const std::uint64_t now = table.values[row * columns + column];
      const std::uint32_t from = base == nullptr ? kNewRow
                                 : same_rows     ? static_cast<std::uint32_t>(row)
                                                 : shape.base_rows[row];
      const std::uint64_t then = from == kNewRow ? 0 : base->values[from * columns + column];
      // Of real numbers those near each other share their first bits, not their last.
      cells.put(real ? __builtin_bswap64(now ^ then)
                     : ByteWriter::zigzag(static_cast<std::int64_t>(now - then)));
    }
  }
  cells.flush();
}

void SnapshotEncoder::put_section(ByteWriter& body, const Section& section, const Section* before,
                                  std::int64_t boottime_ns) {
  body.signed_number(section.read_start_boottime_ns - boottime_ns);
  body.signed_number(section.read_end_boottime_ns - section.read_start_boottime_ns);
  body.number(section.tables.size());
  for (const Table& table : section.tables) {
    put_table(body, table, before);
  }
}

// Of those that nobody else holds.
void SnapshotEncoder::forget_shapes() {
  std::erase_if(shapes_, [](const auto& entry) { return entry.second.shape.use_count() == 1; });
}

void SnapshotEncoder::add(const SnapshotPtr& snapshot, std::string& out) {
  if (!last_) {
    tell_collectors(*snapshot, out);
  }
  const auto before = [&](std::size_t i) -> const SnapshotEntry* {
    return last_ ? &last_->entries[i] : nullptr;
  };
  for (std::size_t i = 0; i < snapshot->entries.size(); ++i) {
    const SnapshotEntry& entry = snapshot->entries[i];
    const Section* section_before = before(i) != nullptr ? before(i)->section.get() : nullptr;
    if (!entry.section || entry.section.get() == section_before) {
      continue;
    }
    for (const Table& table : entry.section->tables) {
      tell_shape(table.shape, section_before, out);
    }
  }
  body_.clear();
  ByteWriter body(body_);
  put_growth(body, last_ ? snapshot_fields(*last_) : SnapshotFields{}, snapshot_fields(*snapshot));
  for (std::size_t i = 0; i < snapshot->entries.size(); ++i) {
    const SnapshotEntry& entry = snapshot->entries[i];
    const StatusFields status_before =
        before(i) != nullptr ? status_fields(before(i)->status) : StatusFields{};
    const Section* section_before = before(i) != nullptr ? before(i)->section.get() : nullptr;
    const StatusFields status = status_fields(entry.status);
    const bool section_stays = entry.section && entry.section.get() == section_before;
    body.byte(static_cast<std::uint8_t>((entry.section ? kHasSection : 0) |
                                        (section_stays ? kSectionAsBefore : 0) |
                                        (status == status_before ? kStatusAsBefore : 0)));
    if (status != status_before) {
      put_growth(body, status_before, status);
    }
    if (entry.section && !section_stays) {
      put_section(body, *entry.section, section_before, snapshot->boottime_ns);
    }
  }
  put_message(out, Message::kSnapshot, body_);
  last_ = snapshot;
  forget_shapes();
}

}  // namespace tidegauge::recording
