// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_sums.h"

#include <algorithm>
#include <utility>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

std::string text_of(const char (&field)[16]) {
  const std::string_view whole(field, sizeof(field));
  return sanitize_label(whole.substr(0, std::min(whole.find('\0'), whole.size())));
}

}  // namespace

void add_operations(OperationSums& to, std::uint32_t group, const tg_operation_key& key,
                    const tg_operation& added) {
  OperationSum& sum = to[{group, text_of(key.fstype), key.operation}];
  sum.durations.add(added.slots, added.ns);
  sum.errors += added.errors;
  sum.bytes += added.bytes;
  sum.slow += added.slow;
}

void add_churn(ChurnSums& to, std::uint32_t group, const tg_churn_key& key, const tg_churn& added) {
  ChurnSum& sum = to[{group, text_of(key.fstype)}];
  sum.lifetimes.add(added.lifetimes, added.lifetime_ns);
  sum.created += added.created;
  sum.deleted += added.deleted;
}

DirectorySum& DirectorySum::operator+=(const DirectorySum& added) {
  created += added.created;
  deleted += added.deleted;
  bytes += added.bytes;
  unstored_bytes += added.unstored_bytes;
  untold += added.untold;
  return *this;
}

bool DirectorySums::make_room(std::int64_t now_ns) {
  if (patterns_ < max_patterns_) {
    return true;
  }
  auto longest = entries_.end();
  for (auto at = entries_.begin(); at != entries_.end(); ++at) {
    if (at->first.second != kOther &&
        (longest == entries_.end() || at->second.grown_ns < longest->second.grown_ns)) {
      longest = at;
    }
  }
  if (longest == entries_.end() || now_ns - longest->second.grown_ns <= kIdleNs) {
    return false;
  }
  Entry& other = entries_[Key(longest->first.first, kOther)];
  other.sum += longest->second.sum;
  other.grown_ns = now_ns;
  entries_.erase(longest);
  --patterns_;
  return true;
}

void DirectorySums::add(std::uint32_t group, const std::string& pattern, const tg_directory& added,
                        std::int64_t now_ns) {
  auto at = entries_.find(Key(group, pattern));
  if (at == entries_.end()) {
    const bool fits = pattern != kOther && make_room(now_ns);
    patterns_ += fits ? 1 : 0;
    at = entries_.try_emplace(Key(group, fits ? pattern : std::string(kOther))).first;
  }
  DirectorySum& sum = at->second.sum;
  sum.created += added.created;
  sum.deleted += added.deleted;
  sum.bytes += added.bytes;
  sum.unstored_bytes += added.unstored;
  sum.untold += added.untold;
  at->second.grown_ns = now_ns;
}

void DirectorySums::forget_group(std::uint32_t group) {
  patterns_ -= static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(), [group](const auto& item) {
        return item.first.first == group && item.first.second != kOther;
      }));
  tidegauge::forget_group(entries_, group);
}

void DirectorySums::for_each(const std::function<void(std::uint32_t, const std::string&,
                                                      const DirectorySum&)>& visit) const {
  for (const auto& [key, entry] : entries_) {
    visit(key.first, key.second, entry.sum);
  }
}

}  // namespace tidegauge
