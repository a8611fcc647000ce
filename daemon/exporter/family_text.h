// SPDX-License-Identifier: Apache-2.0
#pragma once

// prometheus-cpp's families as text, without the holes of its own serializer: HELP is escaped, label
// values are valid UTF-8, order is stable.

#include <prometheus/metric_family.h>

#include <string>
#include <vector>

namespace tidegauge {

void append_families(std::string& out, std::vector<prometheus::MetricFamily> families);

}  // namespace tidegauge
