// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/reap_ledger.h"

#include <algorithm>
#include <utility>

namespace tidegauge {

namespace {

constexpr std::uint32_t kInit = 1;

// Ends that hide nothing: a zombie's counters are final, a kernel thread has nobody to wait for it.
bool nothing_unseen(const ProcessEntry& process) {
  return process.sample.kernel_thread || (process.sample.state == 'Z' && process.threads() <= 1);
}

ReapMarks marks_of(const ProcessEntry& child) {
  const TaskCounters& seen = child.sample.counters;
  ReapMarks marks{seen[TaskCounter::kMinorFaults] + child.child_minor_faults,
                  seen[TaskCounter::kMajorFaults] + child.child_major_faults};
  for (std::size_t i = kFirstIoMark; i < marks.size(); ++i) {
    marks[i] = child.raw_io.*kIoFields[i - kFirstIoMark].member;
  }
  return marks;
}

void add_to(ReapMarks& sum, const ReapMarks& marks) {
  for (std::size_t i = 0; i < sum.size(); ++i) {
    sum[i] += marks[i];
  }
}

std::uint64_t& published(ProcessEntry& process, std::size_t mark) {
  const TaskCounter counter = kIoFields[mark - kFirstIoMark].counter;
  return process.sample.counters.values[static_cast<std::size_t>(counter)];
}

bool has_io(const ReapMarks& marks) {
  return std::any_of(marks.begin() + kFirstIoMark, marks.end(),
                     [](std::uint64_t mark) { return mark != 0; });
}

bool is_ancestor(const ProcessEntry* living, std::uint64_t born_by) {
  return living != nullptr && living->sample.key.start_ns <= born_by;
}

bool tells_io(const ProcessEntry& process) { return process.io_state == IoState::kReadable; }

bool covers(const ReapMarks& has, const ReapMarks& wanted, bool with_io) {
  const auto end = wanted.begin() + (with_io ? wanted.size() : kFirstIoMark);
  return std::equal(wanted.begin(), end, has.begin(),
                    [](std::uint64_t wants, std::uint64_t left) { return wants <= left; });
}

// What its io will show when it can be read again is known already.
void charge_in_advance(ProcessEntry& reaper, const ReapMarks& wanted) {
  for (std::size_t i = kFirstIoMark; i < wanted.size(); ++i) {
    reaper.raw_io.*kIoFields[i - kFirstIoMark].member += wanted[i];
  }
}

// What of a pool a case may claim: nobody is in a growth from before its last sight.
ReapMarks open_to(const ReapPool& pool, bool waits) {
  ReapMarks out = pool.fresh;
  if (waits) {
    add_to(out, pool.old);
  }
  return out;
}

std::uint64_t take_from(std::uint64_t& left, std::uint64_t& wanted) {
  const std::uint64_t taken = std::min(left, wanted);
  left -= taken;
  wanted -= taken;
  return taken;
}

// Takes what there is.
void take(ProcessEntry& reaper, ReapMarks& wanted, bool waits) {
  ReapPool& pool = *reaper.reaped;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::uint64_t taken = waits ? take_from(pool.old[i], wanted[i]) : 0;
    taken += take_from(pool.fresh[i], wanted[i]);
    if (i >= kFirstIoMark) {
      published(reaper, i) -= taken;
    }
  }
  if (!tells_io(reaper)) {
    charge_in_advance(reaper, wanted);
    std::fill(wanted.begin() + kFirstIoMark, wanted.end(), 0);
  }
}

void release(ProcessEntry& process) {
  ReapPool& pool = *process.reaped;
  if (std::exchange(pool.held, false)) {
    for (std::size_t i = kFirstIoMark; i < pool.old.size(); ++i) {
      published(process, i) += pool.old[i];
    }
  }
}

ReapMarks kept(const ReapPool& pool) {
  ReapMarks out{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint64_t suspected = std::min(pool.suspected[i], pool.fresh[i]);
    out[i] = std::min(pool.old[i] + pool.fresh[i], pool.wanted[i] + suspected);
  }
  return out;
}

// Keeps of the pool what is wanted, and publishes the rest.
void hold(ProcessEntry& process) {
  ReapPool& pool = *process.reaped;
  pool.old = kept(pool);
  pool.held = true;
  for (std::size_t i = kFirstIoMark; i < pool.old.size(); ++i) {
    published(process, i) -= pool.old[i];
  }
  pool.fresh = {};
  pool.wanted = {};
  pool.suspected = {};
  pool.awaited = false;
  pool.grew = false;
}

// One that departed is published for the last time. While its own reaper is not known, what is wanted of
// its pool is looked for there: who reaps it gets all of it.
void pass_up(ProcessEntry& process) {
  ReapMarks left = kept(*process.reaped);
  take_from(process.child_minor_faults, left[0]);
  take_from(process.child_major_faults, left[1]);
  for (std::size_t i = kFirstIoMark; i < left.size(); ++i) {
    published(process, i) -= take_from(process.raw_io.*kIoFields[i - kFirstIoMark].member, left[i]);
  }
}

}  // namespace

void ReapLedger::begin(std::span<const std::uint32_t> listed) {
  suspects_.clear();
  for (Departed& departed : departed_) {
    departed.unsure =
        departed.dying && std::binary_search(listed.begin(), listed.end(), departed.process->pid());
    departed.dying = false;
  }
}

void ReapLedger::depart(std::unique_ptr<ProcessEntry> process, bool unsure) {
  const bool final = nothing_unseen(*process);
  process->sample.alive = false;
  process->sample.gauges = {};
  Departed& departed = departed_.emplace_back();
  departed.parent = process->sample.parent_pid;
  departed.waits = process->suspect;
  departed.unsure = unsure;
  departed.final = final;
  if (!process->told) {
    // Nobody knows of it yet: who reaps it keeps what it did. It only shows the way up.
    departed.reported = true;
    departed.claimed = true;
    std::erase(reapers_, process.get());
    process->reaped.reset();
  }
  departed.process = std::move(process);
}

void ReapLedger::dying(const ProcessKey& key) {
  for (Departed& departed : departed_) {
    if (departed.process->sample.key == key) {
      departed.unsure = true;
      departed.dying = true;
    }
  }
}

void ReapLedger::add(ProcessEntry& reaper, const ReapMarks& growth) {
  if (!reaper.reaped) {
    reaper.reaped = std::make_unique<ReapPool>();
    reapers_.push_back(&reaper);
  }
  ReapPool& pool = *reaper.reaped;
  add_to(pool.fresh, growth);
  add_to(pool.all, growth);
  pool.grew = pool.grew || (growth[0] | growth[1]) != 0;
}

std::uint32_t ReapLedger::highest_reaper() const {
  std::uint32_t highest = 0;
  for (const ProcessEntry* const reaper : reapers_) {
    highest = reaper->reaped->grew ? std::max(highest, reaper->pid()) : highest;
  }
  return highest;
}

const ReapLedger::Departed* ReapLedger::find_departed(std::uint32_t pid, std::uint64_t born_by,
                                                      const ProcessEntry* child) const {
  auto at = std::lower_bound(
      departed_.begin(), departed_.end(), pid,
      [](const Departed& one, std::uint32_t wanted) { return one.process->pid() < wanted; });
  const Departed* youngest = nullptr;
  for (; at != departed_.end() && at->process->pid() == pid; ++at) {
    const std::uint64_t start_ns = at->process->sample.key.start_ns;
    if (at->process.get() != child && start_ns <= born_by &&
        (youngest == nullptr || youngest->process->sample.key.start_ns <= start_ns)) {
      youngest = &*at;
    }
  }
  return youngest;
}

ReapLedger::Climb ReapLedger::climb(const ProcessEntry& child, std::uint32_t parent, bool orphan,
                                    bool open, const LiveProcesses& live) const {
  Climb way;
  way.open = open;
  std::uint32_t at = parent;
  std::uint64_t born_by = child.sample.key.start_ns;  // an ancestor is not younger
  bool surplus = false;
  for (int depth = 0; depth < kMaxAncestors && at != 0; ++depth) {
    ProcessEntry* ancestor = find_process(live, at);
    bool is_parent = false;
    bool usable = true;
    if (is_ancestor(ancestor, born_by)) {
      way.living = way.living == nullptr ? ancestor : way.living;
      // One that ends passes its children on, before anybody waits for it. If it lives when all of the
      // child must show, the child was its own to the end.
      is_parent = !orphan && !way.open && ancestor->sample.state != 'Z';
      usable = !way.open;
      at = ancestor->sample.parent_pid;
    } else if (const Departed* const gone = find_departed(at, born_by, &child)) {
      ancestor = gone->process.get();
      // What it was read with is all there will be of it. Who reaped it shows as late as it left.
      way.open = way.open || gone->unsure;
      at = gone->parent;
    } else {
      at = at == kInit ? 0 : kInit;
      orphan = true;
      continue;
    }
    orphan = true;
    born_by = ancestor->sample.key.start_ns;
    if (ancestor->reaped) {
      way.rungs.push_back({ancestor, depth, !usable, surplus});
    } else if (is_parent) {
      break;
    }
    surplus = surplus || is_parent;
  }
  return way;
}

// From the last of them, if that is enough, or else from all of them together: another, who had the
// choice, may have claimed from a nearer one what it got from a farther one.
bool ReapLedger::claim(const Departed& departed, std::span<const Rung> rungs) {
  ReapMarks wanted = marks_of(*departed.process);
  const bool waits = departed.waits;
  const Rung& last = rungs.back();
  if (!has_io(wanted)) {
    // Nothing to take off, so the proof is left to those who have.
    return !last.surplus && covers(last.reaper->reaped->all, wanted, false);
  }
  if (!last.surplus &&
      covers(open_to(*last.reaper->reaped, waits), wanted, tells_io(*last.reaper))) {
    take(*last.reaper, wanted, waits);
    return true;
  }
  ReapMarks sum{};
  bool with_io = true;
  for (const Rung& rung : rungs) {
    const ReapPool& pool = *rung.reaper->reaped;
    const bool tells = tells_io(*rung.reaper);
    if (last.surplus && !rung.surplus && !covers(pool.all, wanted, tells)) {
      return false;
    }
    add_to(sum, open_to(pool, waits));
    with_io = with_io && tells;
  }
  if (!covers(sum, wanted, with_io)) {
    return false;
  }
  for (const Rung& rung : rungs) {
    take(*rung.reaper, wanted, waits);
  }
  return true;
}

// Level by level for all of them: children of a reaper before grandchildren it may have inherited.
void ReapLedger::claim_all() {
  std::vector<Departed*> claimants;
  for (Departed& departed : departed_) {
    if (!departed.claimed) {
      claimants.push_back(&departed);
    }
  }
  for (int depth = 0; depth < kMaxAncestors && !claimants.empty(); ++depth) {
    std::erase_if(claimants, [depth](Departed* departed) {
      const std::span<const Rung> rungs = departed->climb.rungs;
      for (std::size_t i = 0; i < rungs.size() && rungs[i].depth <= depth; ++i) {
        if (rungs[i].depth == depth && !rungs[i].open) {
          departed->claimed = claim(*departed, rungs.first(i + 1));
        }
      }
      return departed->claimed || rungs.empty() || rungs.back().depth <= depth;
    });
  }
}

// Rather too little is counted than anything twice, and told as lost: what nobody can prove to be in a
// growth is taken off all the same where it can be in it. That is so when the reaper was not read, and
// when a pool had room for it before others claimed from it.
void ReapLedger::give_way() {
  for (Departed& departed : departed_) {
    if (departed.claimed || departed.climb.open) {
      continue;
    }
    ReapMarks wanted = marks_of(*departed.process);
    if (ProcessEntry* const living = departed.climb.living; living != nullptr && !living->read) {
      departed.final = false;
      charge_in_advance(*living, wanted);
      continue;
    }
    for (const Rung& rung : departed.climb.rungs) {
      if (!rung.surplus && covers(rung.reaper->reaped->all, wanted, tells_io(*rung.reaper))) {
        departed.final = false;
        take(*rung.reaper, wanted, true);
        break;
      }
    }
  }
}

void ReapLedger::hold_back(const LiveProcesses& live) {
  for (const Departed& departed : departed_) {
    for (const Rung& rung : departed.climb.rungs) {
      if (!departed.closed()) {
        add_to(rung.reaper->reaped->wanted, marks_of(*departed.process));
        rung.reaper->reaped->awaited = true;
      }
    }
  }
  for (const ProcessEntry* const process : suspects_) {
    // Its parent may have reaped it and be gone as well.
    for (const Rung& rung : climb(*process, process->sample.parent_pid, true, true, live).rungs) {
      if (rung.reaper->reaped->grew) {
        add_to(rung.reaper->reaped->suspected, marks_of(*process));
        rung.reaper->reaped->awaited = true;
      }
    }
  }
  for (const Departed& departed : departed_) {
    if (departed.process->reaped && !departed.closed()) {
      pass_up(*departed.process);
    }
  }
  std::erase_if(reapers_, [](ProcessEntry* reaper) {
    if (!reaper->reaped->awaited || !reaper->sample.alive) {
      reaper->reaped.reset();
      return true;
    }
    hold(*reaper);
    return false;
  });
}

void ReapLedger::settle(const LiveProcesses& live) {
  for (ProcessEntry* const reaper : reapers_) {
    release(*reaper);
  }
  std::stable_sort(departed_.begin(), departed_.end(), [](const Departed& a, const Departed& b) {
    return a.process->pid() < b.process->pid();
  });
  for (Departed& departed : departed_) {
    departed.climb =
        climb(*departed.process, departed.parent, departed.orphan, departed.unsure, live);
  }
  claim_all();
  give_way();
  hold_back(live);
  pass_over_closed(live);
}

// Whose case is closed will be forgotten: the search for the others starts further up.
void ReapLedger::pass_over_closed(const LiveProcesses& live) {
  for (Departed& departed : departed_) {
    const ProcessEntry& child = *departed.process;
    for (int depth = 0; depth < kMaxAncestors && !departed.closed(); ++depth) {
      if (is_ancestor(find_process(live, departed.parent), child.sample.key.start_ns)) {
        break;
      }
      const Departed* const gone =
          find_departed(departed.parent, child.sample.key.start_ns, &child);
      if (gone == nullptr || !gone->closed()) {
        break;
      }
      departed.orphan = true;
      departed.parent = gone->parent;
    }
  }
}

void ReapLedger::finish(std::vector<ProcessSample>& out) {
  for (Departed& departed : departed_) {
    if (!std::exchange(departed.reported, true)) {
      out.push_back(departed.process->sample);
    }
  }
  for (Departed& departed : departed_) {
    if (!departed.closed()) {
      departed.waits = true;
      continue;
    }
    lost_ += departed.claimed || departed.final ? 0 : 1;
  }
  std::erase_if(departed_, [](const Departed& departed) { return departed.closed(); });
}

}  // namespace tidegauge
