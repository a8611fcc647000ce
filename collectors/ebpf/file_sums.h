// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sums of what bpf/files.bpf.c counts, by what is shown. Only grow until their group ends. Pure; not thread-safe.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "bpf/file_records.h"
#include "collectors/ebpf/time_histogram.h"

namespace tidegauge {

struct OperationSum {
  TimeHistogram durations;
  std::uint64_t errors = 0;
  std::uint64_t bytes = 0;
  std::uint64_t slow = 0;
};

// By group, file system type and operation.
using OperationKey = std::tuple<std::uint32_t, std::string, std::uint32_t>;
using OperationSums = std::map<OperationKey, OperationSum>;
void add_operations(OperationSums& to, std::uint32_t group, const tg_operation_key& key,
                    const tg_operation& added);

struct ChurnSum {
  TimeHistogram lifetimes;
  std::uint64_t created = 0;
  std::uint64_t deleted = 0;
};

// By group and file system type.
using ChurnKey = std::tuple<std::uint32_t, std::string>;
using ChurnSums = std::map<ChurnKey, ChurnSum>;
void add_churn(ChurnSums& to, std::uint32_t group, const tg_churn_key& key, const tg_churn& added);

struct DirectorySum {
  std::uint64_t created = 0;
  std::uint64_t deleted = 0;
  std::uint64_t bytes = 0;
  std::uint64_t unstored_bytes = 0;
  std::uint64_t untold = 0;  // of deleted: whether they were stored is not known

  DirectorySum& operator+=(const DirectorySum& added);
};

// A group whose number may stand for another from now on.
template <class Sums>
void forget_group(Sums& sums, std::uint32_t group) {
  std::erase_if(sums, [group](const auto& entry) { return std::get<0>(entry.first) == group; });
}

// By group and pattern of directories. Bounded: what finds no room counts for "other" of its group. When a place is
// needed, the pattern of which nothing was heard for the longest time, half a minute at least, gives its place up: what it
// has counted is "other" then, so that a group's sum stays.
class DirectorySums {
 public:
  static constexpr std::string_view kOther = "other";
  explicit DirectorySums(std::size_t max_patterns) : max_patterns_(max_patterns) {}

  void add(std::uint32_t group, const std::string& pattern, const tg_directory& added,
           std::int64_t now_ns);
  void forget_group(std::uint32_t group);
  void for_each(const std::function<void(std::uint32_t group, const std::string& pattern,
                                         const DirectorySum&)>& visit) const;

 private:
  static constexpr std::int64_t kIdleNs = 30'000'000'000;
  struct Entry {
    DirectorySum sum;
    std::int64_t grown_ns = 0;
  };
  using Key = std::pair<std::uint32_t, std::string>;
  bool make_room(std::int64_t now_ns);

  std::size_t max_patterns_;
  std::size_t patterns_ = 0;  // without "other"
  std::map<Key, Entry> entries_;
};

}  // namespace tidegauge
