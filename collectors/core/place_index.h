// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where the entries of a vector are, by hash: open addressing over 8 bytes an entry. tsl::robin_map keeps whole
// entries at twice to four times the room; of entries of 100 bytes and more that is most of it.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tidegauge {

// Knows hashes and places only: whoever asks compares keys. Not thread-safe.
class PlaceIndex {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  // The place for which is_it(place) is true, among those of this hash; kNone: there is none.
  template <class IsIt>
  [[nodiscard]] std::uint32_t find(std::size_t hash, IsIt&& is_it) const {
    if (slots_.empty()) {
      return kNone;
    }
    const std::uint32_t mixed = mix(hash);
    for (std::size_t at = home(mixed); slots_[at].place != kNone; at = next(at)) {
      if (slots_[at].hash == mixed && is_it(slots_[at].place)) {
        return slots_[at].place;
      }
    }
    return kNone;
  }

  // Not in there yet.
  void insert(std::size_t hash, std::uint32_t place) {
    if ((size_ + 1) * 4 > slots_.size() * 3) {
      resize(slots_.empty() ? kLeast : slots_.size() * 2);
    }
    put({place, mix(hash)});
    ++size_;
  }

  void erase(std::size_t hash, std::uint32_t place) {
    std::size_t hole = find_slot(mix(hash), place);
    --size_;
    // Whoever stands behind the hole and may come nearer to its home does.
    for (std::size_t at = next(hole); slots_[at].place != kNone; at = next(at)) {
      const std::size_t from_home = (at - home(slots_[at].hash)) & (slots_.size() - 1);
      const std::size_t from_hole = (at - hole) & (slots_.size() - 1);
      if (from_home >= from_hole) {
        slots_[hole] = slots_[at];
        hole = at;
      }
    }
    slots_[hole] = {};
  }

  void move(std::size_t hash, std::uint32_t from, std::uint32_t to) {
    slots_[find_slot(mix(hash), from)].place = to;
  }

  // Gives memory back when little of it is used.
  void trim() {
    std::size_t wanted = slots_.size();
    while (wanted > kLeast && size_ * 8 < wanted) {
      wanted /= 2;
    }
    if (wanted != slots_.size()) {
      resize(wanted);
    }
  }

  [[nodiscard]] std::size_t slots() const { return slots_.size(); }

 private:
  static constexpr std::size_t kLeast = 16;
  struct Slot {
    std::uint32_t place = kNone;
    std::uint32_t hash = 0;
  };

  static std::uint32_t mix(std::size_t hash) {
    return static_cast<std::uint32_t>(hash * 0x9E3779B97F4A7C15ULL >> 32U);
  }
  [[nodiscard]] std::size_t home(std::uint32_t mixed) const { return mixed & (slots_.size() - 1); }
  [[nodiscard]] std::size_t next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }

  // Of an entry that is there.
  [[nodiscard]] std::size_t find_slot(std::uint32_t mixed, std::uint32_t place) const {
    std::size_t at = home(mixed);
    while (slots_[at].place != place) {
      at = next(at);
    }
    return at;
  }

  void put(Slot slot) {
    std::size_t at = home(slot.hash);
    while (slots_[at].place != kNone) {
      at = next(at);
    }
    slots_[at] = slot;
  }

  void resize(std::size_t slots) {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots));
    for (const Slot& slot : old) {
      if (slot.place != kNone) {
        put(slot);
      }
    }
  }

  std::vector<Slot> slots_;  // a power of two of them, at most three quarters taken
  std::size_t size_ = 0;
};

}  // namespace tidegauge
