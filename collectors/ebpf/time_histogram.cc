// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/time_histogram.h"

#include <array>
#include <charconv>
#include <string>

namespace tidegauge {

namespace {

std::string seconds_text(std::uint64_t us) {
  std::array<char, 32> text{};
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), static_cast<double>(us) / 1e6);
  return {text.data(), end.ptr};
}

}  // namespace

std::vector<ColumnInfo> time_histogram_columns(std::string_view family, std::string_view help,
                                               BucketStep step) {
  std::vector<ColumnInfo> out;
  ColumnInfo info;
  info.family = family;
  info.help = help;
  info.kind = MetricKind::kHistogram;
  info.suffix = "_bucket";
  // The last slot has no upper bound.
  for (unsigned slot = 0; slot + 1 < TG_TIME_SLOTS; slot += static_cast<unsigned>(step)) {
    info.labels = {{"le", seconds_text(std::uint64_t{1} << slot)}};
    out.push_back(info);
  }
  info.labels = {{"le", "+Inf"}};
  out.push_back(info);
  info.labels.clear();
  info.suffix = "_sum";
  info.scale = kNanoseconds;
  out.push_back(info);
  info.suffix = "_count";
  info.scale = kUnit;
  out.push_back(info);
  return out;
}

std::size_t set_time_histogram(RowTable& table, std::size_t first, const TimeHistogram& histogram,
                               BucketStep step) {
  std::size_t column = first;
  std::uint64_t below = 0;
  for (unsigned slot = 0; slot < TG_TIME_SLOTS; ++slot) {
    below += histogram.slots[slot];
    if (slot + 1 < TG_TIME_SLOTS && slot % static_cast<unsigned>(step) == 0) {
      table.set(column++, below);
    }
  }
  table.set(column++, below);
  table.set(column++, histogram.sum_ns);
  table.set(column++, below);
  return column;
}

}  // namespace tidegauge
