// SPDX-License-Identifier: Apache-2.0
#pragma once

// From configuration to collectors that the scheduler can run.

#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/exporter/snapshot_source.h"
#include "daemon/scheduler/scheduler.h"

namespace tidegauge {

// Makes the enabled collectors (those in `names` if it is not empty). One that cannot be made is a
// configuration error.
ConfigResult<std::vector<ScheduledCollector>> make_collectors(
    const Config& config, const std::vector<std::string>& names = {});

std::vector<ExportedCollector> exported(const std::vector<ScheduledCollector>& collectors);

// The heuristics, as the exporter sees them: an entry of Snapshots like a collector's.
ExportedCollector verdicts_as_collector();

SchedulerOptions scheduler_options(const Config& config);

// The procfs root must be there; anything below it may be missing. Returns a complaint or "".
std::string check_roots(const KernelRoots& roots);

// Whether names can be hidden as asked. Returns a complaint, with what is done instead, or "".
std::string check_privacy(const KernelRoots& roots);

}  // namespace tidegauge
