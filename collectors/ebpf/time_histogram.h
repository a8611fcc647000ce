// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histograms of times as BPF programs count them (bpf/histogram_records.h), and their columns.

#include <linux/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "bpf/histogram_records.h"
#include "collectors/core/table_builder.h"

namespace tidegauge {

struct TimeHistogram {
  std::array<std::uint64_t, TG_TIME_SLOTS> slots{};
  std::uint64_t sum_ns = 0;

  void add(const __u64* added_slots, std::uint64_t added_ns) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      slots[i] += added_slots[i];
    }
    sum_ns += added_ns;
  }
  [[nodiscard]] std::uint64_t count() const {
    std::uint64_t out = 0;
    for (const std::uint64_t slot : slots) {
      out += slot;
    }
    return out;
  }
};

// Every power of two (kFine) or of four: half the series.
enum class BucketStep : std::uint8_t { kFine = 1, kCoarse = 2 };

// _bucket columns with their `le` in seconds, then _sum and _count: one family.
std::vector<ColumnInfo> time_histogram_columns(std::string_view family, std::string_view help,
                                               BucketStep step);
// Into the row begun last; the columns stand from `first` on. Returns the column behind them.
std::size_t set_time_histogram(RowTable& table, std::size_t first, const TimeHistogram& histogram,
                               BucketStep step);

}  // namespace tidegauge
