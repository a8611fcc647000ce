// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a crowd took is given back when it has gone: a vector alone keeps it for ever.

#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace tidegauge {

// Less is not worth it.
inline constexpr std::size_t kWorthGivingBack = 1024;

// When less than a quarter is used; whether it did. Entries move.
template <class T>
bool give_back_spare(std::vector<T>& of, std::size_t least = kWorthGivingBack) {
  if (of.capacity() <= least || of.size() * 4 >= of.capacity()) {
    return false;
  }
  std::vector<T> fitting;
  fitting.reserve(of.size() * 2);
  fitting.insert(fitting.end(), std::make_move_iterator(of.begin()),
                 std::make_move_iterator(of.end()));
  of = std::move(fitting);
  return true;
}

// Keeps the memory for as many again, unless that is much more than these were.
template <class T>
void clear_for_as_many(std::vector<T>& of) {
  if (of.capacity() > kWorthGivingBack && of.size() * 8 < of.capacity()) {
    of = std::vector<T>();  // {} would keep the memory
  }
  of.clear();
}

}  // namespace tidegauge
