// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "daemon/scheduler/scheduler_state.h"
#include "daemon/scheduler/tick_plan.h"

namespace tidegauge {

namespace {

// Early runs of one collector are at least this far apart.
constexpr std::int64_t kEarlyRunTicks = 10;

}  // namespace

// How often collectors that can wait run from here on.
void Scheduler::State::plan_intervals(std::int64_t boottime_ns) {
  std::vector<Slot*> patient;
  std::vector<StretchInput> inputs;
  std::int64_t their_cpu_ns = 0;
  // A run still under way counts as background until it ends; see observe().
  for (Slot& slot : slots) {
    if (slot.info->stretch) {
      patient.push_back(&slot);
      inputs.push_back(
          {slot.status.interval_ns, slot.status.effective_interval_ns, slot.cost.mean_cpu_ns});
      their_cpu_ns += slot.status.cpu_ns;
    }
  }
  if (patient.empty()) {
    return;
  }
  background =
      observe(background, boottime_ns, clock.process_cpu_ns() - their_cpu_ns, options.tick_ns);
  const auto plans = plan_stretch({.parts_per_million = options.cpu_budget_ppm,
                                   .background_cores = background.cores,
                                   .tick_ns = options.tick_ns},
                                  inputs);
  for (std::size_t i = 0; i < patient.size(); ++i) {
    patient[i]->status.effective_interval_ns = plans[i].interval_ns;
    patient[i]->room_for_two = plans[i].room_for_two;
  }
}

// Whether this tick is an occasion for a regular run. An early run takes the place of the next
// regular one, so that early runs cost nothing over the budget; unless the budget has room for both
// and they are not close together, or the early run failed.
bool Scheduler::State::is_time(Slot& slot, std::int64_t realtime_ns,
                               std::int64_t boottime_ns) const {
  const std::int64_t interval_ns = slot.status.effective_interval_ns;
  const DueInput due{.tick = tick_number(realtime_ns, options.tick_ns),
                     .boottime_ns = boottime_ns,
                     .tick_ns = options.tick_ns,
                     .interval_ns = interval_ns,
                     .on_grid = interval_ns == slot.status.interval_ns,
                     .ran = slot.scheduled,
                     .last_run_boottime_ns = slot.scheduled_boottime_ns};
  if (!is_due(due)) {
    return false;
  }
  slot.scheduled = true;
  slot.scheduled_boottime_ns = boottime_ns;
  const bool ran_early = std::exchange(slot.early_since_due, false) && slot.status.success;
  const bool close = 2 * (boottime_ns - slot.early_boottime_ns) < interval_ns;
  return !ran_early || (slot.room_for_two && !close);
}

// A request becomes an early run.
bool Scheduler::State::take_early(Slot& slot, std::int64_t boottime_ns) const {
  if (!std::exchange(slot.early_requested, false) || slot.running || slot.requested) {
    return false;
  }
  slot.early_since_due = true;
  slot.early_boottime_ns = boottime_ns;
  ++slot.status.early_runs;
  return true;
}

// One early run per interval in force, and what it replaces has to be over.
bool Scheduler::State::may_run_early(const Slot& slot, std::int64_t boottime_ns) const {
  const std::int64_t refill_ns =
      std::max(kEarlyRunTicks * options.tick_ns, slot.status.effective_interval_ns);
  return slot.scheduled && !slot.running && !slot.requested && !slot.predecessor_running &&
         !slot.early_since_due &&
         (slot.early_boottime_ns == 0 || boottime_ns - slot.early_boottime_ns >= refill_ns);
}

}  // namespace tidegauge
