// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/peak_watch.h"

#include <string_view>

namespace tidegauge::recording {

namespace {

constexpr std::string_view kWaits[] = {"node_pressure_cpu_waiting_seconds_total",
                                       "node_pressure_io_waiting_seconds_total",
                                       "node_pressure_memory_waiting_seconds_total"};
constexpr std::int64_t kLeastNs = 5'000'000'000;
constexpr double kClearly = 1.2;
constexpr double kLeast = 0.05;  // less is no trouble

std::optional<double> waited_seconds(const Section& section) {
  std::optional<double> sum;
  for (const Table& table : section.tables) {
    for (const std::string_view family : kWaits) {
      const auto column = find_column(*table.shape, family);
      if (column && !table.shape->rows.empty() && table.has(0, *column)) {
        sum = sum.value_or(0) + table.value(0, *column);
      }
    }
  }
  return sum;
}

}  // namespace

void PeakWatch::begin_incident() {
  worst_ = 0;
  is_first_ = true;
  waited_s_.reset();  // of the incident before: its mean since then would be no measure
}

bool PeakWatch::is_peak(const Snapshot& snapshot) {
  const SnapshotEntry* entry = snapshot.find("pressure");
  if (entry == nullptr || entry->section == nullptr) {
    waited_s_.reset();
    return false;
  }
  const std::int64_t read_ns = entry->section->read_start_boottime_ns;
  const auto now_s = waited_seconds(*entry->section);
  const auto before_s = waited_s_;
  const std::int64_t before_ns = read_ns_;
  waited_s_ = now_s;
  read_ns_ = read_ns;
  if (!now_s || !before_s || read_ns <= before_ns) {
    return false;
  }
  const double waits = (*now_s - *before_s) / (static_cast<double>(read_ns - before_ns) / 1e9);
  if (is_first_) {  // of the onset there are copies already
    is_first_ = false;
    worst_ = waits;
    told_ns_ = read_ns;
    return false;
  }
  if (waits < kLeast || waits < worst_ * kClearly || read_ns - told_ns_ < kLeastNs) {
    return false;
  }
  worst_ = waits;
  told_ns_ = read_ns;
  return true;
}

}  // namespace tidegauge::recording
