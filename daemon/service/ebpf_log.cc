// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/ebpf_log.h"

#include <utility>

#include "collectors/ebpf/program_report.h"

namespace tidegauge {

void EbpfLog::update() {
  const std::uint64_t changes = ProgramSources::all().changes();
  if (std::exchange(changes_, changes) == changes) {
    return;
  }
  for (const SeenFeature& feature : features_of(look_at_programs())) {
    const std::string tier(tier_name(feature.tier));
    const std::string text = tier + " " + feature.reason;
    if (std::exchange(told_[feature.object + " " + feature.feature], text) == text) {
      continue;
    }
    if (feature.reason.empty()) {
      log_->info("BPF programs", {{"feature", feature.feature}, {"tier", tier}});
    } else {
      log_->info("BPF programs",
                 {{"feature", feature.feature}, {"tier", tier}, {"reason", feature.reason}});
    }
  }
}

}  // namespace tidegauge
