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
  std::map<std::pair<std::string, std::string>, std::string> news;  // by tier and reason
  for (const SeenFeature& feature : features_of(look_at_programs())) {
    const std::pair key(std::string(tier_name(feature.tier)), feature.reason);
    const std::string text = key.first + " " + key.second;
    if (std::exchange(told_[feature.object + " " + feature.feature], text) != text) {
      std::string& features = news[key];
      features += (features.empty() ? "" : " ") + feature.feature;
    }
  }
  for (const auto& [key, features] : news) {
    if (key.second.empty()) {
      log_->info("BPF programs", {{"tier", key.first}, {"features", features}});
    } else {
      log_->info("BPF programs",
                 {{"tier", key.first}, {"features", features}, {"reason", key.second}});
    }
  }
  const std::string refusal = ProgramSources::all().refusal();
  if (std::exchange(told_[""], refusal) != refusal && !refusal.empty()) {
    log_->warn("no BPF programs", {{"reason", refusal}});
  }
}

}  // namespace tidegauge
