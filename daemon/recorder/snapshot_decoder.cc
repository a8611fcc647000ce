// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/snapshot_decoder.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "collectors/core/text.h"

namespace tidegauge::recording {

namespace {

constexpr std::size_t kMaxCollectors = 256;
constexpr std::size_t kMaxCollectorBytes = 64;
constexpr std::size_t kMaxCheckpointEntries = 256;

template <std::size_t N>
void add_growth(ByteReader& body, std::array<std::int64_t, N>& fields) {
  const std::size_t count = body.count();
  for (std::size_t i = 0; i < count; ++i) {
    const auto growth = static_cast<std::uint64_t>(body.signed_number());
    if (i < N) {  // else one that a newer build has added
      fields[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(fields[i]) + growth);
    }
  }
}

std::int64_t sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

// A recording is shown under this build's names: that of a verdict's subject was `instance`, which Prometheus wants for
// itself.
void use_present_names(Shape& shape) {
  if (shape.columns.size() == 1 && shape.columns.front().family == "tidegauge_verdict_info") {
    std::ranges::replace(shape.label_names, "instance", "subject");
  }
}

// Valid UTF-8, as it was when it was recorded.
std::string label_text(std::string_view text) {
  return sanitize_label(text, std::numeric_limits<std::size_t>::max());
}

// Runs of zeros and single cells.
class CellReader {
 public:
  explicit CellReader(ByteReader& body) : body_(body) {}
  std::uint64_t next() {
    if (zeros_ != 0) {
      --zeros_;
      return 0;
    }
    const std::uint64_t cell = body_.number();
    if (cell == 0 && body_.is_good()) {
      zeros_ = body_.number();
    }
    return cell;
  }
  // All zeros that were announced have been taken.
  [[nodiscard]] bool is_done() const { return zeros_ == 0; }

 private:
  ByteReader& body_;
  std::uint64_t zeros_ = 0;
};

}  // namespace

tl::unexpected<Error> SnapshotDecoder::bad(std::string what) const {
  return tl::make_unexpected(Error{ErrorKind::kMalformed, 0,
                                   std::move(what) + " (before byte " +
                                       std::to_string(messages_.position()) + " of the chunk)"});
}

const SnapshotDecoder::KnownShape* SnapshotDecoder::known(std::uint64_t id) const {
  return id == 0 || id > shapes_.size() ? nullptr : &shapes_[static_cast<std::size_t>(id) - 1];
}

Result<void> SnapshotDecoder::read_checkpoint(std::string_view bytes) {
  ByteReader body(bytes);
  const std::size_t count = body.count();
  if (count > kMaxCheckpointEntries) {
    return bad("a checkpoint has too many entries");
  }
  checkpoint_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    std::string name(body.text());
    checkpoint_[std::move(name)] = std::string(body.text());
  }
  if (!body.is_good()) {
    return bad("a checkpoint is damaged");
  }
  return {};
}

Result<void> SnapshotDecoder::read_collectors(std::string_view bytes) {
  ByteReader body(bytes);
  const std::size_t count = body.count();
  auto names = std::make_shared<std::vector<std::string>>();
  if (count > kMaxCollectors) {
    return bad("there are too many collectors");
  }
  for (std::size_t i = 0; i < count; ++i) {
    names->emplace_back(body.text());
    if (names->back().size() > kMaxCollectorBytes || !is_metric_name(names->back())) {
      return bad("a collector has no proper name");
    }
  }
  if (!body.is_good()) {
    return bad("the list of collectors is damaged");
  }
  names_ = std::move(names);
  last_.assign(count, {});
  return {};
}

std::optional<ColumnInfo> SnapshotDecoder::read_column(std::string_view bytes) {
  ByteReader body(bytes);
  ColumnInfo out;
  out.family = body.text();
  out.suffix = body.text();
  out.help = body.text();
  const std::uint8_t kind = body.byte();
  const std::uint8_t type = body.byte();
  const std::uint64_t num = body.number();
  const std::uint64_t den = body.number();
  out.scale.by_reciprocal = body.byte() != 0;
  const std::size_t labels = body.count();
  if (labels > kMaxLabelNames) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < labels && body.is_good(); ++i) {
    Label label;
    label.name = body.text();
    label.value = label_text(body.text());
    out.labels.push_back(std::move(label));
  }
  const bool is_possible = kind <= static_cast<std::uint8_t>(MetricKind::kSummary) &&
                           type <= static_cast<std::uint8_t>(NumberType::kReal) && num != 0 &&
                           num <= UINT32_MAX && den != 0 && den <= UINT32_MAX;
  if (!body.is_good() || !is_possible) {
    return std::nullopt;
  }
  out.kind = static_cast<MetricKind>(kind);
  out.type = static_cast<NumberType>(type);
  out.scale.num = static_cast<std::uint32_t>(num);
  out.scale.den = static_cast<std::uint32_t>(den);
  return out;
}

bool SnapshotDecoder::read_rows(ByteReader& body, const Shape* base, Shape& shape,
                                std::vector<std::uint32_t>& base_rows) const {
  const std::uint64_t count = body.number();
  std::size_t labels = load_.labels;
  std::size_t label_bytes = load_.label_bytes;
  const auto put = [&](std::vector<std::string> row, std::uint32_t from) {
    labels += row.size() + 1;
    for (const std::string& value : row) {
      label_bytes += value.size();
    }
    shape.rows.push_back(std::move(row));
    base_rows.push_back(from);
    return labels <= ChunkLoad::kMaxLabels && label_bytes <= ChunkLoad::kMaxLabelBytes;
  };
  while (shape.rows.size() < count) {
    const std::uint64_t run = body.number();
    const std::uint64_t length = run >> 1U;
    if (!body.is_good() || length == 0 || length > count - shape.rows.size()) {
      return false;
    }
    if ((run & 1U) != 0) {
      const std::uint64_t from = body.number();
      if (base == nullptr || from > base->rows.size() || length > base->rows.size() - from) {
        return false;
      }
      for (std::uint64_t i = 0; i < length; ++i) {
        const auto at = static_cast<std::size_t>(from + i);
        if (!put(base->rows[at], static_cast<std::uint32_t>(at))) {
          return false;
        }
      }
      continue;
    }
    for (std::uint64_t i = 0; i < length && body.is_good(); ++i) {
      std::vector<std::string> row;
      row.reserve(shape.label_names.size());
      for (std::size_t k = 0; k < shape.label_names.size(); ++k) {
        row.push_back(label_text(body.text()));
      }
      if (!put(std::move(row), kNewRow)) {
        return false;
      }
    }
  }
  return body.is_good();
}

Result<void> SnapshotDecoder::read_shape(std::string_view bytes) {
  ByteReader body(bytes);
  const std::uint64_t id = body.number();
  const std::uint64_t base_id = body.number();
  const KnownShape* base = known(base_id);
  if (id != shapes_.size() + 1 || (base_id != 0 && base == nullptr)) {
    return bad("a table's names do not follow those before");
  }
  auto shape = std::make_shared<Shape>();
  if (base != nullptr) {
    load_.add_names(*base->shape);  // before they are copied: that takes few bytes of the file
    if (!load_.is_below(1)) {
      return bad("there are too many names");
    }
    shape->label_names = base->shape->label_names;
    shape->columns = base->shape->columns;
  } else {
    const std::size_t label_names = body.count();
    if (label_names > kMaxLabelNames) {
      return bad("a table has too many labels");
    }
    for (std::size_t i = 0; i < label_names; ++i) {
      shape->label_names.emplace_back(body.text());
    }
    const std::size_t columns = body.count();
    if (columns > kMaxColumns) {
      return bad("a table has too many columns");
    }
    for (std::size_t i = 0; i < columns && body.is_good(); ++i) {
      auto column = read_column(body.text());
      if (!column) {
        return bad("a metric's description is damaged");
      }
      shape->columns.push_back(std::move(*column));
    }
    use_present_names(*shape);
    if (!recording::is_possible(*shape)) {
      return bad("a table's names are not such as can be shown");
    }
    load_.add_names(*shape);
  }
  KnownShape fresh;
  fresh.base = base_id;
  const bool is_good =
      read_rows(body, base == nullptr ? nullptr : base->shape.get(), *shape, fresh.base_rows);
  load_.add_rows(*shape);
  if (!is_good || !load_.is_below(1)) {
    return bad("a table's rows are damaged or too many");
  }
  fresh.shape = std::move(shape);
  shapes_.push_back(std::move(fresh));
  return {};
}

Result<void> SnapshotDecoder::read_table(ByteReader& body, const Last& last, Table& table,
                                         std::uint64_t& id) {
  id = body.number();
  const KnownShape* shape = known(id);
  if (shape == nullptr) {
    return bad("a table has no names");
  }
  table.shape = shape->shape;
  const Table* base = nullptr;
  bool same_rows = false;
  if (const auto same = last.tables.find(id)) {
    base = &last.section->tables[*same];
    same_rows = true;
  } else if (const auto near = last.tables.find(shape->base); near && shape->base != 0) {
    base = &last.section->tables[*near];
  }
  const std::size_t rows = table.shape->rows.size();
  const std::size_t columns = table.shape->columns.size();
  if (columns != 0 && rows > ChunkLoad::kMaxCellsOfSnapshot / columns) {
    return bad("a table is too large");
  }
  const std::size_t cells = rows * columns;
  load_.cells += cells;
  cells_of_snapshot_ += cells;
  if (!load_.is_below(1) || cells_of_snapshot_ > ChunkLoad::kMaxCellsOfSnapshot) {
    return bad("there are too many values");
  }
  switch (static_cast<Absent>(body.byte())) {
    case Absent::kNone:
      break;
    case Absent::kAsBefore:
      if (!same_rows) {
        return bad("a table is told by one that is not there");
      }
      table.absent = base->absent;
      break;
    case Absent::kListed: {
      const std::size_t words = body.count();
      if (words != (cells + 63) / 64) {
        return bad("absent values are listed for another table");
      }
      table.absent.reserve(words);
      for (std::size_t i = 0; i < words; ++i) {
        table.absent.push_back(body.number());
      }
      break;
    }
    default:
      return bad("absent values are listed in an unknown way");
  }
  table.values.resize(cells);
  CellReader reader(body);
  for (std::size_t column = 0; column < columns; ++column) {
    const bool real = table.shape->columns[column].type == NumberType::kReal;
    for (std::size_t row = 0; row < rows; ++row) {
      const std::uint32_t from = base == nullptr ? kNewRow
                                 : same_rows     ? static_cast<std::uint32_t>(row)
                                                 : shape->base_rows[row];
      const std::uint64_t then = from == kNewRow ? 0 : base->values[from * columns + column];
      const std::uint64_t cell = reader.next();
      table.values[row * columns + column] =
          real ? then ^ __builtin_bswap64(cell)
               : then + static_cast<std::uint64_t>(ByteReader::unzigzag(cell));
    }
  }
  if (!body.is_good() || !reader.is_done()) {
    return bad("a table's values are damaged");
  }
  return {};
}

Result<std::shared_ptr<Section>> SnapshotDecoder::read_section(ByteReader& body,
                                                               std::int64_t boottime_ns,
                                                               const Last& last,
                                                               std::vector<std::uint64_t>& ids) {
  auto section = std::make_shared<Section>();
  section->read_start_boottime_ns = sum(boottime_ns, body.signed_number());
  section->read_end_boottime_ns = sum(section->read_start_boottime_ns, body.signed_number());
  const std::size_t tables = body.count();
  if (tables > kMaxTablesOfSection) {
    return bad("a collector has too many tables");
  }
  section->tables.resize(tables);
  ids.resize(tables);
  for (std::size_t i = 0; i < tables; ++i) {
    if (auto read = read_table(body, last, section->tables[i], ids[i]); !read) {
      return tl::make_unexpected(read.error());
    }
  }
  return section;
}

Result<SnapshotPtr> SnapshotDecoder::read_snapshot(std::string_view bytes) {
  if (!names_) {
    return bad("values come before their collectors");
  }
  if (++load_.snapshots > ChunkLoad::kMaxSnapshots) {
    return bad("there are too many snapshots");
  }
  ByteReader body(bytes);
  const auto kept = std::make_shared<Kept>();
  kept->names = names_;
  Snapshot& out = kept->snapshot;
  add_growth(body, fields_);
  set_fields(out, fields_);
  cells_of_snapshot_ = 0;
  out.entries.reserve(names_->size());
  for (std::size_t i = 0; i < names_->size(); ++i) {
    Last& last = last_[i];
    const std::uint8_t bits = body.byte();
    if ((bits & kStatusAsBefore) == 0) {
      add_growth(body, last.status);
    }
    if ((bits & kHasSection) == 0) {
      last.section.reset();
      last.tables.assign({});
    } else if ((bits & kSectionAsBefore) == 0) {
      std::vector<std::uint64_t> ids;
      auto section = read_section(body, out.boottime_ns, last, ids);
      if (!section) {
        return tl::make_unexpected(section.error());
      }
      last.section = std::move(*section);
      last.tables.assign(std::move(ids));
    } else if (!last.section) {
      return bad("a collector's values are told by some that are not there");
    }
    out.entries.push_back({(*names_)[i], last.section, status_of(last.status)});
  }
  if (!body.is_good()) {
    return bad("a snapshot is damaged");
  }
  return SnapshotPtr(kept, &kept->snapshot);
}

Result<std::optional<SnapshotPtr>> SnapshotDecoder::next() {
  while (messages_.left() != 0) {
    const std::uint8_t type = messages_.byte();
    const std::string_view body = messages_.text();
    if (!messages_.is_good()) {
      return bad("a message is cut off");
    }
    Result<void> read;
    switch (static_cast<Message>(type)) {
      case Message::kCheckpoint:
        read = read_checkpoint(body);
        break;
      case Message::kCollectors:
        read = read_collectors(body);
        break;
      case Message::kShape:
        read = read_shape(body);
        break;
      case Message::kSnapshot: {
        auto snapshot = read_snapshot(body);
        if (snapshot) {
          return std::optional<SnapshotPtr>(std::move(*snapshot));
        }
        read = tl::make_unexpected(snapshot.error());
        break;
      }
      default:  // of a newer build
        break;
    }
    if (!read) {
      messages_.fail();
      return tl::make_unexpected(read.error());
    }
  }
  return std::optional<SnapshotPtr>();
}

}  // namespace tidegauge::recording
