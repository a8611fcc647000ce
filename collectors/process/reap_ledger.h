// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who got the I/O of a process that ended?
//
// When a parent waits for a child, the kernel adds the child's whole I/O to the parent's
// /proc/PID/io (kernel/exit.c, wait_task_zombie), so the parent's counters jump by what the child
// was reported for already. In the same breath it adds the child's faults and CPU time to the
// parent's cminflt, cmajflt, cutime and cstime in /proc/PID/stat. Those tell who reaped:
//
// - A departed process is looked for at its nearest living ancestor, then at the next, up to pid 1:
//   who reaps is the parent or, when that is gone, a subreaper or pid 1, all of them ancestors.
//   Where a parent between has left in the same interval, it may have reaped first and been reaped.
// - An ancestor whose cminflt and cmajflt grew by at least the faults the child was last seen with
//   (its own and its children's) has reaped it; that much of the growth is used up.
// - The last raw I/O of the child is taken off the ancestor's I/O growth of this pass, never more
//   than that growth. io is read just before stat, so it may show the child one pass after stat did:
//   what could not be taken off is a debt for the next pass, and then forgotten.
//
// So the sum over parent and child stays true. What a child did after its last sight, and children
// nobody saw alive, stay with who reaped them. Where nothing shows that anybody reaped (SIGCHLD
// ignored, a parent in another pid namespace), the last doings are lost, and counted.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "collectors/process/process_entry.h"

namespace tidegauge {

// What a process has waited for since the last pass, as far as nobody claimed it.
struct Reaper {
  ProcessEntry* process = nullptr;
  std::uint64_t minor_faults = 0;
  std::uint64_t major_faults = 0;
  std::uint64_t ticks = 0;
  PidIo io;  // its own I/O growth, that of its children included
};

// Not thread-safe. A pass: begin(), any order of depart(), settle_debt() and add() by ascending pid,
// then settle() and finish().
class ReapLedger {
 public:
  void begin() { reapers_.clear(); }

  // `unsure`: it may have left after its reaper was read in this pass, so that the next one counts too.
  void depart(std::unique_ptr<ProcessEntry> process, bool unsure);

  // Takes what the process still owes off its growth.
  void settle_debt(ProcessEntry& process, PidIo& growth);

  void add(const Reaper& reaper) { reapers_.push_back(reaper); }
  [[nodiscard]] std::span<const Reaper> reapers() const { return reapers_; }

  // Takes the claims of departed processes off the published counters of their reapers.
  void settle(const LiveProcesses& live);

  // Appends the samples of those that departed in this pass, and forgets who needs no next pass.
  void finish(std::vector<ProcessSample>& out);

  // Cumulative ends whose reaper was not found.
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

 private:
  struct Departed {
    std::unique_ptr<ProcessEntry> process;
    bool unsure = false;
    bool final = false;  // nothing of it can have gone unseen
    bool reported = false;
    bool claimed = false;
    // Where the search up the ancestors stands.
    std::uint32_t at = 0;
    std::uint64_t born_by = 0;  // an ancestor is not younger
    std::uint32_t living_ancestor = 0;
    bool done = false;
  };
  struct Debt {
    std::uint32_t pid = 0;
    PidIo io;
  };

  void step(Departed& departed, const LiveProcesses& live);
  bool claim(ProcessEntry& ancestor, const ProcessEntry& child);
  void take_off(Reaper& reaper, const ProcessEntry& child);
  [[nodiscard]] const Departed* find_departed(const Departed& child) const;

  std::vector<Reaper> reapers_;     // by pid
  std::vector<Departed> departed_;  // bounded by what was alive in the last two passes
  std::vector<Debt> debts_;         // of the last pass, by pid
  std::vector<Debt> new_debts_;
  std::uint64_t lost_ = 0;
};

}  // namespace tidegauge
