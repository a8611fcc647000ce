// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/suggest.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace tidegauge {

namespace {

// Longer words are no typing errors, and the distance is quadratic.
constexpr std::size_t kMaxWordBytes = 80;
constexpr std::size_t kMaxErrors = 3;

std::string fold(std::string_view word) {
  std::string folded(word);
  for (char& c : folded) {
    if (c == '-' || c == '.') {
      c = '_';
    } else if (c >= 'A' && c <= 'Z') {
      c = static_cast<char>(c - 'A' + 'a');
    }
  }
  return folded;
}

std::string_view last_part(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

// Insertions, deletions, replacements and swaps of neighbours.
std::size_t typing_errors(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    last[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::string suggest(std::string_view word, std::span<const std::string> candidates) {
  if (word.empty() || word.size() > kMaxWordBytes) {
    return {};
  }
  const std::string folded = fold(word);
  const std::string* best = nullptr;
  std::size_t fewest = std::min(kMaxErrors, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t errors = typing_errors(folded, fold(candidate));
    if (errors < fewest) {
      fewest = errors;
      best = &candidate;
    }
  }
  for (const std::string& candidate : candidates) {
    if (best == nullptr && fold(last_part(candidate)) == folded) {
      best = &candidate;
    }
  }
  return best == nullptr ? std::string() : *best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> candidates,
                         std::string_view prefix) {
  const std::string suggestion = suggest(word, candidates);
  if (suggestion.empty()) {
    return {};
  }
  return "; did you mean \"" + std::string(prefix) + suggestion + "\"?";
}

}  // namespace tidegauge
