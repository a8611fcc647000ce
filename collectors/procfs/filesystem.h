// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "collectors/core/collector.h"
#include "collectors/procfs/statfs_pool.h"

namespace tidegauge {

// A mount point as node_exporter labels it: of the kernel's escapes only blank and tab are undone.
std::string mount_point_label(std::string_view escaped);

// An errno as node_exporter words it: the C library's text beginning in lower case.
std::string device_error_label(int errno_value);

// With a statfs of the caller's own, for tests.
Result<std::unique_ptr<Collector>> make_filesystem_collector(const KernelFiles& files,
                                                             const Options& options,
                                                             StatfsFunction function);

extern const CollectorInfo kFilesystemCollector;

}  // namespace tidegauge
