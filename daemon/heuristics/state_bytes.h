// SPDX-License-Identifier: Apache-2.0
#pragma once

// State as bytes, little-endian, for the recorder's checkpoints. What is taken is checked by whoever takes it.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace tidegauge::heuristics {

static_assert(std::endian::native == std::endian::little);

template <class T>
requires std::is_arithmetic_v<T>
void put_number(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

template <class T>
requires std::is_arithmetic_v<T>
bool take_number(std::string_view& in, T& value) {
  if (in.size() < sizeof(T)) {
    return false;
  }
  std::memcpy(&value, in.data(), sizeof(T));
  in.remove_prefix(sizeof(T));
  return true;
}

inline void put_text(std::string& out, std::string_view text) {
  put_number(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

inline bool take_text(std::string_view& in, std::string& text, std::size_t most = 4096) {
  std::uint32_t size = 0;
  if (!take_number(in, size) || size > most || size > in.size()) {
    return false;
  }
  text.assign(in.substr(0, size));
  in.remove_prefix(size);
  return true;
}

}  // namespace tidegauge::heuristics
