// SPDX-License-Identifier: Apache-2.0
#pragma once

// How far a host is from trouble, for times when nothing is wrong; and what of it nobody can see. Pure.

#include <string>
#include <vector>

#include "collectors/core/section.h"
#include "daemon/heuristics/scene.h"
#include "daemon/heuristics/thresholds.h"
#include "daemon/heuristics/verdict.h"

namespace tidegauge::heuristics {

// Memory and when it will be short, CPUs, disks, pressure: what is known of them.
std::vector<Evidence> headroom(const Scene& scene, const Thresholds& limits);

// What this Snapshot tells nothing of, because a collector is off or has no data.
std::vector<std::string> missing_sources(const Snapshot& snapshot);

}  // namespace tidegauge::heuristics
