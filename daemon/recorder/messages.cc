// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/messages.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

namespace tidegauge::recording {

StatusFields status_fields(const CollectorStatus& status) {
  return {status.ran ? 1 : 0,
          status.success ? 1 : 0,
          status.stuck ? 1 : 0,
          static_cast<std::int64_t>(status.error),
          status.interval_ns,
          status.effective_interval_ns,
          status.duration_ns,
          status.cpu_ns,
          status.last_success_realtime_ns,
          status.last_run_boottime_ns,
          static_cast<std::int64_t>(status.runs),
          static_cast<std::int64_t>(status.failures),
          static_cast<std::int64_t>(status.skipped),
          static_cast<std::int64_t>(status.early_runs)};
}

CollectorStatus status_of(const StatusFields& fields) {
  constexpr auto kLastError = static_cast<std::int64_t>(ErrorKind::kIo);
  CollectorStatus out;
  out.ran = fields[0] != 0;
  out.success = fields[1] != 0;
  out.stuck = fields[2] != 0;
  // Of a newer build that knows more kinds: the one for everything else.
  out.error =
      static_cast<ErrorKind>(fields[3] >= 0 && fields[3] <= kLastError ? fields[3] : kLastError);
  out.interval_ns = fields[4];
  out.effective_interval_ns = fields[5];
  out.duration_ns = fields[6];
  out.cpu_ns = fields[7];
  out.last_success_realtime_ns = fields[8];
  out.last_run_boottime_ns = fields[9];
  out.runs = static_cast<std::uint64_t>(fields[10]);
  out.failures = static_cast<std::uint64_t>(fields[11]);
  out.skipped = static_cast<std::uint64_t>(fields[12]);
  out.early_runs = static_cast<std::uint64_t>(fields[13]);
  return out;
}

SnapshotFields snapshot_fields(const Snapshot& snapshot) {
  return {static_cast<std::int64_t>(snapshot.sequence), snapshot.realtime_ns, snapshot.boottime_ns,
          static_cast<std::int64_t>(snapshot.ticks),
          static_cast<std::int64_t>(snapshot.ticks_skipped)};
}

void set_fields(Snapshot& snapshot, const SnapshotFields& fields) {
  snapshot.sequence = static_cast<std::uint64_t>(fields[0]);
  snapshot.realtime_ns = fields[1];
  snapshot.boottime_ns = fields[2];
  snapshot.ticks = static_cast<std::uint64_t>(fields[3]);
  snapshot.ticks_skipped = static_cast<std::uint64_t>(fields[4]);
}

bool is_metric_name(std::string_view text) {
  const bool begins_well = !text.empty() && (text[0] < '0' || text[0] > '9');
  return begins_well && text.size() <= kMaxNameBytes &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == ':';
         });
}

// Names that begin with __ are Prometheus's own.
bool is_label_name(std::string_view text) {
  return is_metric_name(text) && text.find(':') == std::string_view::npos &&
         !text.starts_with("__");
}

bool is_possible(const Shape& shape) {
  std::set<std::string_view> names;
  for (const std::string& name : shape.label_names) {
    if (!is_label_name(name) || !names.insert(name).second) {
      return false;
    }
  }
  if (names.size() > kMaxLabelNames || shape.columns.size() > kMaxColumns) {
    return false;
  }
  return std::all_of(shape.columns.begin(), shape.columns.end(), [&](const ColumnInfo& column) {
    const std::size_t of_labels =
        std::accumulate(column.labels.begin(), column.labels.end(), std::size_t{0},
                        [](std::size_t n, const Label& l) { return n + l.value.size(); });
    return is_metric_name(column.family) && column.help.size() <= kMaxHelpBytes &&
           (column.suffix.empty() || is_metric_name(column.suffix)) &&
           column.labels.size() + names.size() <= kMaxLabelNames && of_labels <= kMaxHelpBytes &&
           std::all_of(column.labels.begin(), column.labels.end(), [&](const Label& label) {
             return is_label_name(label.name) && names.count(label.name) == 0 &&
                    std::count_if(column.labels.begin(), column.labels.end(),
                                  [&](const Label& l) { return l.name == label.name; }) == 1;
           });
  });
}

void TableIndex::assign(std::vector<std::uint64_t> ids) {
  ids_ = std::move(ids);
  index_.clear();
  for (std::size_t i = 0; i < ids_.size() && ids_.size() > kFew; ++i) {
    index_.emplace(ids_[i], i);
  }
}

std::optional<std::size_t> TableIndex::find(std::uint64_t id) const {
  if (ids_.size() > kFew) {
    const auto at = index_.find(id);
    return at == index_.end() ? std::nullopt : std::optional(at->second);
  }
  const auto at = std::find(ids_.begin(), ids_.end(), id);
  return at == ids_.end() ? std::nullopt
                          : std::optional(static_cast<std::size_t>(at - ids_.begin()));
}

void ChunkLoad::add_names(const Shape& shape) {
  constexpr std::size_t kOfColumn = 4;  // a column takes as much memory as so many labels
  labels += 1 + shape.label_names.size() + kOfColumn * shape.columns.size();
  for (const ColumnInfo& column : shape.columns) {
    label_bytes += column.family.size() + column.suffix.size() + column.help.size();
    labels += column.labels.size();
    for (const Label& label : column.labels) {
      label_bytes += label.name.size() + label.value.size();
    }
  }
}

void ChunkLoad::add_rows(const Shape& shape) {
  constexpr std::size_t kAround = 4;  // a label's name and value: =, quotes, comma
  std::size_t of_row = 0;
  for (const ColumnInfo& column : shape.columns) {
    of_row += column.family.size() + column.suffix.size();
    for (const Label& label : column.labels) {
      of_row += label.name.size() + label.value.size() + kAround;
    }
  }
  for (const std::string& name : shape.label_names) {
    of_row += shape.columns.size() * (name.size() + kAround);
  }
  for (const auto& row : shape.rows) {
    labels += row.size() + 1;
    text_bytes += of_row;
    for (const std::string& value : row) {
      label_bytes += value.size();
      text_bytes += shape.columns.size() * value.size();
    }
  }
}

}  // namespace tidegauge::recording
