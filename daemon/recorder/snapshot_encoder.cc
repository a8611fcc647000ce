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
  told_.clear();
  now_.clear();
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

// Where it is now is where it was, nearly always.
const Table* SnapshotEncoder::base_of(const Table& table, std::size_t place,
                                      const Told& before) const {
  constexpr std::size_t kMost = 64;  // are looked through
  const auto is_base = [&](const Table& candidate) {
    return known(candidate.shape) != nullptr &&
           candidate.shape->label_names == table.shape->label_names &&
           candidate.shape->columns == table.shape->columns;
  };
  if (!before.section) {
    return nullptr;
  }
  const std::vector<Table>& tables = before.section->tables;
  if (place < tables.size() && is_base(tables[place])) {
    return &tables[place];
  }
  const auto end = tables.begin() + static_cast<std::ptrdiff_t>(std::min(kMost, tables.size()));
  const auto at = std::find_if(tables.begin(), end, is_base);
  return at == end ? nullptr : &*at;
}

// Counts it, too.
bool SnapshotEncoder::can_be_told(const Section& section) {
  constexpr std::size_t kPart = 8;
  ChunkLoad load;
  ChunkLoad whole = load_;
  std::size_t cells = 0;
  bool is_good = section.tables.size() <= kMaxTablesOfSection;
  for (const Table& table : section.tables) {
    cells += table.values.size();
    if (known(table.shape) == nullptr) {
      load.add(*table.shape);
      whole.add(*table.shape);
      is_good = is_good && is_possible(*table.shape);
    }
  }
  is_good = is_good && load.is_below(kPart) && whole.is_below(1) &&
            cells_of_snapshot_ + cells <= ChunkLoad::kMaxCellsOfSnapshot;
  cells_of_snapshot_ += is_good ? cells : 0;
  return is_good;
}

void SnapshotEncoder::tell_shapes(const Section& section, const Told& before, std::string& out) {
  for (std::size_t i = 0; i < section.tables.size(); ++i) {
    if (known(section.tables[i].shape) == nullptr) {
      tell_shape(section.tables[i], i, before, out);
    }
  }
}

void SnapshotEncoder::tell_shape(const Table& table, std::size_t place, const Told& before,
                                 std::string& out) {
  const std::shared_ptr<const Shape>& shape = table.shape;
  KnownShape fresh;
  fresh.shape = shape;
  fresh.id = next_shape_++;
  if (const Table* base = base_of(table, place, before)) {
    fresh.base = known(base->shape)->id;
    fresh.base_rows = find_rows(*shape, *base->shape);
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
  shapes_.emplace(shape.get(), std::move(fresh));
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

void SnapshotEncoder::put_table(ByteWriter& body, const Table& table, const Told& before) {
  const KnownShape& shape = *known(table.shape);
  body.number(shape.id);
  // The first table of the section before that has this Shape, else the one this Shape is based on: the reader
  // looks in the same way.
  const auto same = before.tables.find(shape.id);
  const auto near = same || shape.base == 0 ? std::nullopt : before.tables.find(shape.base);
  const bool same_rows = same.has_value();
  const Table* base = same   ? &before.section->tables[*same]
                      : near ? &before.section->tables[*near]
                             : nullptr;
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

void SnapshotEncoder::put_section(ByteWriter& body, const Section& section, Told& told,
                                  std::int64_t boottime_ns) {
  body.signed_number(section.read_start_boottime_ns - boottime_ns);
  body.signed_number(section.read_end_boottime_ns - section.read_start_boottime_ns);
  body.number(section.tables.size());
  std::vector<std::uint64_t> ids;
  ids.reserve(section.tables.size());
  for (const Table& table : section.tables) {
    put_table(body, table, told);
    ids.push_back(known(table.shape)->id);
  }
  told.tables.assign(std::move(ids));
}

// Of those that nobody else holds.
void SnapshotEncoder::forget_shapes() {
  std::erase_if(shapes_, [](const auto& entry) { return entry.second.shape.use_count() == 1; });
}

void SnapshotEncoder::add(const SnapshotPtr& snapshot, std::string& out) {
  ++load_.snapshots;
  if (!last_) {
    tell_collectors(*snapshot, out);
    told_.assign(snapshot->entries.size(), {});
  }
  cells_of_snapshot_ = 0;
  now_.assign(snapshot->entries.size(), nullptr);
  for (std::size_t i = 0; i < now_.size(); ++i) {
    const std::shared_ptr<const Section>& section = snapshot->entries[i].section;
    if (!section || section == told_[i].section) {
      now_[i] = section;
    } else if (section != told_[i].left_out && can_be_told(*section)) {
      now_[i] = section;
      tell_shapes(*section, told_[i], out);
    } else {
      left_out_ += section != told_[i].left_out ? 1U : 0U;
      told_[i].left_out = section;
    }
  }
  body_.clear();
  ByteWriter body(body_);
  put_growth(body, last_ ? snapshot_fields(*last_) : SnapshotFields{}, snapshot_fields(*snapshot));
  for (std::size_t i = 0; i < now_.size(); ++i) {
    const StatusFields status_before =
        last_ ? status_fields(last_->entries[i].status) : StatusFields{};
    const StatusFields status = status_fields(snapshot->entries[i].status);
    const bool section_stays = now_[i] && now_[i] == told_[i].section;
    body.byte(static_cast<std::uint8_t>((now_[i] ? kHasSection : 0) |
                                        (section_stays ? kSectionAsBefore : 0) |
                                        (status == status_before ? kStatusAsBefore : 0)));
    if (status != status_before) {
      put_growth(body, status_before, status);
    }
    if (now_[i] && !section_stays) {
      put_section(body, *now_[i], told_[i], snapshot->boottime_ns);
    }
    if (!now_[i]) {
      told_[i].tables.assign({});
    }
    told_[i].section = now_[i];
  }
  put_message(out, Message::kSnapshot, body_);
  constexpr std::size_t kMuch = std::size_t{64} << 10U;
  if (body_.capacity() > kMuch) {
    body_ = {};
  }
  last_ = snapshot;
  forget_shapes();
}

}  // namespace tidegauge::recording
