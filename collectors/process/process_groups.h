// SPDX-License-Identifier: Apache-2.0
#pragma once

// Cumulative counters of groups. They outlive their members and only grow. Bounded: what finds no
// room counts for "other", so that sums over groups stay true.

#include <tsl/robin_map.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/process/task_sample.h"

namespace tidegauge {

struct ProcessGroup {
  std::string name;
  TaskCounters counters;
  TaskGauges gauges;  // of the members of the present pass
  std::uint64_t processes = 0;
  std::uint64_t started = 0;  // processes that ever were members
  std::int64_t first_member_ns = 0;
  std::int64_t last_member_ns = 0;
  std::uint64_t holders = 0;  // who keeps its number, see hold()
};

class ProcessGroups {
 public:
  static constexpr std::uint32_t kOther = 0;

  explicit ProcessGroups(std::size_t max_groups);

  // The group of that name, made when there is room. A group that nobody has asked for or been in for
  // as long as it lived (5 minutes at least, an hour at most) gives its place up when it is needed,
  // and its series end, as those of a process do.
  // `alive`: for a process that lives. The dead may only take half of the places, so that a storm of
  // short-lived names does not drive services into "other".
  std::uint32_t find_or_add(std::string_view name, bool alive, std::int64_t now_ns);

  // Whoever keeps the number from one pass to the next: its place is not given up meanwhile.
  void hold(std::uint32_t group) { ++groups_[group].holders; }
  void release(std::uint32_t group) { --groups_[group].holders; }

  void begin_pass();  // forgets gauges and members, keeps counters
  void add_member(std::uint32_t group, const TaskGauges& gauges, std::int64_t now_ns);
  void add_started(std::uint32_t group, std::uint64_t processes);
  // `now` less `before`, field by field; what is absent now stays so.
  void add_growth(std::uint32_t group, const TaskCounters& before, const TaskCounters& now);

  [[nodiscard]] const ProcessGroup& operator[](std::uint32_t group) const { return groups_[group]; }
  // Calls visit(group) for each, "other" first.
  void for_each(const std::function<void(const ProcessGroup&)>& visit) const;
  // Groups that were asked for and found no room, cumulative.
  [[nodiscard]] std::uint64_t overflows() const { return overflows_; }

 private:
  void make_room(std::int64_t now_ns);

  std::size_t max_groups_;
  std::vector<ProcessGroup> groups_;  // a free place has an empty name
  std::vector<std::uint32_t> free_;
  tsl::robin_map<std::string, std::uint32_t> index_;
  std::uint64_t overflows_ = 0;
  std::int64_t last_search_ns_ = 0;
};

}  // namespace tidegauge
