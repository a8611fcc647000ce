// SPDX-License-Identifier: Apache-2.0
#pragma once

// Numbers and texts as bytes, as docs/recording.md describes: variable-length integers (LEB128), signed ones
// zigzagged, texts with their length in front. Nothing here allocates more than it has bytes for.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tidegauge::recording {

class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}

  void byte(std::uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void number(std::uint64_t value) {
    while (value >= 0x80) {
      byte(static_cast<std::uint8_t>(value | 0x80U));
      value >>= 7U;
    }
    byte(static_cast<std::uint8_t>(value));
  }
  void signed_number(std::int64_t value) { number(zigzag(value)); }
  void text(std::string_view value) {
    number(value.size());
    out_.append(value);
  }

  // Small for what is near 0 on either side.
  static std::uint64_t zigzag(std::int64_t value) {
    return (static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63U);
  }

 private:
  std::string& out_;
};

// Reading past the end, or a number of more than 64 bits, makes it bad for good; what is read then is 0 and "".
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  std::uint8_t byte() {
    if (position_ >= bytes_.size()) {
      fail();
      return 0;
    }
    return static_cast<std::uint8_t>(bytes_[position_++]);
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint8_t next = byte();
      if (shift == 63 && next > 1) {
        break;
      }
      value |= std::uint64_t{next & 0x7FU} << shift;
      if (next < 0x80) {
        return value;
      }
    }
    fail();
    return 0;
  }
  std::int64_t signed_number() { return unzigzag(number()); }
  std::string_view text() {
    const std::uint64_t size = number();
    if (size > left()) {
      fail();
      return {};
    }
    const std::string_view out = bytes_.substr(position_, static_cast<std::size_t>(size));
    position_ += out.size();
    return out;
  }
  // A count of things of which each takes at least one byte, so no larger than what is left.
  std::size_t count() {
    const std::uint64_t value = number();
    if (value > left()) {
      fail();
      return 0;
    }
    return static_cast<std::size_t>(value);
  }

  void fail() {
    is_good_ = false;
    position_ = bytes_.size();
  }
  [[nodiscard]] bool is_good() const { return is_good_; }
  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t left() const { return bytes_.size() - position_; }

  static std::int64_t unzigzag(std::uint64_t value) {
    return static_cast<std::int64_t>((value >> 1U) ^ (~(value & 1U) + 1U));
  }

 private:
  std::string_view bytes_;
  std::size_t position_ = 0;
  bool is_good_ = true;
};

}  // namespace tidegauge::recording
