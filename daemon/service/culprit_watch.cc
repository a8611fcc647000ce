// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/culprit_watch.h"

#include <string_view>

namespace tidegauge {

namespace {

constexpr std::array<std::string_view, 2> kWaits{"node_pressure_io_waiting_seconds_total",
                                                 "node_pressure_memory_waiting_seconds_total"};
// An idle host is far below, one whose users notice is far above.
constexpr double kWaitShare = 0.1;

std::optional<double> value_of(const Section& section, std::string_view family) {
  for (const Table& table : section.tables) {
    const auto column = find_column(*table.shape, family);
    if (column && !table.shape->rows.empty() && table.has(0, *column)) {
      return table.value(0, *column);
    }
  }
  return std::nullopt;
}

}  // namespace

bool CulpritWatch::wants_pass(const Snapshot& snapshot) {
  const SnapshotEntry* entry = snapshot.find("pressure");
  if (entry == nullptr || entry->section == nullptr) {
    last_ = {};
    return false;
  }
  bool waits = false;
  const std::int64_t read_ns = entry->section->read_start_boottime_ns;
  for (std::size_t i = 0; i < kWaits.size(); ++i) {
    const auto waited_s = value_of(*entry->section, kWaits[i]);
    if (waited_s && last_[i] && read_ns > last_[i]->read_ns) {
      const double elapsed_s = static_cast<double>(read_ns - last_[i]->read_ns) / 1e9;
      waits = waits || *waited_s - last_[i]->waited_s >= kWaitShare * elapsed_s;
    }
    last_[i] = waited_s ? std::optional(Seen{read_ns, *waited_s}) : std::nullopt;
  }
  return waits;
}

}  // namespace tidegauge
