// SPDX-License-Identifier: Apache-2.0
#pragma once

// A hash map whose entries lie one behind another in a vector: takes what its entries take and 11 to 21 bytes
// for each, and is walked as fast as a vector.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "collectors/core/place_index.h"
#include "collectors/core/spare_memory.h"

namespace tidegauge {

// Pointers and places stay until the next insertion or removal. Not thread-safe.
template <class Key, class Value, class Hash, class Equal>
class DenseMap {
 public:
  struct Entry {
    Key key;
    Value value;
  };

  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  // By place, in no order that means anything.
  [[nodiscard]] Entry& operator[](std::size_t place) { return entries_[place]; }
  [[nodiscard]] const Entry& operator[](std::size_t place) const { return entries_[place]; }
  [[nodiscard]] auto begin() { return entries_.begin(); }
  [[nodiscard]] auto end() { return entries_.end(); }
  [[nodiscard]] auto begin() const { return entries_.begin(); }
  [[nodiscard]] auto end() const { return entries_.end(); }

  // PlaceIndex::kNone when it is not there.
  [[nodiscard]] std::uint32_t place_of(const Key& key) const {
    return index_.find(Hash()(key),
                       [&](std::uint32_t place) { return Equal()(entries_[place].key, key); });
  }
  // Null when it is not there.
  [[nodiscard]] Value* find(const Key& key) {
    const std::uint32_t place = place_of(key);
    return place == PlaceIndex::kNone ? nullptr : &entries_[place].value;
  }
  [[nodiscard]] const Value* find(const Key& key) const {
    const std::uint32_t place = place_of(key);
    return place == PlaceIndex::kNone ? nullptr : &entries_[place].value;
  }

  // The one that is there, or a fresh one. Who asks for keys in the order in which they came in pays for no look-up.
  Value& find_or_add(const Key& key) {
    std::size_t place = expected_;
    if (place >= entries_.size() || !Equal()(entries_[place].key, key)) {
      place = place_of(key);
    }
    if (place == PlaceIndex::kNone) {
      place = entries_.size();
      index_.insert(Hash()(key), static_cast<std::uint32_t>(place));
      entries_.push_back({key, Value{}});
    }
    expected_ = place + 1;
    return entries_[place].value;
  }

  // The last one takes its place.
  void erase_at(std::size_t place) {
    const auto last = static_cast<std::uint32_t>(entries_.size() - 1);
    index_.erase(Hash()(entries_[place].key), static_cast<std::uint32_t>(place));
    if (place != last) {
      index_.move(Hash()(entries_[last].key), last, static_cast<std::uint32_t>(place));
      entries_[place] = std::move(entries_[last]);
    }
    entries_.pop_back();
  }

  bool erase(const Key& key) {
    const std::uint32_t place = place_of(key);
    if (place != PlaceIndex::kNone) {
      erase_at(place);
    }
    return place != PlaceIndex::kNone;
  }

  // Before keys are asked for in their order; gives memory back when little of it is used.
  void begin_pass() {
    expected_ = 0;
    if (give_back_spare(entries_, kSpare)) {
      index_.trim();
    }
  }

  [[nodiscard]] std::size_t capacity() const { return entries_.capacity(); }

 private:
  static constexpr std::size_t kSpare = 64;

  std::vector<Entry> entries_;
  PlaceIndex index_;
  std::size_t expected_ = 0;
};

}  // namespace tidegauge
