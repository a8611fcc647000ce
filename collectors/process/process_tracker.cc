// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_tracker.h"

#include <malloc.h>
#include <tsl/robin_map.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "collectors/core/spare_memory.h"

namespace tidegauge {

namespace {

// A source reports each end once. A process it has neither reported nor ended for so many passes was
// lost to an error.
constexpr std::uint64_t kForgottenPasses = 10;
// More than TopProcesses ever shows.
constexpr std::size_t kMaxDeparted = 1024;

constexpr std::uint64_t grown_by(std::uint64_t now, std::uint64_t before) {
  return now > before ? now - before : 0;
}

std::uint64_t own_memory_bytes(const ProcessSample& sample) {
  return sample.gauges[TaskGauge::kAnonBytes] + sample.gauges[TaskGauge::kShmemBytes] +
         sample.gauges[TaskGauge::kSwapBytes];
}

// An absent field has stayed where it was, whatever the source left in its place.
void carry_absent(TaskCounters& now, const TaskCounters& before) {
  for (std::size_t i = 0; i < kTaskCounters; ++i) {
    if (((now.has >> i) & 1U) == 0) {
      now.values[i] = before.values[i];
    }
  }
}

bool is_overflow(std::uint32_t group, const GroupName& name) {
  return group == ProcessGroups::kOther && name.name != "other";
}

bool is_same_work(const ProcessSample& a, const ProcessSample& b) {
  return a.comm == b.comm && a.uid == b.uid && a.cgroup_key == b.cgroup_key;
}

}  // namespace

template <class Predicate>
std::size_t ProcessTracker::drop_departed(Predicate is_over) {
  const auto kept = std::stable_partition(departed_.begin(), departed_.end(), std::not_fn(is_over));
  std::for_each(kept, departed_.end(), [this](const auto& p) { groups_.release(p->group); });
  const auto dropped = static_cast<std::size_t>(departed_.end() - kept);
  departed_.erase(kept, departed_.end());
  return dropped;
}

void ProcessTracker::update(const TaskPass& pass, std::int64_t now_ns, const Classify& classify,
                            const ClassifyExited& classify_exited) {
  ++pass_;
  elapsed_s_ =
      last_ns_ != 0 && now_ns > last_ns_ ? static_cast<double>(now_ns - last_ns_) / 1e9 : 0;
  previous_ns_ = std::exchange(last_ns_, now_ns);
  groups_.begin_pass();
  expected_ = 0;
  // Ends first: a pid may be another's in the same pass.
  for (const bool alive : {false, true}) {
    for (const ProcessSample& sample : pass.processes) {
      if (sample.alive == alive) {
        update_one(sample, now_ns, classify);
      }
    }
  }
  wants_all_ = false;
  expected_ = 0;
  for (const ProcessKey& key : pass.idle) {
    update_idle(key, now_ns, classify);
  }
  for (const ExitedSample& exited : pass.exited) {
    const GroupName name = classify_exited(exited);
    const std::uint32_t group = groups_.find_or_add(
        {.name = name.name, .chosen = name.chosen, .alive = false, .uid = exited.uid}, now_ns);
    overflows_ += is_overflow(group, name) ? exited.processes : 0;
    groups_.add_growth(group, {}, exited.counters);
    groups_.add_started(group, exited.processes);
  }
  for (std::uint32_t i = 0; i < processes_.size();) {
    if (processes_[i].last_pass + kForgottenPasses < pass_) {
      // Should it come back, it is not new: what it did so far was counted.
      counted_before_ns_ = std::max(counted_before_ns_, processes_[i].key.start_ns + 1);
      remove(i);
    } else {
      ++i;
    }
  }
  if (give_back_spare(processes_)) {
    by_pid_.trim();
    ::malloc_trim(0);  // what the rows pointed to, and those of the sources
  }
  choose_top(now_ns);
}

// A service moves itself into its cgroup right after it started; later moves are rare. Without a key of
// its cgroup a process is looked at again in its second pass and then in turn.
bool ProcessTracker::is_due_again(const TrackedProcess& process) const {
  constexpr std::uint64_t kEveryPasses = 64;
  constexpr std::uint64_t kIncompleteEveryPasses = 8;
  if (!process.is_complete && (process.id + pass_) % kIncompleteEveryPasses == 0) {
    return true;
  }
  const bool in_turn = (process.id + pass_) % kEveryPasses == 0;
  if (process.overflowed && in_turn) {
    return true;
  }
  return process.sample.cgroup_key == 0 && !process.sample.kernel_thread &&
         (pass_ == process.first_pass + 1 || in_turn);
}

// Passes meet processes in the same order, so that the next one is mostly behind the last. processes_.size()
// where there is none.
std::uint32_t ProcessTracker::expected_place_of(std::uint32_t pid) {
  std::uint32_t place = expected_;
  if (place >= processes_.size() || processes_[place].key.pid != pid) {
    place = std::min(place_of(pid), static_cast<std::uint32_t>(processes_.size()));
  }
  expected_ = place + 1;
  return place;
}

void ProcessTracker::update_idle(const ProcessKey& key, std::int64_t now_ns,
                                 const Classify& classify) {
  const std::uint32_t place = expected_place_of(key.pid);
  if (place == processes_.size() || processes_[place].key != key) {
    wants_all_ = true;
    return;
  }
  Row& row = processes_[place];
  if (row.rests || (row.is_quiet && !is_due_again(*row.process))) {
    row.last_pass = pass_;
    groups_.add_member(row.group, row.gauges, now_ns);
    return;
  }
  update_one(ProcessSample(row.process->sample), now_ns, classify);
}

void ProcessTracker::settle(Row& row) {
  const TrackedProcess& process = *row.process;
  row.key = process.sample.key;
  row.group = process.group;
  row.is_quiet = process.scores.are_zero();
  row.rests = row.is_quiet && process.is_complete && !process.overflowed &&
              (process.sample.cgroup_key != 0 || process.sample.kernel_thread);
  row.gauges = process.sample.gauges;
  row.id = process.id;
}

void ProcessTracker::update_one(const ProcessSample& sample, std::int64_t now_ns,
                                const Classify& classify) {
  std::uint32_t place = expected_place_of(sample.key.pid);
  place = place < processes_.size() ? place : PlaceIndex::kNone;
  if (place != PlaceIndex::kNone && processes_[place].key != sample.key) {
    if (!sample.alive && sample.key.start_ns < processes_[place].key.start_ns) {
      return;  // its successor is here already
    }
    remove(place);
    place = PlaceIndex::kNone;
  }
  const bool is_new = place == PlaceIndex::kNone;
  if (is_new) {
    // One row per pid: those of its former owners end.
    drop_departed([&](const auto& old) { return old->sample.key.pid == sample.key.pid; });
    place = static_cast<std::uint32_t>(processes_.size());
    by_pid_.insert(sample.key.pid, place);
    Row& row = processes_.emplace_back();
    row.key.pid = sample.key.pid;
    TrackedProcess& process = *row.process;
    process.sample.key.pid = sample.key.pid;
    process.id = next_id_++;
    process.first_pass = pass_;
    groups_.hold(process.group);
  }
  Row& row = processes_[place];
  row.last_pass = pass_;
  TrackedProcess& process = *row.process;
  const bool look_again = !is_new && sample.alive && is_due_again(process);
  if (!is_new && !look_again && sample.alive && sample == process.sample &&
      process.scores.are_zero()) {  // idle, as most are
    groups_.add_member(process.group, sample.gauges, now_ns);
    return;
  }
  const bool is_news = !is_new || sample.key.start_ns >= counted_before_ns_;
  if (is_new || look_again || !is_same_work(process.sample, sample)) {
    assign(process, sample, is_new, is_news, now_ns, classify);
  }
  const ProcessSample before =
      is_new ? ProcessSample{} : std::exchange(process.sample, ProcessSample{});
  process.sample = sample;
  carry_absent(process.sample.counters, before.counters);
  born_ += grown_by(sample.gauges[TaskGauge::kThreads], before.gauges[TaskGauge::kThreads]);
  if (is_news) {
    groups_.add_growth(process.group, before.counters, process.sample.counters);
  }
  // One that started since the pass before has done all of it since then.
  if (!is_new || static_cast<std::int64_t>(sample.key.start_ns) >= previous_ns_) {
    score(process, before);
  }
  if (sample.alive) {
    settle(row);
    groups_.add_member(row.group, row.gauges, now_ns);
  } else {
    remove(place);
  }
}

void ProcessTracker::assign(TrackedProcess& process, const ProcessSample& sample, bool is_new,
                            bool is_news, std::int64_t now_ns, const Classify& classify) {
  Classified classified = classify(sample);
  process.is_complete = classified.is_complete;
  if (!is_new && !classified.is_complete && is_same_work(process.sample, sample)) {
    return;  // what was known is better
  }
  // A zombie shows its last name: it takes no more room than others that are gone.
  const bool alive = sample.alive && sample.state != 'Z';
  const std::uint32_t group = groups_.find_or_add({.name = classified.group.name,
                                                   .chosen = classified.group.chosen,
                                                   .alive = alive,
                                                   .uid = sample.uid},
                                                  now_ns);
  if (is_news && (is_new || group != process.group)) {
    groups_.add_started(group, 1);
  }
  groups_.hold(group);
  groups_.release(std::exchange(process.group, group));
  process.owner = std::move(classified.owner);
  const bool overflowed = is_overflow(group, classified.group);
  overflows_ += overflowed && !process.overflowed ? 1 : 0;
  process.overflowed = overflowed;
}

void ProcessTracker::rebase() {
  for (const Row& row : processes_) {
    groups_.release(row.process->group);
  }
  drop_departed([](const auto&) { return true; });
  processes_.clear();
  by_pid_ = PlaceIndex();
  shown_.clear();
  counted_before_ns_ = static_cast<std::uint64_t>(last_ns_);
}

void ProcessTracker::score(TrackedProcess& process, const ProcessSample& before) const {
  const ProcessSample& now = process.sample;
  const auto growth = [&](TaskCounter field) {
    return static_cast<double>(grown_by(now.counters[field], before.counters[field]));
  };
  TopScores& scores = process.scores;
  scores.update(TopCriterion::kRead, growth(TaskCounter::kStorageReadBytes), elapsed_s_);
  scores.update(TopCriterion::kWrite, growth(TaskCounter::kStorageWriteBytes), elapsed_s_);
  // Who waits a tenth of the time for a few syncs is as interesting as who makes a hundred a second.
  constexpr double kSyncsPerSecondWaited = 1000;
  scores.update(
      TopCriterion::kSync,
      growth(TaskCounter::kSyncCalls) + kSyncsPerSecondWaited * growth(TaskCounter::kSyncNs) / 1e9,
      elapsed_s_);
  scores.update(TopCriterion::kCpu,
                (growth(TaskCounter::kUserNs) + growth(TaskCounter::kSystemNs)) / 1e9, elapsed_s_);
  scores.update(TopCriterion::kMajorFaults, growth(TaskCounter::kMajorFaults), elapsed_s_);
  if (now.alive) {
    scores.update(
        TopCriterion::kMemoryGrowth,
        static_cast<double>(own_memory_bytes(now)) - static_cast<double>(own_memory_bytes(before)),
        elapsed_s_);
  }
}

// The last one takes its place. Who has series keeps them until TopProcesses lets it go.
void ProcessTracker::remove(std::uint32_t at) {
  Row& row = processes_[at];
  by_pid_.erase(row.key.pid, at);
  if (departed_.size() < kMaxDeparted &&
      std::binary_search(shown_ids_.begin(), shown_ids_.end(), row.process->id)) {
    row.process->sample.alive = false;
    departed_.push_back(std::move(row.process));
  } else {
    groups_.release(row.process->group);
  }
  const auto last = static_cast<std::uint32_t>(processes_.size() - 1);
  if (at != last) {
    row = std::move(processes_.back());
    by_pid_.move(row.key.pid, last, at);
  }
  processes_.pop_back();
}

void ProcessTracker::choose_top(std::int64_t now_ns) {
  candidates_.clear();
  tsl::robin_map<std::uint64_t, const TrackedProcess*> by_id;
  const auto is_shown = [&](std::uint64_t id) {
    return std::binary_search(shown_ids_.begin(), shown_ids_.end(), id);
  };
  const auto offer = [&](const TrackedProcess& process, bool alive) {
    const std::int64_t age_ns = now_ns - static_cast<std::int64_t>(process.sample.key.start_ns);
    candidates_.push_back({process.id, &process.scores, alive, age_ns});
    by_id.emplace(process.id, &process);
  };
  for (const Row& row : processes_) {
    if (!row.is_quiet || is_shown(row.id)) {
      offer(*row.process, true);
    }
  }
  for (const auto& process : departed_) {
    if (!process->scores.are_zero() || is_shown(process->id)) {
      offer(*process, false);
    }
  }
  shown_ids_ = top_.update(candidates_, now_ns);
  shown_.clear();
  drop_departed([&](const auto& process) { return !is_shown(process->id); });
  for (const std::uint64_t id : shown_ids_) {
    if (const auto at = by_id.find(id); at != by_id.end()) {
      shown_.push_back(at->second);
    }
  }
}

void ProcessTracker::for_each(const std::function<void(const TrackedProcess&)>& visit) const {
  for (const Row& row : processes_) {
    visit(*row.process);
  }
}

const TrackedProcess* ProcessTracker::find(std::uint32_t pid) const {
  const std::uint32_t place = place_of(pid);
  return place != PlaceIndex::kNone ? processes_[place].process.get() : nullptr;
}

std::uint32_t ProcessTracker::place_of(std::uint32_t pid) const {
  return by_pid_.find(pid, [&](std::uint32_t place) { return processes_[place].key.pid == pid; });
}

}  // namespace tidegauge
