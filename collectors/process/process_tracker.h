// SPDX-License-Identifier: Apache-2.0
#pragma once

// From passes to what leaves this capability: cumulative groups and the busiest processes. Pure: time
// and what is known about a process come from outside, so that every way of appearing, changing and
// leaving is tested with tables of structs.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collectors/core/place_index.h"
#include "collectors/process/cgroup_identity.h"
#include "collectors/process/group_rules.h"
#include "collectors/process/process_groups.h"
#include "collectors/process/task_sample.h"
#include "collectors/process/top_processes.h"

namespace tidegauge {

// Who a process is beyond its sample. Shared by the members of a cgroup.
struct ProcessOwner {
  std::string cgroup;
  CgroupIdentity identity;
};

struct TrackedProcess {
  std::uint32_t group = ProcessGroups::kOther;
  bool is_complete = true;  // see Classified
  bool overflowed = false;  // there was no room for its group: it is in "other"
  TopScores scores;
  std::uint64_t id = 0;  // unique for its whole life
  ProcessSample sample;  // the last one
  std::uint64_t first_pass = 0;
  std::shared_ptr<const ProcessOwner> owner;  // null: unknown
};

// Asked when a process is new, when its name, user or cgroup changed, and now and then where the source
// cannot tell that.
struct Classified {
  GroupName group;
  std::shared_ptr<const ProcessOwner> owner;
  bool is_complete = true;  // false: something could not be read in time, ask again
};
using Classify = std::function<Classified(const ProcessSample& sample)>;
using ClassifyExited = std::function<GroupName(const ExitedSample& sample)>;

class ProcessTracker {
 public:
  ProcessTracker(std::size_t max_groups, std::size_t top_k) : groups_(max_groups), top_(top_k) {}

  void update(const TaskPass& pass, std::int64_t now_ns, const Classify& classify,
              const ClassifyExited& classify_exited);

  // A pass named an idle process that is not known here: the next one must show all.
  [[nodiscard]] bool wants_all() const { return wants_all_; }

  // The next pass comes from another source: who already lived is the same under another identity, and
  // what it has done so far is counted.
  void rebase();

  [[nodiscard]] const ProcessGroups& groups() const { return groups_; }
  // Those with series of their own, in a stable order. Valid until the next update.
  [[nodiscard]] const std::vector<const TrackedProcess*>& top() const { return shown_; }
  // Every process of the last pass, for `tidegauge top`.
  void for_each(const std::function<void(const TrackedProcess&)>& visit) const;
  [[nodiscard]] const TrackedProcess* find(std::uint32_t pid) const;
  [[nodiscard]] std::size_t size() const { return processes_.size(); }
  // Threads that were new in some pass, those of the first included, cumulative.
  [[nodiscard]] std::uint64_t born() const { return born_; }
  // Processes that had to be counted for "other" because their group found no room, cumulative.
  [[nodiscard]] std::uint64_t overflows() const { return overflows_; }

 private:
  // Every pass looks at all of these, a second after the last: few pages, one behind the other. What stands
  // beside `process` is a copy of what is there, see settle().
  struct Row {
    ProcessKey key;
    std::uint64_t last_pass = 0;
    std::uint32_t group = ProcessGroups::kOther;
    bool rests = false;     // it need not be looked at before its source has news of it
    bool is_quiet = false;  // its scores are zero
    TaskGauges gauges;
    std::uint64_t id = 0;
    std::unique_ptr<TrackedProcess> process = std::make_unique<TrackedProcess>();
  };

  static void settle(Row& row);
  void update_idle(const ProcessKey& key, std::int64_t now_ns, const Classify& classify);
  [[nodiscard]] std::uint32_t place_of(std::uint32_t pid) const;  // PlaceIndex::kNone: it has none
  [[nodiscard]] std::uint32_t expected_place_of(std::uint32_t pid);
  void update_one(const ProcessSample& sample, std::int64_t now_ns, const Classify& classify);
  void assign(TrackedProcess& process, const ProcessSample& sample, bool is_new, bool is_news,
              std::int64_t now_ns, const Classify& classify);
  void score(TrackedProcess& process, const ProcessSample& before) const;
  [[nodiscard]] bool is_due_again(const TrackedProcess& process) const;
  void remove(std::uint32_t at);
  template <class Predicate>
  std::size_t drop_departed(Predicate is_over);
  void choose_top(std::int64_t now_ns);

  ProcessGroups groups_;
  TopProcesses top_;
  std::vector<Row> processes_;
  PlaceIndex by_pid_;  // into it
  // Gone, with series until their hold is over.
  std::vector<std::unique_ptr<TrackedProcess>> departed_;
  std::vector<TopProcesses::Candidate> candidates_;
  std::vector<std::uint64_t> shown_ids_;  // sorted
  std::vector<const TrackedProcess*> shown_;
  bool wants_all_ = false;
  std::uint32_t expected_ = 0;  // place of the process that is likely next
  std::uint64_t overflows_ = 0;
  std::uint64_t born_ = 0;
  std::uint64_t pass_ = 0;
  std::uint64_t next_id_ = 1;
  std::int64_t last_ns_ = 0;
  double elapsed_s_ = 0;
  std::int64_t previous_ns_ = 0;         // of the pass before
  std::uint64_t counted_before_ns_ = 0;  // see rebase()
};

}  // namespace tidegauge
