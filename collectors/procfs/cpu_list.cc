// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cpu_list.h"

#include <algorithm>
#include <optional>

#include "collectors/core/kernel_files.h"
#include "collectors/core/text.h"

namespace tidegauge {

// 1,3-5,9
Result<void> parse_cpu_list(std::string_view file, std::string_view text,
                            std::vector<std::uint32_t>& cpus) {
  cpus.clear();
  std::string_view rest = trim(text);
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const auto dash = item.find('-');
    const auto first = parse_unsigned(item.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_unsigned(item.substr(dash + 1));
    const bool comma_last = comma != std::string_view::npos && comma + 1 == rest.size();
    if (!first || !last || *last < *first || *last >= kMaxCpus || comma_last ||
        *last - *first >= kMaxCpus - cpus.size()) {
      return malformed(file, 1, "a list of CPU numbers such as 0-3,8");
    }
    for (std::uint64_t cpu = *first; cpu <= *last; ++cpu) {
      cpus.push_back(static_cast<std::uint32_t>(cpu));
    }
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
  }
  return {};
}

Result<std::vector<std::string>> list_cpu_directories(const std::string& directory) {
  auto names = list_directory(directory);
  if (!names) {
    return names;
  }
  std::vector<std::string> numbers;
  for (const std::string& name : *names) {
    if (name.starts_with("cpu") && parse_unsigned(std::string_view(name).substr(3))) {
      numbers.push_back(name.substr(3));
    }
  }
  return numbers;
}

}  // namespace tidegauge
