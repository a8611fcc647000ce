// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/messages.h"

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

void ChunkLoad::add(const Shape& shape) {
  labels += shape.columns.size() + shape.label_names.size();
  for (const auto& column : shape.columns) {
    label_bytes += column.family.size() + column.help.size();
  }
  for (const auto& row : shape.rows) {
    labels += row.size() + 1;
    for (const std::string& value : row) {
      label_bytes += value.size();
    }
  }
}

}  // namespace tidegauge::recording
