// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "collectors/core/collector.h"

namespace tidegauge {

// Metrics that other programs leave in *.prom files. A file with any mistake is left out whole and
// shows as node_textfile_scrape_error 1; the collector itself succeeds.
extern const CollectorInfo kTextfileCollector;

}  // namespace tidegauge
