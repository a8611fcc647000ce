// SPDX-License-Identifier: Apache-2.0
#pragma once

// What crosses folders: immutable Snapshots of Sections of Tables. Cumulative values in kernel units
// plus the time each part was read; rates and meaning belong to whoever consumes them. Live data and
// a replayed recording have this same form. Nothing in here reads files, clocks or configuration.
//
// A Table is a matrix: rows are label sets (devices, zones, CPUs), columns are metrics. Its Shape
// (everything but the numbers) is shared between ticks by pointer and changes only when a device
// comes or goes, which is what lets the exporter pre-render it and the recorder store it once.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/column.h"
#include "collectors/core/result.h"

namespace tidegauge {

struct Label {
  std::string name;
  std::string value;
  friend bool operator==(const Label&, const Label&) = default;
};

struct ColumnInfo {
  std::string family;  // metric name; columns of one family stand next to each other
  std::string suffix;  // "_bucket", "_sum", "_count" in histograms and summaries, else empty
  std::string help;
  MetricKind kind = MetricKind::kGauge;
  NumberType type = NumberType::kUnsigned;
  Scale scale;
  std::vector<Label> labels;  // constant labels
  friend bool operator==(const ColumnInfo&, const ColumnInfo&) = default;
};

struct Shape {
  std::vector<std::string> label_names;
  std::vector<ColumnInfo> columns;
  std::vector<std::vector<std::string>> rows;  // label values, sanitised, parallel to label_names
};

struct Table {
  std::shared_ptr<const Shape> shape;
  std::vector<std::uint64_t> values;  // row-major; doubles and signed numbers as their bits
  std::vector<std::uint64_t> absent;  // bitmap over values; empty when nothing is absent

  [[nodiscard]] std::size_t index(std::size_t row, std::size_t column) const {
    return row * shape->columns.size() + column;
  }
  // Absent is not 0: the kernel lacks the field, or the device had no such line.
  [[nodiscard]] bool has(std::size_t row, std::size_t column) const {
    const std::size_t i = index(row, column);
    return absent.empty() || ((absent[i / 64] >> (i % 64)) & 1U) == 0;
  }
  [[nodiscard]] std::uint64_t raw(std::size_t row, std::size_t column) const {
    return values[index(row, column)];
  }
  // In base units, rounded to a double. Requires has(row, column).
  [[nodiscard]] double value(std::size_t row, std::size_t column) const;
};

struct Section {
  std::vector<Table> tables;
  std::int64_t read_start_boottime_ns = 0;
  std::int64_t read_end_boottime_ns = 0;
};

// How a collector fares; every count is since the daemon's start.
struct CollectorStatus {
  bool ran = false;                        // at least once
  bool success = false;                    // of its last finished run
  bool stuck = false;                      // its present run has outlived the time limit
  ErrorKind error = ErrorKind::kIo;        // of its last finished run when success is false
  std::int64_t interval_ns = 0;            // as configured
  std::int64_t effective_interval_ns = 0;  // longer when the daemon would exceed its CPU budget
  std::int64_t duration_ns = 0;            // of its last finished run
  std::int64_t cpu_ns = 0;                 // of all its finished runs
  std::int64_t last_success_realtime_ns = 0;
  std::int64_t last_run_boottime_ns = 0;
  std::uint64_t runs = 0;
  std::uint64_t failures = 0;
  std::uint64_t skipped = 0;     // runs that were due and could not start
  std::uint64_t early_runs = 0;  // runs asked for before their time
};

struct SnapshotEntry {
  std::string_view collector;              // the registry's name, static lifetime
  std::shared_ptr<const Section> section;  // null when it failed, is stale or has not run yet
  CollectorStatus status;
};

struct Snapshot {
  std::uint64_t sequence = 0;
  std::int64_t realtime_ns = 0;  // of the tick, CLOCK_REALTIME
  std::int64_t boottime_ns = 0;  // of the tick, CLOCK_BOOTTIME: for elapsed time
  std::uint64_t ticks = 0;
  std::uint64_t ticks_skipped = 0;
  std::vector<SnapshotEntry> entries;  // in registry order

  [[nodiscard]] const SnapshotEntry* find(std::string_view collector) const;
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

// Finds a plain column (no bucket, sum or count) by family and constant labels; none when this recording or kernel lacks it.
std::optional<std::size_t> find_column(const Shape& shape, std::string_view family,
                                       ConstantLabel label = {});

}  // namespace tidegauge
