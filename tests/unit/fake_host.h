// SPDX-License-Identifier: Apache-2.0
#pragma once

// A host made up of single series, for tests of heuristics: set what metrics say, tick, set, tick.

#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/core/section.h"
#include "collectors/core/table_builder.h"

namespace tidegauge::testing {

class FakeHost {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  // The value of a series; `family` may end in a suffix behind a bar: "tidegauge_block_device_seconds|_sum".
  void set(const std::string& collector, const std::string& family, const Labels& labels,
           double value) {
    collectors_[collector][family][labels] = value;
  }
  void add(const std::string& collector, const std::string& family, const Labels& labels,
           double value) {
    collectors_[collector][family][labels] += value;
  }
  void remove(const std::string& collector, const std::string& family) {
    collectors_[collector].erase(family);
  }
  // The collector fails from now on.
  void fail(const std::string& collector) { failed_[collector] = true; }

  // What it is `seconds` later. All collectors are read at that moment.
  Snapshot tick(double seconds = 1) {
    boottime_ns_ += static_cast<std::int64_t>(seconds * 1e9);
    Snapshot out;
    out.sequence = ++sequence_;
    out.boottime_ns = boottime_ns_;
    out.realtime_ns = boottime_ns_ + kBootRealtimeNs;
    for (const auto& [collector, families] : collectors_) {
      const auto name = names_.emplace(collector).first;
      SnapshotEntry entry;
      entry.collector = *name;
      entry.status.ran = true;
      entry.status.success = !failed_[collector];
      if (!failed_[collector]) {
        entry.section = section(collector, families);
      }
      out.entries.push_back(std::move(entry));
    }
    return out;
  }
  [[nodiscard]] std::int64_t boottime_ns() const { return boottime_ns_; }
  static constexpr std::int64_t kBootRealtimeNs = 1'700'000'000'000'000'000;

 private:
  using Series = std::map<Labels, double>;

  std::shared_ptr<const Section> section(const std::string& collector,
                                         const std::map<std::string, Series>& families) {
    auto out = std::make_shared<Section>();
    out->read_start_boottime_ns = boottime_ns_;
    out->read_end_boottime_ns = boottime_ns_;
    for (const auto& [family, series] : families) {
      // A table for each family and set of label names.
      std::map<std::vector<std::string>, std::vector<const Series::value_type*>> by_names;
      for (const auto& one : series) {
        std::vector<std::string> names;
        for (const auto& [name, value] : one.first) {
          names.push_back(name);
        }
        by_names[names].push_back(&one);
      }
      for (const auto& [names, rows] : by_names) {
        auto& table = tables_[collector + "/" + family + "/" + std::to_string(names.size())];
        if (!table) {
          ColumnInfo info;
          const std::size_t bar = family.find('|');
          info.family = family.substr(0, bar);
          info.suffix = bar == std::string::npos ? "" : family.substr(bar + 1);
          info.type = NumberType::kReal;
          table = std::make_unique<RowTable>(names, std::vector<ColumnInfo>{info});
        }
        table->begin();
        for (const auto* row : rows) {
          std::vector<std::string_view> values;
          for (const auto& [name, value] : row->first) {
            values.push_back(value);
          }
          table->row(values);
          table->set(0, std::bit_cast<std::uint64_t>(row->second));
        }
        out->tables.push_back(table->take());
      }
    }
    return out;
  }

  std::map<std::string, std::map<std::string, Series>> collectors_;
  std::map<std::string, bool> failed_;
  std::map<std::string, std::unique_ptr<RowTable>> tables_;
  std::set<std::string> names_;  // views into it stay good
  std::int64_t boottime_ns_ = 1'000'000'000'000;
  std::uint64_t sequence_ = 0;
};

}  // namespace tidegauge::testing
