// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/ebpf_json.h"

#include <nlohmann/json.hpp>

#include "collectors/ebpf/program_report.h"

namespace tidegauge {

std::string ebpf_json() {
  using Json = nlohmann::ordered_json;
  const auto programs = look_at_programs();
  Json out;
  out["refused"] = ProgramSources::all().refusal();
  out["features"] = Json::array();
  for (const SeenFeature& feature : features_of(programs)) {
    out["features"].push_back({{"object", feature.object},
                               {"feature", feature.feature},
                               {"tier", tier_name(feature.tier)},
                               {"reason", feature.reason}});
  }
  out["programs"] = Json::array();
  for (const SeenProgram& seen : programs) {
    out["programs"].push_back({{"object", seen.object},
                               {"program", seen.status.name},
                               {"feature", seen.status.feature},
                               {"tier", tier_name(seen.status.tier)},
                               {"state", state_name(seen.status.state)},
                               {"reason", seen.status.reason},
                               {"run_seconds", static_cast<double>(seen.run_ns) / 1e9},
                               {"runs", seen.runs}});
  }
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tidegauge
