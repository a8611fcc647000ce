// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reads whole BPF hash maps of cumulative values and tells what was added since the last pass.

#include <bpf/bpf.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/dense_map.h"
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
// Entries that did not grow for `idle_ns` are deleted when the map is more than half full; when it is more than
// three quarters full, those that did not grow since the last pass, which may be long ago. The kernel tells
// the last value as it deletes (before 5.14 what is added in the microseconds since the last look is lost).
template <class Key, class Value>
class MapFolder {
 public:
  using Visit = std::function<void(const Key&, const Value&, const Value&)>;

  MapFolder(std::size_t max_entries, bool per_cpu, std::int64_t idle_ns = 30'000'000'000)
      : max_entries_(max_entries),
        copies_(per_cpu ? static_cast<std::size_t>(possible_cpus()) : 1),
        idle_ns_(idle_ns) {}

  // visit(key, added, total): for entries that have grown. now_ns: of a clock that does not go back.
  Result<void> fold(int fd, std::int64_t now_ns, const Visit& visit) {
    ++pass_;
    now_ns_ = now_ns;
    last_.begin_pass();
    auto read = read_map(fd, sizeof(Key), sizeof(Value) * copies_,
                         [&](const char* key_bytes, const char* value_bytes) {
                           Key key;
                           std::memcpy(&key, key_bytes, sizeof(key));
                           take(key, total_of(value_bytes), visit);
                         });
    if (!read) {
      return tl::make_unexpected(read.error());
    }
    entries_ = *read;
    forget_idle(fd, visit);
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
    std::int64_t grown_ns = 0;
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

  Value total_of(const char* value_bytes) const {
    Value total{};
    for (std::size_t i = 0; i < copies_; ++i) {
      add_words(total, value_bytes + i * sizeof(Value));
    }
    return total;
  }

  void take(const Key& key, const Value& total, const Visit& visit) {
    Last& last = last_.find_or_add(key);
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
    last.grown_ns = now_ns_;
    visit(key, added, total);
  }

  void delete_entry(int fd, const Key& key, const Visit& visit) {
    std::vector<char> value(sizeof(Value) * copies_);
    if (::bpf_map_lookup_and_delete_elem(fd, &key, value.data()) == 0) {
      take(key, total_of(value.data()), visit);
    } else {
      static_cast<void>(::bpf_map_delete_elem(fd, &key));
    }
  }

  [[nodiscard]] bool is_idle(const Last& last) const {
    if (entries_ * 4 > max_entries_ * 3) {
      return last.grown_pass != pass_;
    }
    return entries_ * 2 > max_entries_ && now_ns_ - last.grown_ns >= idle_ns_;
  }

  void forget_idle(int fd, const Visit& visit) {
    for (std::size_t at = 0; at < last_.size();) {
      if (last_[at].value.seen_pass != pass_) {
        last_.erase_at(at);
      } else if (is_idle(last_[at].value)) {
        delete_entry(fd, Key(last_[at].key), visit);
        last_.erase_at(at);
      } else {
        ++at;
      }
    }
  }

  std::size_t max_entries_;
  std::size_t copies_;
  std::int64_t idle_ns_;
  std::int64_t now_ns_ = 0;
  std::uint64_t pass_ = 0;
  std::size_t entries_ = 0;
  DenseMap<Key, Last, Hash, Equal> last_;
};

}  // namespace tidegauge
