// SPDX-License-Identifier: Apache-2.0
#pragma once

// Arithmetic on the counters of bpf/task_records.h, and their way into a sample. Pure.

#include <cstdint>

#include "bpf/task_records.h"
#include "collectors/process/task_sample.h"

namespace tidegauge {

void add(tg_task_counters& to, const tg_task_counters& from);
// Of what was added before.
void subtract(tg_task_counters& from, const tg_task_counters& what);
tg_task_counters with_last_slice(const tg_exit& ended);
// Raises what `sum` has more of: nothing that was published falls. `features` is a mask of TG_FEATURE_*.
void publish(TaskCounters& counters, const tg_task_counters& sum, std::uint32_t features,
             bool delays);

// As /proc/PID/stat prints it (fs/proc/array.c, get_task_state).
char task_state_letter(std::uint32_t state);

}  // namespace tidegauge
