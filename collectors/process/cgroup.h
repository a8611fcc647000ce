// SPDX-License-Identifier: Apache-2.0
#pragma once

// Usage of every cgroup: memory, CPU, I/O, pressure and tasks of systemd units and containers, on
// cgroup v2, v1 and hybrid hosts. On a hybrid host what a v1 controller counts comes from v1.

#include <string>
#include <string_view>

#include "collectors/core/collector.h"
#include "collectors/core/privacy.h"

namespace tidegauge {

// The text of the label `cgroup`, in every metric that has it; kDroppedName where it may not be shown.
std::string cgroup_label(const PrivacyFilter& privacy, std::string_view path);

extern const CollectorInfo kCgroupCollector;

}  // namespace tidegauge
