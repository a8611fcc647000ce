// SPDX-License-Identifier: Apache-2.0
#pragma once

// The last few operations on files that took too long. Pure: time comes with each call.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace tidegauge {

struct SlowOperation {
  std::string operation;
  std::string path;  // "" when there is none
  std::string fstype;
  std::string thread;
  std::uint32_t pid = 0;
  std::uint32_t tid = 0;
  std::uint64_t ns = 0;
  std::int64_t seen_ns = 0;
};

class SlowOperations {
 public:
  static constexpr std::size_t kKept = 16;
  static constexpr std::int64_t kKeepNs = 300'000'000'000;

  // Of two that differ in their duration only the longer one stays.
  void add(SlowOperation operation);
  void forget(std::int64_t now_ns);
  [[nodiscard]] const std::deque<SlowOperation>& kept() const { return kept_; }  // oldest first

 private:
  std::deque<SlowOperation> kept_;
};

}  // namespace tidegauge
