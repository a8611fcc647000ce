// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who got the I/O of a process that ended?
//
// When a parent waits for a child, the kernel adds the child's whole I/O to the parent's
// /proc/PID/io (kernel/exit.c, wait_task_zombie), so the parent's counters jump by what the child
// was reported for already. In the same breath it adds the child's faults to the parent's cminflt and
// cmajflt in /proc/PID/stat. Only then does the child leave /proc. What a process got in this way and
// no child has claimed is its pool:
//
// - A departed process claims what it was last seen with (its own and its children's faults, and its
//   I/O) from the pool of its parent. A parent that ended may have reaped it first, or have passed it
//   on to a subreaper or pid 1, which are ancestors as well. So the search goes on above such a one.
// - A pool that is smaller in any figure shows that nobody reaped. What was claimed is taken off the
//   published counters.
// - Where several could have been the reaper, one may claim from a pool what it got elsewhere. What is
//   missing then is left further up: the pools on the way count together when none is enough.
//
// A pass is no moment: processes are read one after the other, io before stat. Four rules make up for it:
//
// - A process that was still listed when the pass began left perhaps after its reaper was read, or
//   between the reads of its io and its stat. Its case stays open for the next pass, which reads all of
//   it. One that shows X is leaving: its reaper may have its figures or not. Its case stays open until
//   the pass after the last one that lists it.
// - While a case is open, as much as it may claim stays in the pools and is held back from the published
//   counters: nothing that was published can be taken back.
// - Who was read before an ancestor that reaped since may be part of its growth. The caller looks for
//   them again when all are read. Whom it cannot look at is suspect: its claim is held back the same way.
// - Nobody claims from what was in a pool before its last sight.
//
// So the sum over parent and child stays true. What a child did after its last sight, and children no pass
// has told of, stay with who reaped them. Where nothing shows that anybody reaped (SIGCHLD ignored, a parent
// in another pid namespace), the last doings are lost, and counted. What /proc cannot tell:
//
// - Nobody reaped, and the parent reaped somebody unseen who is at least as big in every figure: that
//   one's I/O is taken for the child's, too little is counted, and nothing tells.
// - A process that came into its pid namespace from outside ends, and in the same interval so does its
//   child: pid 1 of the namespace reaps that, and is not among the ancestors. It is counted twice, and
//   told as lost.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "collectors/process/process_entry.h"

namespace tidegauge {

// Not thread-safe. A pass: begin(), any order of depart(), dying(), add() and suspect(), then settle()
// and finish(). A pass that fails between leaves all to the next. Entries must not go away but through
// depart().
class ReapLedger {
 public:
  // `listed`: the pids of the pass, sorted.
  void begin(std::span<const std::uint32_t> listed);

  // `unsure`: it may have left after its reaper was read in this pass, so that the next one counts too.
  void depart(std::unique_ptr<ProcessEntry> process, bool unsure);

  // One that departed, in this pass or before, is still there and shows X.
  void dying(const ProcessKey& key);

  // The process waited for children, or has a pool from before; `growth` since it was last read.
  void add(ProcessEntry& reaper, const ReapMarks& growth);
  // No process above this pid waited for children in this pass.
  [[nodiscard]] std::uint32_t highest_reaper() const;

  // It lives as far as one knows, and may have been reaped before its reaper was read. The caller takes
  // the mark off when it is seen alive.
  void suspect(ProcessEntry& process) {
    process.suspect = true;
    suspects_.push_back(&process);
  }

  // Takes the claims of departed processes off the published counters of their reapers.
  void settle(const LiveProcesses& live);

  // Appends the samples of those that departed in this pass, and forgets whose case is closed.
  void finish(std::vector<ProcessSample>& out);

  // Cumulative ends whose reaper was not found.
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

 private:
  // An ancestor that has a pool.
  struct Rung {
    ProcessEntry* reaper = nullptr;
    int depth = 0;
    bool open = false;     // not for claims in this pass
    bool surplus = false;  // the child cannot be in this pool, see claim()
  };
  // The way from a process up its ancestors, nearest first.
  struct Climb {
    std::vector<Rung> rungs;
    ProcessEntry* living = nullptr;  // the first on the way
    bool open = false;               // the growth of some may show in the next pass only
  };
  struct Departed {
    std::unique_ptr<ProcessEntry> process;
    std::uint32_t parent = 0;  // where the search for its reaper starts
    bool waits = false;        // it may be in the growth of an earlier pass
    bool unsure = false;
    bool dying = false;
    bool orphan = false;  // `parent` is not its parent
    bool final = false;   // nothing of it can have gone unseen
    bool reported = false;
    bool claimed = false;
    Climb climb;
    [[nodiscard]] bool closed() const { return claimed || !climb.open; }
  };

  [[nodiscard]] Climb climb(const ProcessEntry& child, std::uint32_t parent, bool orphan, bool open,
                            const LiveProcesses& live) const;
  static bool claim(const Departed& departed, std::span<const Rung> rungs);
  void claim_all();
  void give_way();
  void hold_back(const LiveProcesses& live);
  [[nodiscard]] const Departed* find_departed(std::uint32_t pid, std::uint64_t born_by,
                                              const ProcessEntry* child) const;
  void pass_over_closed(const LiveProcesses& live);

  std::vector<ProcessEntry*> reapers_;   // who have pools
  std::vector<Departed> departed_;       // bounded by what was alive in the last two passes
  std::vector<ProcessEntry*> suspects_;  // of this pass
  std::uint64_t lost_ = 0;
};

}  // namespace tidegauge
