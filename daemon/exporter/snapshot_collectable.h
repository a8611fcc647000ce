// SPDX-License-Identifier: Apache-2.0
#pragma once

// A Snapshot as prometheus-cpp families: for programs that embed the collectors in a registry of
// their own, and as the oracle the fast text path is tested against.

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <functional>
#include <vector>

#include "collectors/core/section.h"

namespace tidegauge {

std::vector<prometheus::MetricFamily> to_families(const Snapshot& snapshot);

class SnapshotCollectable final : public prometheus::Collectable {
 public:
  // `latest` may return null and is called on whatever thread collects.
  explicit SnapshotCollectable(std::function<SnapshotPtr()> latest) : latest_(std::move(latest)) {}
  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  std::function<SnapshotPtr()> latest_;
};

}  // namespace tidegauge
