// SPDX-License-Identifier: Apache-2.0
#pragma once

// The `process` collector's configuration.

#include <cstddef>
#include <span>

#include "collectors/core/collector.h"
#include "collectors/process/group_rules.h"
#include "collectors/process/task_source.h"

namespace tidegauge {

struct ProcessSettings {
  SourceChoice source = SourceChoice::kAuto;
  std::size_t max_groups = 200;
  std::size_t top = 10;
  bool details = true;
};

std::span<const OptionSpec> process_options();

// kInvalid: `option` names the key, `where` what is accepted.
Result<ProcessSettings> process_settings(const Options& options);
Result<GroupRules> group_rules(const Options& options);

// The rules of the running configuration, for collectors that know processes by other means: set when the
// process collector is made, also where that fails to run. Any thread.
void configure_group_rules(const Options& options);
GroupRules configured_group_rules();

}  // namespace tidegauge
