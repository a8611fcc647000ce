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

// Who asks for a group's place. Names that processes choose themselves may take three quarters of the places,
// those of processes that are only known by their end a quarter, and those of one user other than root a
// quarter or ten: so that nobody can drive services, or others' processes, into "other".
struct GroupClaim {
  std::string_view name;
  bool chosen = false;  // see GroupName
  bool alive = true;
  std::uint32_t uid = 0;
};

struct ProcessGroup {
  std::string name;
  TaskCounters counters;
  TaskGauges gauges;  // of the members of the present pass
  std::uint64_t processes = 0;
  std::uint64_t started = 0;  // processes that ever were members
  std::int64_t first_member_ns = 0;
  std::int64_t last_member_ns = 0;
  std::uint64_t holders = 0;  // who keeps its number, see hold()
  // What its place was taken for.
  bool chosen = false;
  bool alive = true;
  std::uint32_t uid = 0;
};

class ProcessGroups {
 public:
  static constexpr std::uint32_t kOther = 0;

  explicit ProcessGroups(std::size_t max_groups);

  // The group of that name, made when there is room, else "other". A group that nobody has asked for or been
  // in for as long as it lived (5 minutes at least, an hour at most) gives its place up when it is needed,
  // and its series end, as those of a process do.
  std::uint32_t find_or_add(const GroupClaim& claim, std::int64_t now_ns);

  // Whoever keeps the number from one pass to the next: its place is not given up meanwhile.
  void hold(std::uint32_t group) { ++groups_[group].holders; }
  void release(std::uint32_t group) { --groups_[group].holders; }
  // Something was counted for it that is no member.
  void touch(std::uint32_t group, std::int64_t now_ns) { groups_[group].last_member_ns = now_ns; }
  // Whether it would give its place up if nobody held it.
  [[nodiscard]] bool is_idle(std::uint32_t group, std::int64_t now_ns) const;
  // All numbers are below; some may be free.
  [[nodiscard]] std::uint32_t places() const { return static_cast<std::uint32_t>(groups_.size()); }

  void begin_pass();  // forgets gauges and members, keeps counters
  void add_member(std::uint32_t group, const TaskGauges& gauges, std::int64_t now_ns);
  void add_started(std::uint32_t group, std::uint64_t processes);
  // `now` less `before`, field by field; what is absent now stays so.
  void add_growth(std::uint32_t group, const TaskCounters& before, const TaskCounters& now);

  [[nodiscard]] const ProcessGroup& operator[](std::uint32_t group) const { return groups_[group]; }
  // Calls visit(group) for each, "other" first.
  void for_each(const std::function<void(const ProcessGroup&)>& visit) const;

 private:
  [[nodiscard]] bool has_room(const GroupClaim& claim) const;
  void make_room(std::int64_t now_ns);
  void count(const ProcessGroup& group, bool taken);

  std::size_t max_groups_;
  std::size_t chosen_ = 0;  // places taken
  std::size_t ended_ = 0;
  tsl::robin_map<std::uint32_t, std::size_t> chosen_by_uid_;
  std::vector<ProcessGroup> groups_;  // a free place has an empty name
  std::vector<std::uint32_t> free_;
  tsl::robin_map<std::string, std::uint32_t> index_;
  std::int64_t last_search_ns_ = 0;
};

}  // namespace tidegauge
