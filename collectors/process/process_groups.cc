// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_groups.h"

#include <algorithm>

namespace tidegauge {

namespace {

// Looking for groups to forget reads all of them: not for every name of a fork bomb.
constexpr std::int64_t kSearchNs = 10'000'000'000;
constexpr std::int64_t kLeastForgetNs = 300'000'000'000;
constexpr std::int64_t kMostForgetNs = 3'600'000'000'000;

constexpr std::size_t kLeastOfOneUser = 10;

bool has_rested(const ProcessGroup& group, std::int64_t now_ns) {
  const std::int64_t lived_ns = group.last_member_ns - group.first_member_ns;
  return now_ns - group.last_member_ns > std::clamp(lived_ns, kLeastForgetNs, kMostForgetNs);
}

}  // namespace

ProcessGroups::ProcessGroups(std::size_t max_groups)
    : max_groups_(std::max<std::size_t>(max_groups, 1)) {
  groups_.emplace_back().name = "other";
  index_.emplace("other", kOther);
}

bool ProcessGroups::is_idle(std::uint32_t group, std::int64_t now_ns) const {
  return group != kOther && has_rested(groups_[group], now_ns);
}

void ProcessGroups::count(const ProcessGroup& group, bool taken) {
  const auto add = [taken](std::size_t& places) { taken ? ++places : --places; };
  if (!group.alive) {
    add(ended_);
  }
  if (group.chosen) {
    add(chosen_);
    std::size_t& of_uid = chosen_by_uid_[group.uid];
    add(of_uid);
    if (of_uid == 0) {
      chosen_by_uid_.erase(group.uid);
    }
  }
}

bool ProcessGroups::has_room(const GroupClaim& claim) const {
  const std::size_t quarter = (max_groups_ + 3) / 4;
  if (index_.size() > max_groups_) {  // "other" is among them and takes no place
    return false;
  }
  if (!claim.alive && ended_ >= quarter) {
    return false;
  }
  if (!claim.chosen) {
    return true;
  }
  const auto of_uid = chosen_by_uid_.find(claim.uid);
  return chosen_ < max_groups_ - max_groups_ / 4 &&
         (claim.uid == 0 || of_uid == chosen_by_uid_.end() ||
          of_uid->second < std::max(quarter, kLeastOfOneUser));
}

std::uint32_t ProcessGroups::find_or_add(const GroupClaim& claim, std::int64_t now_ns) {
  const std::string key(claim.name);
  if (const auto at = index_.find(key); at != index_.end()) {
    ProcessGroup& group = groups_[at->second];
    group.last_member_ns = now_ns;
    if (claim.alive && !group.alive) {
      group.alive = true;
      --ended_;
    }
    return at->second;
  }
  if (!has_room(claim)) {
    make_room(now_ns);
    if (!has_room(claim)) {
      return kOther;
    }
  }
  std::uint32_t place = 0;
  if (free_.empty()) {
    place = static_cast<std::uint32_t>(groups_.size());
    groups_.emplace_back();
  } else {
    place = free_.back();
    free_.pop_back();
  }
  groups_[place].name = key;
  groups_[place].first_member_ns = now_ns;
  groups_[place].last_member_ns = now_ns;
  groups_[place].chosen = claim.chosen;
  groups_[place].alive = claim.alive;
  groups_[place].uid = claim.uid;
  count(groups_[place], true);
  index_.emplace(key, place);
  return place;
}

void ProcessGroups::make_room(std::int64_t now_ns) {
  if (now_ns - last_search_ns_ < kSearchNs) {
    return;
  }
  last_search_ns_ = now_ns;
  for (std::uint32_t i = 1; i < groups_.size(); ++i) {
    ProcessGroup& group = groups_[i];
    if (!group.name.empty() && group.holders == 0 && has_rested(group, now_ns)) {
      index_.erase(group.name);
      count(group, false);
      group = {};
      free_.push_back(i);
    }
  }
}

void ProcessGroups::begin_pass() {
  for (ProcessGroup& group : groups_) {
    group.gauges = {};
    group.processes = 0;
  }
}

void ProcessGroups::add_member(std::uint32_t group, const TaskGauges& gauges, std::int64_t now_ns) {
  ProcessGroup& to = groups_[group];
  ++to.processes;
  to.last_member_ns = now_ns;
  to.gauges.has |= gauges.has;
  for (std::size_t i = 0; i < kTaskGauges; ++i) {
    to.gauges.values[i] += gauges.values[i];
  }
}

void ProcessGroups::add_started(std::uint32_t group, std::uint64_t processes) {
  groups_[group].started += processes;
}

void ProcessGroups::add_growth(std::uint32_t group, const TaskCounters& before,
                               const TaskCounters& now) {
  ProcessGroup& to = groups_[group];
  to.counters.has |= now.has;
  for (std::size_t i = 0; i < kTaskCounters; ++i) {
    if (now.values[i] > before.values[i]) {
      to.counters.values[i] += now.values[i] - before.values[i];
    }
  }
}

void ProcessGroups::for_each(const std::function<void(const ProcessGroup&)>& visit) const {
  for (const ProcessGroup& group : groups_) {
    if (!group.name.empty()) {
      visit(group);
    }
  }
}

}  // namespace tidegauge
