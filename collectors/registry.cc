// SPDX-License-Identifier: Apache-2.0
#include "collectors/registry.h"

#include "collectors/procfs/loadavg.h"

namespace tidegauge {

namespace {

constexpr const CollectorInfo* kCollectors[] = {
    &kLoadAvgCollector,
};

}  // namespace

std::span<const CollectorInfo* const> all_collectors() { return kCollectors; }

const CollectorInfo* find_collector(std::string_view name) {
  for (const CollectorInfo* info : kCollectors) {
    if (info->name == name) {
      return info;
    }
  }
  return nullptr;
}

}  // namespace tidegauge
