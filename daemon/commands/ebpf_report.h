// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "daemon/config/flags.h"

namespace tidegauge {

// Which BPF programs run, in which tier, why and at what cost: those of the daemon that answers at the
// configured address, else what this host allows, tried here for a second. The exit code.
int ebpf_report(const CommandLine& command_line, CollectorRegistry registry);

// The table, 80 columns and more where a reason needs them; `json` as ebpf_json() writes it. "" when it is
// something else.
std::string ebpf_table(std::string_view json);

}  // namespace tidegauge
