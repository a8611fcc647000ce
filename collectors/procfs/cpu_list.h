// SPDX-License-Identifier: Apache-2.0
#pragma once

// CPU numbers as the kernel lists them: "0-3,8" and directories cpu0, cpu1, ...

#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/result.h"

namespace tidegauge {

// NR_CPUS is at most 8192 in any architecture's Kconfig; this leaves room.
inline constexpr std::uint32_t kMaxCpus = 65'536;

// lib/bitmap.c "%*pbl". Replaces `cpus`, in the order of the list. An empty line is an empty list.
Result<void> parse_cpu_list(std::string_view file, std::string_view text,
                            std::vector<std::uint32_t>& cpus);

// The numbers of the cpuN directories in `directory`, as text and in the order of their names
// (0, 1, 10, 2), which is the order node_exporter walks them in.
Result<std::vector<std::string>> list_cpu_directories(const std::string& directory);

// A number as a label value, without a std::string.
class NumberText {
 public:
  explicit NumberText(std::uint64_t number) {
    const auto end = std::to_chars(digits_.data(), digits_.data() + digits_.size(), number);
    size_ = static_cast<std::size_t>(end.ptr - digits_.data());
  }
  [[nodiscard]] std::string_view view() const { return {digits_.data(), size_}; }

 private:
  std::array<char, 20> digits_;
  std::size_t size_;
};

}  // namespace tidegauge
