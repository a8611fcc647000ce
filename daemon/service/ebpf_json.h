// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tidegauge {

// /api/v1/ebpf: {"features": [...], "programs": [...]}, of this process. Any thread.
std::string ebpf_json();

}  // namespace tidegauge
