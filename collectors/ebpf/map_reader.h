// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reads whole BPF hash maps of cumulative values and tells what was added since the last pass.

#include <bpf/bpf.h>
#include <tsl/robin_map.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/result.h"

namespace tidegauge {

// Calls visit(key, value) for every entry of a hash map; in batches where the kernel has them. `values`
// are `value_bytes` apart: of a per-CPU map, all CPUs' values one after another. Entries that come or
// go meanwhile may or may not be seen. Returns the number seen.
Result<std::size_t> read_map(int fd, std::size_t key_bytes, std::size_t value_bytes,
                             const std::function<void(const char* key, const char* value)>& visit);

// CPUs the kernel makes room for in per-CPU maps.
int possible_cpus();

// Value: a struct of nothing but __u64 that only grow. Key: plain, without padding.
//
// An entry that did not grow for `idle_passes` is deleted when the map is more than half full: what is
// added between the last look and the deletion, microseconds, is lost, so only idle ones are.
template <class Key, class Value>
class MapFolder {
 public:
  MapFolder(std::size_t max_entries, bool per_cpu, unsigned idle_passes = 30)
      : max_entries_(max_entries), per_cpu_(per_cpu), idle_passes_(idle_passes) {}

  // visit(key, added, total): for entries that have grown.
  Result<void> fold(int fd,
                    const std::function<void(const Key&, const Value&, const Value&)>& visit) {
    ++pass_;
    const std::size_t copies = per_cpu_ ? static_cast<std::size_t>(possible_cpus()) : 1;
    auto read = read_map(fd, sizeof(Key), sizeof(Value) * copies,
                         [&](const char* key_bytes, const char* value_bytes) {
                           Key key;
                           std::memcpy(&key, key_bytes, sizeof(key));
                           Value total{};
                           for (std::size_t i = 0; i < copies; ++i) {
                             add_words(total, value_bytes + i * sizeof(Value));
                           }
                           take(key, total, visit);
                         });
    if (!read) {
      return tl::make_unexpected(read.error());
    }
    entries_ = *read;
    forget_idle(fd);
    return {};
  }
  // Of the last pass.
  [[nodiscard]] std::size_t entries() const { return entries_; }

 private:
  static constexpr std::size_t kWords = sizeof(Value) / sizeof(std::uint64_t);
  static_assert(sizeof(Value) % sizeof(std::uint64_t) == 0);
  struct Hash {
    std::size_t operator()(const Key& key) const {
      return std::hash<std::string_view>()({reinterpret_cast<const char*>(&key), sizeof(key)});
    }
  };
  struct Equal {
    bool operator()(const Key& a, const Key& b) const {
      return std::memcmp(&a, &b, sizeof(Key)) == 0;
    }
  };
  struct Last {
    Value value{};
    std::uint64_t grown_pass = 0;
    std::uint64_t seen_pass = 0;
  };

  static void add_words(Value& to, const char* from) {
    auto* words = reinterpret_cast<std::uint64_t*>(&to);
    for (std::size_t i = 0; i < kWords; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, from + i * sizeof(word), sizeof(word));
      words[i] += word;
    }
  }

  void take(const Key& key, const Value& total,
            const std::function<void(const Key&, const Value&, const Value&)>& visit) {
    Last& last = last_[key];
    last.seen_pass = pass_;
    if (std::memcmp(&total, &last.value, sizeof(Value)) == 0) {
      return;
    }
    Value added{};
    const auto* now = reinterpret_cast<const std::uint64_t*>(&total);
    const auto* before = reinterpret_cast<const std::uint64_t*>(&last.value);
    auto* growth = reinterpret_cast<std::uint64_t*>(&added);
    for (std::size_t i = 0; i < kWords; ++i) {
      // An entry that left and came again starts at 0.
      growth[i] = now[i] >= before[i] ? now[i] - before[i] : now[i];
    }
    last.value = total;
    last.grown_pass = pass_;
    visit(key, added, total);
  }

  void forget_idle(int fd) {
    const bool crowded = entries_ * 2 > max_entries_;
    for (auto at = last_.begin(); at != last_.end();) {
      const Last& last = at->second;
      if (last.seen_pass != pass_) {
        at = last_.erase(at);
        continue;
      }
      if (crowded && last.grown_pass + idle_passes_ <= pass_) {
        static_cast<void>(::bpf_map_delete_elem(fd, &at->first));
        at = last_.erase(at);
        continue;
      }
      ++at;
    }
  }

  std::size_t max_entries_;
  bool per_cpu_;
  unsigned idle_passes_;
  std::uint64_t pass_ = 0;
  std::size_t entries_ = 0;
  tsl::robin_map<Key, Last, Hash, Equal> last_;
};

}  // namespace tidegauge
