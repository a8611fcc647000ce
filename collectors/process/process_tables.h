// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the `process` collector shows of a tracker's state, as tables.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/core/privacy.h"
#include "collectors/process/process_details.h"
#include "collectors/process/process_tracker.h"
#include "collectors/process/stuck_tasks.h"
#include "collectors/process/task_sample.h"
#include "collectors/schema/process_columns.h"

namespace tidegauge {

struct PassFacts {
  std::string_view source;
  std::string_view reason;
  std::uint64_t processes = 0;
  std::uint64_t threads = 0;
  std::uint64_t stuck_threads = 0;
  std::uint64_t lost_exits = 0;
  std::uint64_t group_overflows = 0;
  std::uint64_t zombies = 0;
  std::optional<std::uint64_t> unseen_starts;
};

// Owned by the collector, filled once a pass.
class ProcessTables {
 public:
  // `privacy`: what may be shown of units and containers.
  explicit ProcessTables(PrivacyFilter privacy);

  // `boot_realtime_ns`: the wall clock at boot, so that start times are since the epoch.
  void fill(const ProcessTracker& tracker, const StuckTasks& stuck, const PassFacts& facts,
            const std::vector<MissingField>& missing, const std::vector<ProcessDetail>& details,
            std::int64_t now_ns, std::int64_t boot_realtime_ns, Section& out);

  static std::vector<MetricDoc> docs();

 private:
  void fill_top(const ProcessTracker& tracker, std::int64_t boot_realtime_ns);
  void fill_details(const std::vector<ProcessDetail>& details);
  void fill_mappings(std::string_view pid, const ProcessDetail& detail);
  void fill_stuck(const ProcessTracker& tracker, const StuckTasks& stuck, std::int64_t now_ns);

  PrivacyFilter privacy_;
  StructTable<ProcessRow> groups_;
  StructTable<ProcessRow> top_;
  StructTable<PassFacts> facts_;
  ValueTable source_;
  ValueTable missing_;
  RowTable stuck_;
  ValueTable descriptors_;
  ValueTable cpus_;
  ValueTable mappings_;
  ValueTable threads_;
};

}  // namespace tidegauge
